"""Many seeds on all cores, or one of them step by step.

Everything runs with PYTHONHASHSEED=0: then a seed goes the same way in every process.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from tests.simulation.simulation import Report, simulate
from tests.support.records import Refused

ROOT = Path(__file__).parents[2]
HASH_SEED = "0"
PROGRESS_S = 10.0
JOBS = 1 if "PYTEST_XDIST_WORKER" in os.environ else os.cpu_count() or 1
"""One process for each core, unless other tests run at the same time."""

OPERATIONS = 2000

SHOWN = (
    "hits",
    "query hits",
    "misses",
    "epochs",
    "said: took over",
    "said: starting over",
    "said: replication stream out of step, subscribing anew",
    "audited",
    "OutcomeUnknown",
    "crash",
    "pause",
    "planned stops",
    "keys judged",
    "keys not judged",
)


def replay_command(seed: int, operations: int = OPERATIONS) -> str:
    more = "" if operations == OPERATIONS else f" OPERATIONS={operations}"
    return f"make sim SEED={seed}{more}"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its schedule")
    parser.add_argument("--seeds", type=int, default=100, help="how many fresh ones")
    parser.add_argument("--first", type=int, help="the first of them; else drawn and printed")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop then; 0: never")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="of each seed")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--quiet", action="store_true", help="no schedule, no progress")
    parser.add_argument(
        "--continue",
        type=Path,
        dest="file",
        help="note each finished seed there, and go on with what is noted; any end is a good one",
    )
    parser.add_argument("--mixed", action="store_true", help="also with notes of other commits")
    options = parser.parse_args(argv)
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        return again(argv)
    if options.seed is not None:
        report = simulate(
            options.seed,
            operations=options.operations,
            trace=None if options.quiet else print,
        )
        print(told(report))
        return 0 if report.good else 1
    first = secrets.randbelow(1 << 31) if options.first is None else options.first
    if options.file is not None:
        return _continued(options, first)
    print(f"{options.seeds} seeds from {first} on, {options.operations} operations each")
    seeds = range(first, first + options.seeds)
    return 0 if many(seeds, options.operations, options.seconds, options.jobs) else 1


def again(argv: Sequence[str]) -> NoReturn:
    """This very program with hashes of texts that are the same every time, in the same process:
    what is sent to it, to end it, must reach it."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execve(
        sys.executable,
        [sys.executable, "-m", "tests.simulation", *argv],
        {**os.environ, "PYTHONHASHSEED": HASH_SEED},
    )


def _continued(options: argparse.Namespace, first: int) -> int:
    from tests.simulation import long_runs  # it uses this module

    try:
        return long_runs.go_on(
            options.file,
            seeds=options.seeds,
            first=first,
            fixed=options.first is not None,
            operations=options.operations,
            seconds=options.seconds,
            jobs=options.jobs,
            mixed=options.mixed,
        )
    except Refused as reason:
        print(f"make sim: {reason}", file=sys.stderr)
        return 2


def told(report: Report) -> str:
    speed = report.operations / max(report.cpu_s, 1e-9)
    verdict = "good" if report.good else f"VIOLATION {report.violation}"
    return (
        f"seed {report.seed}: {verdict}; {report.operations} operations in {report.virtual_s:.1f} s"
        f" of virtual time, {speed:.0f} a second; digest {report.digest:x}"
    )


def many(seeds: Iterable[int], operations: int, seconds: float, jobs: int) -> bool:
    """Prints progress, every violation with how to replay it, and a summary. False: there was
    one."""
    begun = shown = time.perf_counter()
    counts: Counter[str] = Counter()
    runs = done = bad = 0
    for report in reports(seeds, operations, jobs):
        runs += 1
        done += report.operations
        counts.update(report.counts)
        if not report.good:
            bad += 1
            print(f"{told(report)}\n    replay: {replay_command(report.seed, operations)}")
        elapsed = time.perf_counter() - begun
        if time.perf_counter() - shown >= PROGRESS_S:
            shown = time.perf_counter()
            print(f"{elapsed:6.0f} s: {runs} seeds, {done / elapsed:.0f} operations a second")
            sys.stdout.flush()
        if seconds and elapsed >= seconds:
            break
    elapsed = time.perf_counter() - begun
    print(
        f"{runs} seeds, {done} operations in {elapsed:.0f} s, {done / max(elapsed, 1e-9):.0f} a"
        f" second with {jobs} processes; {bad} violations"
    )
    print(", ".join(f"{name} {counts[name]}" for name in SHOWN))
    return not bad


def reports(seeds: Iterable[int], operations: int, jobs: int) -> Iterator[Report]:
    work = ((seed, operations) for seed in seeds)
    if jobs <= 1:
        yield from map(_run, work)
        return
    gc.freeze()
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs, maxtasksperchild=200) as pool:
        yield from pool.imap_unordered(_run, work)
        # In order: a pool that is ended by force may wait for a lock of a worker that is no more.
        pool.close()
        pool.join()


def _run(work: tuple[int, int]) -> Report:
    seed, operations = work
    return simulate(seed, operations=operations)
