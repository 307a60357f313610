"""Which keys are read most: the bounds that the sketch promises, windows, and what a node tells."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from node.admin.hot_keys import HotKeysCommand
from node.backend.calls import Success
from node.reads.reading import ReadRequest
from node.requests.hit_samples import EVERY, HitSamples, units_of
from node.requests.hot_keys import HotKeys, Sketch
from paceline.clock import now
from paceline.dax.responses import MISS_REPLY
from paceline.errors import RequestError
from tests.unit.node.frontends.doors import Node


@pytest.mark.parametrize("seed", range(20))
def test_no_key_is_further_off_than_the_sketch_says(seed: int) -> None:
    rng = random.Random(seed)
    sketch = Sketch(keys_max=20)
    true: Counter[tuple[bytes, bytes]] = Counter()
    skew = rng.choice((0.5, 1.0, 2.0))
    keys = [(b"t", b"%d" % number) for number in range(500)]
    weights = [1 / (rank + 1) ** skew for rank in range(500)]
    for place in rng.choices(keys, weights, k=5000):
        reads = rng.choice((1, EVERY))
        true[place] += reads
        sketch.add(place, reads)
        assert len(sketch.counts) <= 40
    assert sketch.reads == true.total()
    assert sketch.lost <= sketch.reads / 20
    for place in keys:
        least = sketch.counts.get(place, 0)
        assert least <= true[place] <= least + sketch.lost


def test_what_was_read_two_windows_ago_is_forgotten() -> None:
    hot = HotKeys(window_s=60.0)
    hot.add(b"t", b"old", 16, 100.0)
    hot.add(b"t", b"old", 16, 159.0)
    hot.add(b"t", b"new", 16, 161.0)
    assert [(one.key, one.least) for one in hot.hottest(165.0)] == [(b"old", 32), (b"new", 16)]
    assert hot.seen(165.0) == (48, 65.0)
    assert [one.key for one in hot.hottest(221.0)] == [b"new"]
    assert list(hot.hottest(400.0)) == []
    assert hot.seen(400.0) == (0, 0.0)


@pytest.mark.parametrize("pattern", [2, 16, 31])
def test_one_hit_in_sixteen_is_sampled_and_no_pattern_of_keys_falls_in_with_it(
    pattern: int,
) -> None:
    samples = HitSamples()
    taken: Counter[int] = Counter()
    samples.begin(lambda: 0.0, lambda *_: None, lambda *_: None)
    hits = 160_000
    for hit in range(1, hits + 1):
        if hit >= samples.due_at:
            taken[hit % pattern] += 1
            samples.take(hit, b"t", b"%d" % (hit % pattern), b"reply", 0.0)
    assert taken.total() == pytest.approx(hits / EVERY, rel=0.03)
    assert min(taken.values()) > 0.8 * taken.total() / pattern
    assert len(taken) == pattern


def test_nothing_is_sampled_before_it_begins() -> None:
    samples = HitSamples()
    assert samples.due_at > 1_000_000_000
    samples.missed(b"t", b"k", 0.0)
    assert samples.hot_keys.seen(0.0) == (0, 0.0)


def test_what_hits_save_is_what_dynamodb_asks_for_eventually_consistent_reads() -> None:
    assert [units_of(size) for size in (0, 1, 4096, 4097, 400_000)] == [0.5, 0.5, 0.5, 1.0, 49.0]
    samples = HitSamples()
    samples.take(1, b"t", b"a", bytes(5000), 0.0)
    samples.take(2, b"t", b"b", MISS_REPLY, 0.0)
    samples.page(b"u", 4097)
    assert samples.saved_units == {b"t": EVERY * 1.5, b"u": 1.0}
    assert samples.negative == EVERY


def test_the_time_of_a_sampled_hit_ends_with_the_turn_of_the_loop() -> None:
    later: list[tuple[Any, ...]] = []
    took: list[tuple[Any, ...]] = []
    clock = [10.0]
    samples = HitSamples()
    samples.begin(
        lambda: clock[0], lambda *call: later.append(call), lambda *told: took.append(told)
    )
    samples.take_at_once(16, b"t", b"a", b"reply", 10.0, "dax")
    ((call, *given),) = later
    clock[0] = 10.25
    call(*given)
    assert took == [(0.25, b"t", "dax")]


async def test_a_node_tells_hashes_and_keys_only_when_asked() -> None:
    node = Node()
    node.dynamodb.answer = lambda operation, params: Success({"Item": {"id": {"S": "a"}}})
    await node.tables.schema("table")
    node.operations.sampling_hits(now, lambda *_: None)
    get = ReadRequest("GetItem", {"TableName": "table", "Key": {"id": {"S": "secret-key"}}})
    await node.operations.read(get, now() + 10)
    tell = HotKeysCommand(node.operations, now).tell
    told = await tell({})
    assert "secret-key" not in str(told)
    (key,) = told["keys"]
    assert key["table"] == "table"
    assert (key["reads_min"], key["reads_max"]) == (1, 1)
    shown = await tell({"keys": "shown", "table": "table"})
    assert shown["keys"] == [{**key, "key": {"id": {"S": "secret-key"}}}]
    assert (await tell({"table": "another"}))["keys"] == []
    for wrong in ({"count": "0"}, {"count": "101"}, {"count": "x"}, {"keys": "all"}):
        with pytest.raises(RequestError):
            await tell(wrong)


async def test_hits_that_a_front_end_answers_at_once_have_a_time() -> None:
    node = Node()
    later: list[tuple[Any, ...]] = []
    node.operations.sampling_hits(now, lambda *call: later.append(call))
    node.operations.reads.counters.samples.take_at_once(16, b"table", b"a", b"reply", now(), "http")
    ((call, *given),) = later
    call(*given)
    found = {
        labels: buckets for labels, buckets, _ in node.operations.work.latencies.distributions()
    }
    assert found[("GetItem", "hit")][-1] == ("+Inf", EVERY)
