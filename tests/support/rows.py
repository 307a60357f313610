"""A table that one test goes through: what pytest's ``parametrize`` takes, at a hundredth of its
price. For tables of many rows that take microseconds each; five milliseconds are a test's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest

SHOWN_MAX = 30

Test = Callable[..., None]


def every_row(names: str | tuple[str, ...], rows: Iterable[Any]) -> Callable[[Test], Test]:
    """The decorated test is run with each of ``rows``, also after one that fails, and fails with
    all that failed. It may be put on a test twice, for all pairs; fixtures are those of one test,
    so what a row changes in them the next one finds."""
    table = list(rows)
    several = isinstance(names, tuple)
    keys = names if isinstance(names, tuple) else (names,)
    assert table, "no rows"

    def decorate(test: Test) -> Test:
        @wraps(test)
        def every(**others: Any) -> None:
            failed = []
            for row in table:
                values = tuple(row) if several else (row,)
                named = dict(zip(keys, values, strict=True))
                try:
                    test(**others, **named)
                except (Exception, pytest.fail.Exception) as error:
                    failed.append((named, error))
            if failed:
                raise AssertionError(_told(failed, len(table))) from failed[0][1]

        signature = inspect.signature(test)
        kept = [one for name, one in signature.parameters.items() if name not in keys]
        assert len(kept) == len(signature.parameters) - len(keys), f"it does not take all of {keys}"
        every.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return every

    return decorate


def _told(failed: list[tuple[dict[str, Any], BaseException]], count: int) -> str:
    lines = [f"{len(failed)} of {count} rows failed:"]
    for named, error in failed[:SHOWN_MAX]:
        row = ", ".join(f"{name}={value!r:.200}" for name, value in named.items())
        lines.append(f"{row}: {type(error).__name__}: {error}")
    if len(failed) > SHOWN_MAX:
        lines.append(f"and {len(failed) - SHOWN_MAX} more")
    return "\n".join(lines)
