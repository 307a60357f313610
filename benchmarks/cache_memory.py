"""Real memory per cached item beside what the byte budget counts for it.

    .venv/bin/python benchmarks/cache_memory.py [--items N] [--policy s3fifo|sieve|lru]

Each row is a process of its own: resident memory (RSS) before and after, divided by the entries
held. "growing" inserts N items into a budget that has room; "full" goes on with twice as many
more under a budget that N items fill, so that every insertion evicts; of "formed" items a form for
another front end is kept besides, as large as the item. "over" is what an entry takes beyond its
key, value and form. Exits with 1 if budget and RSS differ by more than 5 % where the cache is
full.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from node.cache.budget import Budget  # noqa: E402 - after the path, to run from a checkout
from node.cache.entry import Ttls, item_bytes  # noqa: E402
from node.cache.eviction import EvictionName, policy_named  # noqa: E402
from node.cache.item_cache import ItemCache  # noqa: E402
from paceline.dax.responses import item_reply  # noqa: E402

KEY_BYTES = 40
COLUMN_BYTES = 52
"""Of the columns, per entry, with their room to grow."""
TOLERANCE = 0.05


@dataclass(frozen=True)
class Case:
    value_bytes: int | None
    full: bool
    formed: bool = False


@dataclass(frozen=True)
class Measured:
    count: int
    rss_bytes: int
    counted_bytes: int


def rss_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:  # macOS: the peak, which a process that only grows is at
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()


def measure(case: Case, items: int, policy: str) -> Measured:
    def item(i: int) -> bytes | None:
        if case.value_bytes is None:
            return None
        return i.to_bytes(8, "big") + bytes(case.value_bytes - 8)

    def key(i: int) -> bytes:
        return b"%0*d" % (KEY_BYTES, i)

    bytes_max = 1 << 40
    named = policy_named(cast("EvictionName", policy))
    if case.full:
        form = item(0) if case.formed else None
        bytes_max = items * (COLUMN_BYTES + item_bytes(key(0), item_reply(item(0)), form))
    gc.collect()
    before = rss_bytes()
    budget = Budget(bytes_max, named)
    cache = ItemCache(budget, Ttls())
    for i in range(items * 3 if case.full else items):
        entry = cache.install("Users", key(i), item(i), now=i / 1000)
        if case.formed and entry is not None:
            cache.keep_form(entry, item(i) or b"")
    gc.collect()
    return Measured(cache.count, rss_bytes() - before, budget.bytes_used)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--policy", choices=["s3fifo", "sieve", "lru"], default="s3fifo")
    options = parser.parse_args()
    print(f"{options.items} items, {KEY_BYTES}-byte keys, {options.policy}")
    print(
        f"{'item':>8} {'cache':>8} {'RSS/item':>9} {'counted':>8} {'over':>6} {'counted/RSS':>12}"
    )
    worst = 0.0
    for how in ("growing", "full", "formed"):
        for value_bytes in (None, 100, 1024, 4096):
            if value_bytes is None and how == "formed":
                continue
            items = min(options.items, (1 << 28) // (value_bytes or 1))
            case = Case(value_bytes, how != "growing", how == "formed")
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as process:
                got = process.apply(measure, (case, items, options.policy))
            rss, counted = got.rss_bytes / got.count, got.counted_bytes / got.count
            ratio = counted / rss
            if case.full:
                worst = max(worst, abs(ratio - 1))
            over = rss - KEY_BYTES - (value_bytes or 0) * (2 if case.formed else 1)
            print(
                f"{'none' if value_bytes is None else value_bytes:>8}"
                f" {how:>8}"
                f" {rss:9.0f} {counted:8.0f} {over:6.0f} {ratio:12.3f}"
            )
    print(f"worst difference where full: {worst:.1%} (at most {TOLERANCE:.0%})")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
