"""Made traces: zipf, with scans between, with a popularity that drifts, and loops."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate

Requests = list[tuple[bytes, int]]

KEYS = 100_000
SCAN_EVERY, SCAN_KEYS = 20_000, 5_000
DRIFT_EVERY, DRIFT_KEYS = 1_000, 20


def zipf(skew: float, count: int, chance: random.Random) -> Iterator[int]:
    """Ranks from 0, the most popular, of ``KEYS``."""
    weights = list(accumulate(1 / rank**skew for rank in range(1, KEYS + 1)))
    yield from chance.choices(range(KEYS), cum_weights=weights, k=count)


def zipf_keys(skew: float, count: int, seed: int) -> Requests:
    chance = random.Random(seed)
    return [(b"%d" % rank, 1) for rank in zipf(skew, count, chance)]


def with_scans(skew: float, count: int, seed: int) -> Requests:
    """A fifth of the requests are scans of keys that never come again."""
    requests: Requests = []
    fresh = KEYS
    for number, request in enumerate(zipf_keys(skew, count * 4 // 5, seed), 1):
        requests.append(request)
        if number % SCAN_EVERY == 0:
            requests += [(b"%d" % key, 1) for key in range(fresh, fresh + SCAN_KEYS)]
            fresh += SCAN_KEYS
    return requests


def drifting(skew: float, count: int, seed: int) -> Requests:
    """Every so often some keys take each other's popularity."""
    chance = random.Random(seed)
    names = list(range(KEYS))
    requests: Requests = []
    for number, rank in enumerate(zipf(skew, count, chance)):
        if number % DRIFT_EVERY == 0:
            for hot in range(DRIFT_KEYS):
                cold = chance.randrange(KEYS)
                names[hot], names[cold] = names[cold], names[hot]
        requests.append((b"%d" % names[rank], 1))
    return requests


def made(count: int, seed: int = 1) -> Iterator[tuple[str, Requests]]:
    """(name, requests) of each."""
    for skew in (0.7, 0.9, 1.1):
        yield f"zipf {skew}", zipf_keys(skew, count, seed)
    yield "zipf 0.9 with scans", with_scans(0.9, count, seed)
    yield "zipf 0.9, drifting", drifting(0.9, count, seed)
