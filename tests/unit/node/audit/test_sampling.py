"""Keys are drawn about equally often, and drawing leaves no trace."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from cluster.coherence.messages import Image
from cluster.settings import CacheSettings
from node.audit.sampling import Sampler
from node.cache.caches import Caches
from node.cache.eviction import EvictionName

SEED = 20


def filled(count: int, eviction: EvictionName = "sieve") -> Caches:
    caches = Caches.from_settings(CacheSettings(eviction=eviction))
    for number in range(count):
        caches.install((f"table-{number % 3}", b"%d" % number), Image(b"\x01"), 0.0)
    return caches


@pytest.mark.parametrize("eviction", ["s3fifo", "sieve", "lru"])
@pytest.mark.parametrize("count", [1, 7, 200, 2000])
def test_every_key_is_drawn(count: int, eviction: EvictionName) -> None:
    caches = filled(count, eviction)
    sampler = Sampler(caches.items, random.Random(SEED))
    drawn = Counter(sampler.draw(1.0) for _ in range(20 * count))
    assert None not in drawn
    assert len(drawn) == count
    assert max(drawn.values()) < 5 * 20


def test_nothing_is_marked_as_hit() -> None:
    caches = filled(50)
    sampler = Sampler(caches.items, random.Random(SEED))
    for _ in range(500):
        sampler.draw(1.0)
    assert not any(caches.items.columns.hits)


def test_what_cannot_be_answered_is_not_drawn() -> None:
    caches = filled(30)
    for number in range(10):
        caches.park((f"table-{number % 3}", b"%d" % number))
    caches.queries.put(("table-0", b"q"), object(), 100, 0.0)
    caches.install(("gone", b"k"), Image(b"\x01"), 0.0)
    caches.clear("gone")
    sampler = Sampler(caches.items, random.Random(SEED))
    drawn = {sampler.draw(1.0) for _ in range(500)}
    assert drawn == {(f"table-{number % 3}", b"%d" % number) for number in range(10, 30)}
    assert sampler.draw(1e9) is None, "all have expired"


def test_an_empty_cache_has_nothing_to_draw() -> None:
    caches = filled(0)
    sampler = Sampler(caches.items, random.Random(SEED))
    assert sampler.draw(1.0) is None
    caches.install(("t", b"k"), Image(None), 0.0)
    assert sampler.draw(1.0) == ("t", b"k")
    caches.discard(("t", b"k"))
    assert sampler.draw(1.0) is None


def test_drawing_goes_on_while_everything_changes() -> None:
    rng = random.Random(SEED)
    caches = filled(100)
    sampler = Sampler(caches.items, rng)
    for number in range(2_000):
        table = f"table-{number % 3}"
        caches.discard((table, b"%d" % rng.randrange(max(number, 1))))
        caches.install((table, b"%d" % number), Image(b"\x01"), 0.0)
        key = sampler.draw(1.0)
        assert key is not None
        assert caches.items.peek(*key) is not None
