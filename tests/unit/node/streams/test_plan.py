"""The follower of one stream: where it begins, what it reads when, what it makes up for."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from node.streams import plan, shards
from node.streams.plan import LOOK_S, NO_STREAM, NO_TABLE, POLL_S, ReadingPlan
from node.streams.shards import END, LATEST, TRIM_HORIZON, Shard, ShardDescription, Shards
from node.streams.steps import Apply, Failure, Flush, ListShards, Open, Page, Read, Step
from tests.support.stream_world import ITERATOR_LIFE_S, World

SEEDS = 80


def settled(world: World, duration_s: float = 40.0) -> None:
    """Heals everything, and demands that nothing is missing after a while."""
    world.fail = lambda step: None
    world.run(duration_s)
    assert world.unknown() == set()


def failing(kind: type, failure: Failure, times: int = 10**9) -> Callable[[Step], Failure | None]:
    left = [times]

    def fail(step: Step) -> Failure | None:
        if not isinstance(step, kind) or not left[0]:
            return None
        left[0] -= 1
        return failure

    return fail


class TestBeginning:
    def test_what_was_written_before_is_made_up_for_by_a_flush(self) -> None:
        world = World(1, shards=3)
        for _ in range(10):
            world.service.write()
        world.run(1.0)
        assert world.follower.complete
        assert world.unknown() == set()
        assert world.applied == [], "reading began with what is written from now on"
        assert world.count(Flush) == 1
        write = world.service.write()
        world.run(POLL_S + 0.1)
        assert world.applied == [write]

    def test_the_flush_comes_after_every_shard_has_answered(self) -> None:
        world = World(1, shards=3)
        slow = {"shard-0002"}
        world.fail = lambda step: (
            Failure.FAILED if isinstance(step, Read) and step.shard in slow else None
        )
        world.run(1.0)
        assert world.count(Flush) == 0
        assert not world.follower.complete
        assert world.follower.checkpoint() is None
        slow.clear()
        settled(world, 2.0)
        assert world.count(Flush) == 1

    def test_a_failed_flush_is_done_again(self) -> None:
        world = World(1)
        world.service.write()
        world.fail = failing(Flush, Failure.FAILED)
        world.run(1.0)
        later = world.service.write()
        world.run(1.0)
        assert later in world.applied
        assert world.follower.checkpoint() is None, "nobody could go on from here without a flush"
        settled(world, 5.0)
        assert world.follower.checkpoint() is not None

    def test_reading_is_paced(self) -> None:
        world = World(1)
        world.run(20.0)
        reads = world.count(Read)
        assert 20.0 / POLL_S - 5 <= reads <= 20.0 / POLL_S + 1
        world.follower.poll_s = 2.0
        world.run(20.0)
        assert world.count(Read) - reads <= 12

    def test_a_stream_whose_first_shard_is_still_to_come(self) -> None:
        world = World(1)
        assert world.service.current is not None
        later, world.service.current.shards = world.service.current.shards, {}
        world.run(2.0)
        assert not world.follower.complete
        world.service.current.shards = later
        world.service.write()
        world.run(5.0)
        assert world.follower.complete
        assert world.unknown() == set()


class TestGoingOn:
    def test_from_the_checkpoint_without_a_flush(self) -> None:
        world = World(2, shards=2)
        world.run(1.0)
        for _ in range(12):
            world.service.write()
        world.run(2.0)
        world.save()
        assert LATEST not in world.checkpoint[1].values()
        flushes = world.count(Flush)
        world.take_over()
        missed = world.service.write()
        world.run(1.0)
        assert missed in world.applied
        assert world.count(Flush) == flushes
        assert len(world.applied) == 13, "nothing was read twice"

    def test_what_came_after_an_old_checkpoint_is_read_twice(self) -> None:
        world = World(3)
        world.run(1.0)
        world.service.write()
        world.run(1.0)
        world.save()
        later = [world.service.write() for _ in range(5)]
        world.run(1.0)
        world.take_over()
        world.run(1.0)
        assert world.applied.count(later[0]) == 2
        assert world.unknown() == set()

    def test_a_shard_of_which_nothing_was_read_needs_a_flush(self) -> None:
        world = World(4)
        world.run(1.0)
        world.save()
        assert set(world.checkpoint[1].values()) == {LATEST}
        world.take_over()
        world.service.write()
        world.run(1.0)
        assert world.count(Flush) == 2
        assert world.unknown() == set()

    def test_after_the_stream_was_replaced_while_nobody_followed(self) -> None:
        world = World(5)
        world.run(1.0)
        world.service.write()
        world.run(1.0)
        world.save()
        world.service.recreate()
        world.service.write()
        world.take_over()
        world.run(1.0)
        assert world.unknown() == set()
        assert world.follower.complete

    def test_after_the_stream_was_disabled_while_nobody_followed(self) -> None:
        world = World(6)
        world.run(1.0)
        world.service.write()
        world.save()
        world.service.disable()
        world.take_over()
        world.run(1.0)
        assert world.unknown() == set()
        assert world.follower.missing == NO_STREAM


class TestResharding:
    def test_a_closed_shard_is_read_to_its_end_before_its_children(self) -> None:
        world = World(7)
        world.run(1.0)
        before = [world.service.write() for _ in range(7)]
        world.service.split("shard-0001")
        after = [world.service.write() for _ in range(7)]
        world.run(5.0)
        assert world.applied[: len(before)] == before
        assert set(world.applied) == {*before, *after}
        assert world.count(Flush) == 1

    def test_generations_of_splits_at_once(self) -> None:
        world = World(8)
        world.run(1.0)
        for _ in range(6):
            for _ in range(3):
                world.service.write()
            world.service.split(children=world.rng.choice([1, 2]))
        world.run(20.0)
        assert world.unknown() == set()
        assert world.count(Flush) == 1

    def test_children_that_are_listed_late(self) -> None:
        world = World(9)
        world.run(1.0)
        world.service.split("shard-0001")
        assert world.service.current is not None
        hidden = world.service.current.shards.pop("shard-0003")
        world.run(3.0)
        world.service.current.shards["shard-0003"] = hidden
        hidden.records.append(world.service.write() + 1000)
        world.service.written[hidden.records[-1]] = world.service.now
        world.run(70.0)
        assert world.unknown() == set()

    def test_shards_that_are_over_are_forgotten_and_not_read_again(self) -> None:
        world = World(10)
        world.run(1.0)
        for _ in range(5):
            world.service.write()
            world.service.split(children=1)
            world.run(5.0)
        world.save()
        assert list(world.checkpoint[1]) == ["shard-0006"]
        applied = len(world.applied)
        world.take_over()
        world.run(5.0)
        assert len(world.applied) == applied
        assert world.count(Flush) <= 2  # of shard 6 nothing may have been read yet

    def test_a_split_while_nobody_followed(self) -> None:
        world = World(11)
        world.run(1.0)
        world.service.write()
        world.run(1.0)
        world.save()
        for _ in range(3):
            world.service.split()
            world.service.write()
        world.take_over()
        world.run(10.0)
        assert world.unknown() == set()
        assert world.count(Flush) == 1

    def test_closed_shards_at_the_beginning_are_not_read(self) -> None:
        world = World(12)
        for _ in range(3):
            world.service.write()
            world.service.split()
        world.run(5.0)
        opened = {step.shard for step in world.steps if isinstance(step, Open)}
        assert world.service.current is not None
        assert opened == {s.id for s in world.service.current.shards.values() if not s.closed}
        assert world.unknown() == set()


class TestLostRecords:
    def test_a_trimmed_checkpoint_is_made_up_for(self) -> None:
        world = World(13, shards=2)
        world.run(1.0)
        for _ in range(6):
            world.service.write()
        world.run(2.0)
        world.save()
        lost = world.service.write()
        world.service.split()
        world.service.trim()
        world.take_over()
        world.run(5.0)
        assert lost not in world.applied
        assert world.unknown() == set()
        assert world.follower.restarts >= 1
        assert world.follower.complete

    def test_trimming_under_a_slow_reader(self) -> None:
        world = World(14)
        world.run(1.0)
        for _ in range(20):
            world.service.write()
        world.run(POLL_S)
        world.service.trim()
        settled(world, 5.0)
        assert world.count(Flush) == 2

    def test_first_records_that_were_trimmed_before_anything_was_read(self) -> None:
        """Nothing in the answers shows it."""
        world = World(14)
        world.run(1.0)
        world.service.split("shard-0001", children=1)
        world.run(5.0)
        write = world.service.write()
        world.service.trim(whole_shards=False)
        world.run(5.0)
        assert write not in world.applied
        assert world.unknown() == set()
        assert world.count(Flush) == 2

    def test_shards_that_came_and_went(self) -> None:
        world = World(14)
        world.run(1.0)
        world.service.split("shard-0001", children=1)
        world.fail = failing(ListShards, Failure.FAILED)
        world.run(5.0)
        write = world.service.write()
        world.service.split(children=1)
        world.service.trim()
        settled(world)
        assert write not in world.applied
        assert world.follower.complete

    def test_an_expired_iterator_is_replaced(self) -> None:
        world = World(15)
        world.run(1.0)
        world.service.write()
        world.run(1.0)
        world.service.now += 2 * ITERATOR_LIFE_S
        write = world.service.write()
        world.run(1.0)
        assert write in world.applied
        assert world.count(Flush) == 1

    def test_an_iterator_that_expired_before_anything_was_read(self) -> None:
        world = World(16)
        world.run(1.0)
        world.service.now += 2 * ITERATOR_LIFE_S
        world.service.write()
        world.run(1.0)
        assert world.applied == []
        assert world.unknown() == set()
        assert world.count(Flush) == 2

    def test_a_service_that_forgets_is_asked_anew_from_the_position(self) -> None:
        world = World(17)
        world.run(1.0)
        world.service.write()
        world.run(1.0)
        opened = world.count(Open)
        world.fail = failing(Read, Failure.FAILED, 5)
        world.run(10.0)
        assert world.count(Open) == opened + 1
        assert world.count(Flush) == 1

    def test_restarts_slow_down(self) -> None:
        world = World(18)
        world.fail = failing(Read, Failure.TRIMMED)
        world.run(60.0)
        assert world.count(ListShards) < 20
        settled(world)


class TestTroubles:
    def test_throttling_slows_down_and_loses_nothing(self) -> None:
        world = World(19)
        world.run(1.0)
        reads = world.count(Read)
        world.fail = failing(Read, Failure.THROTTLED)
        world.service.write()
        world.run(60.0)
        assert world.count(Read) - reads < 15
        settled(world)
        assert world.count(Open) == 1
        assert world.count(Flush) == 1

    @pytest.mark.parametrize("kind", [Open, Read, ListShards])
    def test_errors_of_every_step_are_outlived(self, kind: type) -> None:
        world = World(20, shards=2)
        world.service.write()
        world.fail = failing(kind, Failure.FAILED, 4)
        settled(world)
        assert world.follower.complete

    def test_a_page_that_could_not_be_applied_is_read_again(self) -> None:
        world = World(21)
        world.run(1.0)
        writes = [world.service.write() for _ in range(3)]
        world.fail = failing(Apply, Failure.FAILED, 2)
        world.run(5.0)
        assert world.applied == writes
        assert world.count(Flush) == 1


class TestTheTable:
    def test_disabled_and_enabled_again(self) -> None:
        world = World(22)
        world.run(1.0)
        world.service.write()
        world.service.disable()
        world.run(LOOK_S + 1)
        assert world.unknown() == set()
        assert not world.follower.complete
        assert world.follower.missing == NO_STREAM
        assert world.follower.checkpoint() is None
        world.service.write()
        world.service.enable()
        world.service.write()
        world.run(20.0)
        assert world.follower.complete
        assert world.unknown() == set()

    def test_made_anew(self) -> None:
        world = World(23)
        world.run(1.0)
        world.service.write()
        world.service.recreate(shards=2)
        world.service.write()
        world.run(1.0)
        assert world.unknown() == set(), "the end of the old stream was noticed at once"
        assert world.follower.complete

    def test_deleted(self) -> None:
        world = World(24)
        world.run(1.0)
        world.service.exists = False
        world.service.disable()
        world.run(1.0)
        assert world.follower.missing == NO_TABLE
        assert world.count(Flush) == 2
        steps = len(world.steps)
        world.run(120.0)
        assert len(world.steps) - steps < 15
        world.service.exists = True
        world.service.enable()
        world.service.write()
        settled(world)
        assert world.follower.complete

    def test_without_a_stream_from_the_start(self) -> None:
        world = World(25)
        world.service.disable()
        world.run(60.0)
        assert world.follower.missing == NO_STREAM
        assert world.count(Flush) == 0
        assert world.count(ListShards) == 0
        assert world.follower.lag_s(world.service.now) is None


def test_lag_is_how_long_nothing_was_heard() -> None:
    world = World(26)
    world.run(10.0)
    lag_s = world.follower.lag_s(world.service.now)
    assert lag_s is not None
    assert lag_s < POLL_S + 0.1
    world.fail = failing(Read, Failure.FAILED)
    world.run(30.0)
    lag_s = world.follower.lag_s(world.service.now)
    assert lag_s is not None
    assert 29.0 < lag_s < 31.0


def test_lag_counts_shards_whose_children_are_not_known_yet() -> None:
    world = World(28, shards=2)
    world.run(10.0)
    assert world.service.current is not None
    shard, other = world.service.current.shards
    world.fail = failing(ListShards, Failure.FAILED)
    world.service.split(shard)
    world.service.current.shards[other].closed = True  # so that the write goes to a child
    missed = world.service.write()
    world.service.current.shards[other].closed = False
    world.run(20.0)
    assert missed not in world.known
    lag_s = world.follower.lag_s(world.service.now)
    assert lag_s is not None
    assert 19.0 < lag_s < 21.0
    settled(world)
    lag_s = world.follower.lag_s(world.service.now)
    assert lag_s is not None
    assert lag_s < POLL_S + 0.1


def test_the_end_of_a_shard_says_nothing_of_what_was_written_after_it() -> None:
    world = World(30)
    world.run(10.0)
    assert world.service.current is not None
    (shard,) = world.service.current.shards
    world.fail = failing(ListShards, Failure.FAILED)
    (child,) = world.service.split(shard, children=1)
    (last,) = world.service.split(child, children=1)
    missed = world.service.write()
    world.run(5.0)
    world.fail = lambda step: Failure.FAILED if getattr(step, "shard", None) == last else None
    world.run(20.0)  # the child is read to its end now, long after it was closed
    assert missed not in world.known
    assert not untruths(world)
    settled(world)
    assert not untruths(world)


def untruths(world: World) -> set[int]:
    """Writes that are not known, though by the lag that is told they are."""
    follower, service = world.follower, world.service
    lag_s = follower.lag_s(service.now)
    stream = None if service.current is None else service.current.arn
    told = follower.complete and follower.level_known and follower.stream == stream
    if not told or lag_s is None:
        return set()
    known_until = service.now - lag_s - 1e-6  # writes of one instant may be on two pages
    return {w for w in world.unknown() if service.written[w] < known_until}


def test_what_came_after_a_checkpoint_is_not_known_before_it_is_read() -> None:
    world = World(29)
    world.run(1.0)
    world.service.write()
    world.run(1.0)
    world.save()
    world.service.write()
    world.take_over()
    world.fail = failing(Read, Failure.FAILED)
    world.run(5.0)
    assert world.unknown() != set()
    assert world.follower.complete
    assert not world.follower.level_known
    settled(world)
    assert world.follower.level_known


def test_the_graph_of_a_listing_whose_oldest_shards_are_gone() -> None:
    known = Shards({"c": "17"})
    b, c = ShardDescription("b", "a", True), ShardDescription("c", "b", True)
    x, y = ShardDescription("x", "c", True), ShardDescription("y", "x", False)
    assert known.learn([y, x, c, b])
    assert known.positions() == {"c": "17", "x": TRIM_HORIZON, "y": TRIM_HORIZON}
    assert [shard.id for shard in known.readable()] == ["c"]
    known.end(known.by_id["c"])
    assert known.learn([b, c, x, y])
    assert [shard.id for shard in known.readable()] == ["x"]
    known.end(known.by_id["x"])
    assert known.learn([y])
    assert known.positions() == {"y": TRIM_HORIZON}
    assert not known.learn([y, ShardDescription("z", "w", False)]), "who read w?"
    assert not known.learn([y, ShardDescription("w", None, False)])
    assert END not in known.positions().values()


def _storm(world: World, rng: random.Random) -> None:
    """One thing that may happen to a stream and to those who follow it."""
    service = world.service
    match rng.randrange(14):
        case 0 | 1 | 2 | 3 | 4:
            for _ in range(rng.randrange(1, 6)):
                service.write()
        case 5 | 6:
            if service.current is not None:
                service.split(children=rng.choice([1, 2, 2]))
        case 7:
            world.save()
        case 8:
            if rng.random() < 0.5:
                world.save()
            world.take_over()
        case 9:
            rate = rng.choice([0.0, 0.0, 0.2, 0.6])
            kinds = [Failure.FAILED, Failure.THROTTLED, Failure.EXPIRED]
            world.fail = lambda step: rng.choice(kinds) if rng.random() < rate else None
        case 10:
            service.now += rng.choice([0.0, 3.0, 2 * ITERATOR_LIFE_S])
        case 11:
            service.trim(whole_shards=rng.random() < 0.7)
        case 12:
            if service.current is None:
                service.enable(rng.randrange(1, 4))
            elif rng.random() < 0.5:
                service.recreate(rng.randrange(1, 4))
            else:
                service.disable()
        case 13:
            world.delay_s = rng.choice([0.001, 0.05, 0.5])


def _seeds() -> list[int]:
    if "PACELINE_SEED" in os.environ:
        return [int(os.environ["PACELINE_SEED"])]
    return list(range(SEEDS))


def history(seed: int) -> None:
    """AssertionError if a write gets lost."""
    world = World(seed, shards=1 + seed % 4)
    rng = random.Random(f"storm {seed}")
    for _ in range(60):
        _storm(world, rng)
        world.run(rng.choice([0.0, 0.1, 1.0]))
        assert not untruths(world)
    if world.service.current is None:
        world.service.enable()
    settled(world, 30.0)
    assert world.follower.complete
    last = world.service.write()
    world.run(4.0)  # a read under way, another one, and the invalidation
    assert last in world.applied


def test_random_histories_lose_nothing() -> None:
    for seed in _seeds():
        try:
            history(seed)
        except BaseException:
            print(f"PACELINE_SEED={seed}")
            raise


def no_flush(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReadingPlan, "_want_flush", lambda self, reason: None)


def flush_before_reading(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReadingPlan, "_may_flush", lambda self: not self._flushing)


def position_before_application(patch: pytest.MonkeyPatch) -> None:
    page_taken = ReadingPlan._page

    def page(self: ReadingPlan, shard: Shard, page: Page, asked_at: float, now: float) -> None:
        page_taken(self, shard, page, asked_at, now)
        shard.position = page.last or shard.position

    patch.setattr(ReadingPlan, "_page", page)


def any_checkpoint_is_good(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan, "WITHOUT_RECORDS", frozenset())


def children_from_now_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shards, "TRIM_HORIZON", LATEST)
    patch.setattr(ReadingPlan, "_may_flush", lambda self: not self._flushing)


def trimmed_records_are_gone_and_that_is_it(patch: pytest.MonkeyPatch) -> None:
    def restart(self: ReadingPlan, why: str, now: float) -> None:
        self._begin(self.stream, {}, None, now)

    patch.setattr(ReadingPlan, "_restart", restart)


def a_lost_stream_needs_no_flush(patch: pytest.MonkeyPatch) -> None:
    begin = ReadingPlan._begin

    def quiet(
        self: ReadingPlan, stream: str | None, positions: Any, flush: str | None, now: float
    ) -> None:
        began_before = self._checkpoint != ("", {}) or stream == self.stream
        begin(self, stream, positions, flush if began_before else None, now)

    patch.setattr(ReadingPlan, "_begin", quiet)


@pytest.mark.parametrize(
    "bug",
    [
        no_flush,
        flush_before_reading,
        position_before_application,
        any_checkpoint_is_good,
        children_from_now_on,
        trimmed_records_are_gone_and_that_is_it,
        a_lost_stream_needs_no_flush,
    ],
    ids=lambda bug: str(bug.__name__),
)
def test_each_rule_is_needed(
    bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    for seed in range(10 * SEEDS):
        try:
            history(seed)
        except AssertionError:
            print(f"caught by seed {seed}")
            return
    pytest.fail("no seed catches it")
