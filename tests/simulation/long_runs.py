"""Runs of many hours, a seed at a time: each that is finished is noted, so that an end at any
moment, however it comes, costs the seeds under way and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tests.simulation.runner import PROGRESS_S, ROOT, SHOWN, replay_command, reports
from tests.simulation.simulation import Report
from tests.support.records import Records, Refused, commit_of, only, records

START = "start"
SEED = "seed"
TERMINATED = 143
"""As a shell says it of a process that SIGTERM has ended."""


def go_on(
    path: Path,
    *,
    seeds: int,
    first: int,
    fixed: bool,
    operations: int,
    seconds: float,
    jobs: int,
    mixed: bool,
) -> int:
    """Exit code: 1 if any seed in the file broke a promise. ``fixed``: ``first`` was asked for.
    Refused."""
    with records(path, commit=commit_of(ROOT), mixed=mixed) as file:
        started = file.of(START)
        if started:
            only(started, "operations", operations, path)
            if fixed:
                only(started, "first", first, path)
            first = started[0]["first"]
        elif file.lines:
            raise Refused(f"{path} has results of something else; name another file")
        else:
            file.add({"kind": START, "first": first, "operations": operations})
        done = {line["seed"] for line in file.of(SEED)}
        left = [seed for seed in range(first, first + seeds) if seed not in done]
        print(
            f"{seeds} seeds from {first} on, {operations} operations each; {len(done)} are done"
            f" in {path}",
            flush=True,
        )
        with _ends_in_order():
            _run(file, left, operations, seconds, jobs)
        found = file.of(SEED)
        print(summary(found, operations))
        return 0 if all(line["violation"] is None for line in found) else 1


def _run(file: Records, seeds: Sequence[int], operations: int, seconds: float, jobs: int) -> None:
    if not seeds:
        return
    begun = shown = time.monotonic()
    for runs, report in enumerate(reports(seeds, operations, jobs), 1):
        file.add(noted(report))
        if not report.good:
            print(f"seed {report.seed}: VIOLATION {report.violation}", flush=True)
        now = time.monotonic()
        if now - shown >= PROGRESS_S:
            shown = now
            print(f"{now - begun:6.0f} s: {runs} of {len(seeds)} seeds", flush=True)
        if seconds and now - begun >= seconds:
            return


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """SIGTERM ends the workers, too, and at once: the end of a pool in order waits for locks that
    workers may hold. What is noted is noted."""

    def end(_: int, __: FrameType | None) -> None:
        for worker in multiprocessing.active_children():
            worker.kill()
        os._exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def noted(report: Report) -> dict[str, Any]:
    return {
        "kind": SEED,
        "seed": report.seed,
        "operations": report.operations,
        "violation": report.violation,
        "virtual_s": round(report.virtual_s, 1),
        "cpu_s": round(report.cpu_s, 2),
        "counts": {name: report.counts[name] for name in SHOWN},
    }


def summary(lines: Sequence[dict[str, Any]], operations: int) -> str:
    """For a person, and for the documentation."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line["counts"])
    bad = [line for line in lines if line["violation"] is not None]
    done = sum(line["operations"] for line in lines)
    virtual_h = sum(line["virtual_s"] for line in lines) / 3600
    cpu_min = sum(line["cpu_s"] for line in lines) / 60
    commits = ", ".join(sorted({line["commit"] for line in lines})) or "none"
    told = [
        f"{len(lines)} seeds, {done} operations, {virtual_h:.1f} h of virtual time in"
        f" {cpu_min:.0f} minutes of CPU; {len(bad)} violations; commit {commits}",
        ", ".join(f"{name} {counts[name]}" for name in SHOWN),
    ]
    for line in bad:
        replay = replay_command(line["seed"], operations)
        told.append(f"seed {line['seed']}: {line['violation']}\n    replay: {replay}")
    return "\n".join(told)
