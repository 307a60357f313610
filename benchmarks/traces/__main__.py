"""Hit ratios of S3-FIFO, SIEVE, LRU and W-TinyLFU on public traces and made ones.

    make traces                     # all of them, some ten minutes
    make traces QUICK=1             # the first 100 000 requests of each
    make traces TRACES=FOLDER       # where the files are, or are downloaded to

S3-FIFO, SIEVE and LRU are the nodes' own code, and so is the budget that all of them run in. What
is found is printed and written to ``benchmarks/results/traces.md``. Exit code 1 if a public trace
could not be brought: the others are measured all the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import process_time

from benchmarks.traces.made import Requests, made
from benchmarks.traces.public import TRACES, CannotFetch, fetch, read
from benchmarks.traces.replay import POLICIES, Replay

RESULTS = Path(__file__).parents[1] / "results"
FOLDER = Path(".traces")
MOST, QUICK = 500_000, 100_000
SHARES = (0.001, 0.01, 0.1)
"""Of a trace's keys, how many the cache holds."""
ENTRIES_MIN = 50
"""A cache of fewer entries is not measured."""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"the first {QUICK} requests of each")
    parser.add_argument("--traces", type=Path, default=FOLDER, help="the folder of public traces")
    parser.add_argument("--only", default="", help="traces whose name has this in it")
    return parser.parse_args(words)


def traces(folder: Path, most: int, only: str, failed: list[str]) -> Iterator[tuple[str, Requests]]:
    """(name, requests) of each; what could not be brought is told in ``failed``."""
    for trace in TRACES:
        if only in trace.name:
            try:
                yield trace.name, read(trace, fetch(trace, folder), most)
            except CannotFetch as error:
                print(error, file=sys.stderr)
                failed.append(trace.name)
    for name, requests in made(most):
        if only in name:
            yield name, requests


def measure(requests: Requests, entries: int) -> dict[str, tuple[float, float]]:
    """Of each policy the hit ratio, and microseconds of CPU per request."""
    found = {}
    for name, make in POLICIES.items():
        replay = Replay(entries, make(entries))
        begun = process_time()
        replay.run(requests)
        found[name] = replay.ratio, (process_time() - begun) / len(requests) * 1e6
    return found


def table(rows: Sequence[tuple[str, int, dict[str, tuple[float, float]]]]) -> str:
    """Hit ratios, the best of each row in bold, and the mean of what each misses beside LRU."""
    lines = [
        f"| trace | entries | {' | '.join(POLICIES)} |",
        "| --- | --- |" + " --- |" * len(POLICIES),
    ]
    for name, entries, found in rows:
        best = max(round(ratio, 3) for ratio, _ in found.values())
        cells = [
            f"**{ratio:.3f}**" if round(ratio, 3) == best else f"{ratio:.3f}"
            for ratio, _ in found.values()
        ]
        lines.append(f"| {name} | {entries} | {' | '.join(cells)} |")
    for what, of in (
        ("mean", lambda found, name: found[name][0]),
        ("misses of LRU's, mean", lambda found, name: (1 - found[name][0]) / (1 - found["LRU"][0])),
        ("µs of CPU a request", lambda found, name: found[name][1]),
    ):
        means = [sum(of(found, name) for *_, found in rows) / len(rows) for name in POLICIES]
        lines.append(f"| {what} | | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    failed: list[str] = []
    rows = []
    most = QUICK if options.quick else MOST
    for name, requests in traces(options.traces, most, options.only, failed):
        keys = len({key for key, _ in requests})
        for share in SHARES:
            entries = int(keys * share)
            if entries >= ENTRIES_MIN:
                rows.append((name, entries, measure(requests, entries)))
                print(table(rows[-1:]).splitlines()[2], flush=True)
    if not rows:
        print("no trace was measured", file=sys.stderr)
        return 1
    found = table(rows)
    print(found)
    if not options.only:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "traces.md").write_text(found + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
