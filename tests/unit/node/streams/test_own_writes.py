"""Which records may be passed over: never one that some node may still be older than."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence

import pytest

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Image, Outcome, Position
from node.cache.budget import Budget
from node.cache.caches import Caches
from node.cache.entry import Ttl, Ttls
from node.cache.eviction import policy_named
from node.streams import own_writes
from node.streams.own_writes import OwnWrites
from paceline.types import Key

SEEDS = 400
STEPS = 120
TABLE = "t"


def image(value: str | None) -> Image:
    return Image(None if value is None else value.encode())


class World:
    """One primary, one item per key, writers inside and outside, a stream that lags.

    ``oldest``: the oldest state of the item, as a number of its history, that some node may still
    answer with. What is read after a fence ended is at least what was committed by then.
    """

    def __init__(self, seed: int, own: OwnWrites) -> None:
        self.rng = random.Random(seed)
        self.own = own
        caches = Caches(Budget(1 << 20, policy_named("sieve")), Ttls(Ttl.from_millis(0, 0, 0)))
        self.guard = Guard(caches, 10.0)
        self.guard.extend(1e9, 0.0)
        self.now = 0.0
        self.history: dict[Key, list[str | None]] = {}
        self.oldest: dict[Key, int] = {}
        self.stream: list[tuple[Key, int]] = []
        """Key and number of the state in the key's history."""
        self.read_to = 0
        self.applying: list[tuple[list[Key], Position | None]] = []
        """Records that were looked at: their keys, and their fence once it has begun."""
        self.writing: list[tuple[Key, Position, str | None, int | None]] = []
        self.values: dict[Position, Image] = {}
        self.sequence = 0
        self.skipped = self.applied = 0
        own.watch(TABLE)

    def fence(self, keys: Sequence[Key]) -> Position:
        self.sequence += 1
        position = Position(1, self.sequence)
        self.guard.fence(position, keys, self.now)
        self.own.fenced(position, keys, ())
        return position

    def settle(self, fence: Position, outcome: Outcome, images: Sequence[Image | None]) -> None:
        clear = outcome is Outcome.SUCCESS
        allowed = self.guard.images_allowed(fence, images, self.now) if clear else ()
        self.own.settled(fence, allowed)
        self.guard.settle(fence, outcome, allowed, self.now)

    def commit(self, key: Key, value: str | None) -> int:
        """The number of the state after it."""
        states = self.history.setdefault(key, [None])
        if states[-1] != value:
            states.append(value)
            self.stream.append((key, len(states) - 1))
        return len(states) - 1

    # -- steps ------------------------------------------------------------------------------

    def step(self) -> None:
        self.now += 0.1
        key = (TABLE, self.rng.choice([b"1", b"2"]))
        match self.rng.randrange(10):
            case 0 | 1:
                self.commit(key, self.rng.choice(["a", "b", None]))
            case 2 | 3:
                value = self.rng.choice(["a", "b", None])
                fence = self.fence([key])
                self.values[fence] = image(value)
                self.writing.append((key, fence, value, None))
            case 4:
                self._carry_on_writing()
            case 5 | 6:
                self._carry_on_writing()
                self._carry_on_writing()
            case 7 | 8:
                self._carry_on_reading()
            case 9:
                if self.rng.random() < 0.1:
                    self._flush()
                self._carry_on_reading()

    def _carry_on_writing(self) -> None:
        if not self.writing:
            return
        index = self.rng.randrange(len(self.writing))
        key, fence, value, state = self.writing.pop(index)
        if state is None:
            self.writing.insert(index, (key, fence, value, self.commit(key, value)))
            return
        unknown = self.rng.random() < 0.1
        known = [None if unknown else image(value)]
        alone = self.guard.images_allowed(fence, known, self.now)[0] is not None
        self.settle(fence, Outcome.UNKNOWN if unknown else Outcome.SUCCESS, known)
        if unknown:
            self.now += 25.0  # until the quarantines are over
        # With its image, or by the next read, which is consistent.
        self.oldest[key] = state if alone else len(self.history[key]) - 1

    def _carry_on_reading(self) -> None:
        """A page of records goes through three turns: looked at, fenced, settled. With one shard
        there is one page at a time."""
        if not self.applying:
            page = self.stream[self.read_to : self.read_to + self.rng.randrange(1, 4)]
            self.read_to += len(page)
            foreign = [key for key, state in page if not self._skip(key, state)]
            if foreign:
                self.applying.append((list(dict.fromkeys(foreign)), None))
            return
        keys, fence = self.applying.pop()
        if fence is None:
            self.own.forget(keys)
            self.applying.append((keys, self.fence(keys)))
            return
        self.settle(fence, Outcome.SUCCESS, ())
        self.applied += len(keys)
        for key in keys:
            self.oldest[key] = len(self.history[key]) - 1

    def _skip(self, key: Key, state: int) -> bool:
        value = self.history[key][state]
        if not self.own.is_echo(key, image(value).item, None):
            return False
        self.skipped += 1
        assert self.oldest.get(key, 0) >= state, f"a node may hold what was there before {state}"
        return True

    def _flush(self) -> None:
        """Reading begins anew at the latest record."""
        self.own.unwatch(TABLE)
        self.applying = [(keys, fence) for keys, fence in self.applying if fence is not None]
        self.read_to = len(self.stream)
        self.guard.flush(TABLE, self.now)
        self.oldest = {key: len(states) - 1 for key, states in self.history.items()}
        self.own.watch(TABLE)


