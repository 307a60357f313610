"""A pytest plugin for the slower tiers: what fits into a budget, and going on after an end.

``-p tests.support.tiers --budget-s=3000``: tests run in the order of what they are expected to take
(the ``minutes`` of their ``full`` or ``soak`` mark), and one that would not end in time is skipped
with that reason. ``--continue-file=FILE``: what has passed there at this commit is not run again.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.records import Records, Refused, commit_of, records

ROOT = Path(__file__).parents[2]
PASSED = "passed"
TIERS = ("full", "soak")
MINUTES = 1.0
"""Of a test whose mark does not say."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tiers")
    group.addoption("--budget-s", type=float, default=0.0, help="in all; 0: without an end")
    group.addoption("--continue-file", type=Path, help="go on with what passed at this commit")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Tiers(config), "tiers of this run")


def minutes_of(item: pytest.Item) -> float:
    """0 for a test of the fast tier."""
    marks = [mark for name in TIERS if (mark := item.get_closest_marker(name)) is not None]
    return max((float(mark.kwargs.get("minutes", MINUTES)) for mark in marks), default=0.0)


class Tiers:
    def __init__(self, config: pytest.Config) -> None:
        self._stack = ExitStack()
        self._is_worker = hasattr(config, "workerinput")
        self._budget_s: float = config.getoption("--budget-s")
        self._ends_at = time.monotonic() + self._budget_s
        self._path: Path | None = config.getoption("--continue-file")
        self._commit = commit_of(ROOT) if self._path is not None else ""
        self._file: Records | None = None

    def pytest_sessionstart(self) -> None:
        if self._path is None or self._is_worker:
            return
        try:
            # Results of other commits stay in the file and count for nothing here.
            self._file = self._stack.enter_context(
                records(self._path, commit=self._commit, mixed=True)
            )
        except Refused as reason:
            raise pytest.UsageError(str(reason)) from None

    def pytest_sessionfinish(self) -> None:
        self._stack.close()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        done = self._done()
        again = [item for item in items if item.nodeid in done]
        if again:
            config.hook.pytest_deselected(items=again)
        # Whole files in order of their longest test: what is set up for one serves all of it.
        longest: dict[Path, float] = {}
        for item in items:
            longest[item.path] = max(longest.get(item.path, 0.0), minutes_of(item))
        left = [item for item in items if item.nodeid not in done]
        items[:] = sorted(left, key=lambda item: (longest[item.path], str(item.path)))

    def _done(self) -> set[str]:
        """Read anew, since workers do not hold the file."""
        if self._path is None or not self._path.exists():
            return set()
        found = set()
        for text in self._path.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if line["kind"] == PASSED and line["commit"] == self._commit:
                found.add(line["test"])
        return found

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        left_s = self._ends_at - time.monotonic()
        if self._budget_s and left_s < 60 * minutes_of(item):
            pytest.skip(
                f"left out: of {self._budget_s:.0f} s there are {max(left_s, 0):.0f} left, and it"
                f" takes about {60 * minutes_of(item):.0f}"
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._file is not None and report.when == "call" and report.passed:
            self._file.add(
                {"kind": PASSED, "test": report.nodeid, "seconds": round(report.duration, 1)}
            )
