"""Real memory per cached item beside what the byte budget counts for it.

    .venv/bin/python benchmarks/cache_memory.py [--items N] [--policy s3fifo|sieve|lru]

Each row is a process of its own: resident memory (RSS) before and after, divided by the entries
held. "growing" inserts N items into a budget that has room; "full" goes on with twice as many
more under a budget that N items fill, so that every insertion evicts. "over" is what an entry takes
beyond its key and value. Exits with 1 if budget and RSS differ by more than 15 % where the cache is
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
from node.cache.entry import Entry, Ttls  # noqa: E402
from node.cache.eviction import EvictionName, policy_named  # noqa: E402
from node.cache.item_cache import ItemCache  # noqa: E402
from paceline.dax.responses import item_reply  # noqa: E402

KEY_BYTES = 40
TOLERANCE = 0.15


@dataclass(frozen=True)
class Case:
    item_bytes: int | None
    full: bool


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
        if case.item_bytes is None:
            return None
        return i.to_bytes(8, "big") + bytes(case.item_bytes - 8)

    def key(i: int) -> bytes:
        return b"%0*d" % (KEY_BYTES, i)

    bytes_max = 1 << 40
    named = policy_named(cast("EvictionName", policy))
    if case.full:
        probe = ItemCache(Budget(bytes_max, named), Ttls())
        reply = item_reply(item(0))
        bytes_max = items * Entry(probe, b"", key(0), reply, 0.0).size
    gc.collect()
    before = rss_bytes()
    cache = ItemCache(Budget(bytes_max, named), Ttls())
    for i in range(items * 3 if case.full else items):
        cache.install("Users", key(i), item(i), now=i / 1000)
    gc.collect()
    return Measured(cache.count, rss_bytes() - before, cache.bytes)


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
    for full in (False, True):
        for item_bytes in (None, 100, 1024, 4096):
            items = min(options.items, (1 << 28) // (item_bytes or 1))
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as process:
                got = process.apply(measure, (Case(item_bytes, full), items, options.policy))
            rss, counted = got.rss_bytes / got.count, got.counted_bytes / got.count
            ratio = counted / rss
            if full:
                worst = max(worst, abs(ratio - 1))
            over = rss - KEY_BYTES - (item_bytes or 0)
            print(
                f"{'none' if item_bytes is None else item_bytes:>8}"
                f" {'full' if full else 'growing':>8}"
                f" {rss:9.0f} {counted:8.0f} {over:6.0f} {ratio:12.3f}"
            )
    print(f"worst difference where full: {worst:.1%} (at most {TOLERANCE:.0%})")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