def run(seed: int, own: OwnWrites) -> World:
    world = World(seed, own)
    for _ in range(STEPS):
        world.step()
    return world


def _seeds() -> list[int]:
    if "PACELINE_SEED" in os.environ:
        return [int(os.environ["PACELINE_SEED"])]
    return list(range(SEEDS))


def test_no_record_is_passed_over_that_some_node_may_not_know_of() -> None:
    skipped = applied = 0
    for seed in _seeds():
        try:
            world = run(seed, OwnWrites())
        except BaseException:
            print(f"PACELINE_SEED={seed}")
            raise
        skipped += world.skipped
        applied += world.applied
    assert skipped > len(_seeds()) / 2, "nothing was tested"
    assert applied > len(_seeds())


class AnyMatch(OwnWrites):
    def is_echo(self, key: Key, item: bytes | None, effect: Effect | None) -> bool:
        writes = self._writes.get(key) or ()
        return any(each.digest == own_writes._digest(item) for each in writes)


class KeepsOnMismatch(OwnWrites):
    def is_echo(self, key: Key, item: bytes | None, effect: Effect | None) -> bool:
        writes = self._writes.get(key)
        if writes is None or writes[0].digest != own_writes._digest(item):
            return False
        return super().is_echo(key, item, effect)


class DoesNotForgetAtTheFence(OwnWrites):
    def forget(self, keys: object) -> None: ...


class RemembersOverlapping(OwnWrites):
    """As if images of overlapped writes were told, too."""

    values: Mapping[Position, Image]

    def settled(self, fence: Position, images: Sequence[Image | None]) -> None:
        if images == (None,):
            images = (self.values.get(fence),)
        super().settled(fence, images)


class ForgetsNothingAtAFlush(OwnWrites):
    def unwatch(self, table: str) -> None: ...


@pytest.mark.parametrize(
    "bug",
    [
        AnyMatch,
        KeepsOnMismatch,
        DoesNotForgetAtTheFence,
        RemembersOverlapping,
        ForgetsNothingAtAFlush,
    ],
)
def test_each_rule_is_needed(bug: type[OwnWrites]) -> None:
    for seed in range(10 * SEEDS):
        own = bug()
        world = World(seed, own)
        if isinstance(own, RemembersOverlapping):
            own.values = world.values
        try:
            for _ in range(STEPS):
                world.step()
        except AssertionError:
            print(f"caught by seed {seed}")
            return
    pytest.fail("no seed catches it")


KEY = (TABLE, b"k")
OTHER = ("u", b"k")


def written(own: OwnWrites, value: str | None, *touches: IndexTouch, key: Key = KEY) -> None:
    position = Position(1, written.__dict__.setdefault("n", 0) + 1)
    written.__dict__["n"] = position.sequence
    own.fenced(position, [key], [Effect(7, touches)] if touches else ())
    own.settled(position, [image(value)])


def test_own_writes_come_back_in_order() -> None:
    own = OwnWrites()
    own.watch(TABLE)
    for value in ("a", "b", None, "a"):
        written(own, value)
    assert own.is_echo(KEY, b"a", None)
    assert own.is_echo(KEY, b"b", None)
    assert own.is_echo(KEY, None, None)
    assert own.is_echo(KEY, b"a", None)
    assert not own.expects(KEY)
    assert not own.is_echo(KEY, b"a", None)


def test_only_of_tables_that_are_followed_without_a_gap() -> None:
    own = OwnWrites()
    written(own, "a")
    assert not own.expects(KEY)
    own.watch(TABLE)
    written(own, "a")
    written(own, "a", key=OTHER)
    assert own.expects(KEY)
    assert not own.expects(OTHER)
    own.unwatch(TABLE)
    own.watch(TABLE)
    assert not own.expects(KEY)


def test_a_record_that_touches_more_of_an_index_is_applied() -> None:
    own = OwnWrites()
    rome, oslo = IndexTouch("city", b"rome"), IndexTouch("city", b"oslo")
    for effect, echo in (
        (Effect(7, (oslo,)), True),
        (Effect(7, ()), True),
        (Effect(7, (oslo, rome)), False),
        (Effect(8, (oslo,)), False),
        (Effect(7, None), False),
        (None, False),
    ):
        own.watch(TABLE)
        written(own, "a", oslo)
        assert own.is_echo(KEY, b"a", effect) is echo
        own.unwatch(TABLE)
    own.watch(TABLE)
    written(own, "a")
    assert own.is_echo(KEY, b"a", Effect(7, (rome,))), "a write of unknown effect evicts all"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_writes, "KEYS_MAX", 2)
    monkeypatch.setattr(own_writes, "WRITES_PER_KEY_MAX", 2)
    own = OwnWrites()
    own.watch(TABLE)
    for value in ("a", "b", "c"):
        written(own, value)
    assert own.is_echo(KEY, b"b", None)
    for number in range(3):
        written(own, "x", key=(TABLE, bytes([number])))
    assert [own.expects((TABLE, bytes([n]))) for n in range(3)] == [False, True, True]


def test_an_epoch_takes_everything_with_it() -> None:
    own = OwnWrites()
    own.watch(TABLE)
    written(own, "a")
    own.fenced(Position(1, 10**6), [KEY], ())
    own.epoch_over()
    own.watch(TABLE)
    own.settled(Position(1, 10**6), [image("b")])
    assert not own.expects(KEY)
