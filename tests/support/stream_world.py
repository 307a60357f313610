"""A DynamoDB Stream in memory, and a follower of it in virtual time: seeded, without asyncio."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from node.streams.plan import ReadingPlan
from node.streams.shards import LATEST, TRIM_HORIZON, ShardDescription
from node.streams.steps import (
    Apply,
    Failure,
    Flush,
    Listing,
    ListShards,
    Look,
    Open,
    Page,
    Read,
    Step,
)

ITERATOR_LIFE_S = 900.0
DAY_S = 25 * 3600.0
RECORDS_MAX = 3
LIST_MAX = 2


class Refused(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@dataclass
class FakeShard:
    id: str
    parent: str | None
    records: list[int] = field(default_factory=list)
    """Sequence numbers, which are also the numbers of the writes."""
    closed: bool = False
    trimmed: int = 0
    """How many records are gone."""


@dataclass
class FakeStream:
    arn: str
    shards: dict[str, FakeShard] = field(default_factory=dict)
    enabled: bool = True


class Service:
    """One table and its streams. ``write`` is a change of the table by anybody."""

    def __init__(self, rng: random.Random, shards: int = 1) -> None:
        self.rng = rng
        self.now = 0.0
        self.exists = True
        self.streams: dict[str, FakeStream] = {}
        self.current: FakeStream | None = None
        self.written: dict[int, float] = {}
        """Writes to the table as it is now, with their times."""
        self._sequence = 0
        self._shard_number = 0
        self.enable(shards)

    # -- what befalls the table -------------------------------------------------------------

    def enable(self, shards: int = 1) -> None:
        stream = FakeStream(f"arn:{len(self.streams)}")
        self.streams[stream.arn] = stream
        self.current = stream
        for _ in range(shards):
            self._new_shard(stream, None)

    def disable(self) -> None:
        if self.current is not None:
            self.current.enabled = False
            for shard in self.current.shards.values():
                shard.closed = True
            self.current = None

    def recreate(self, shards: int = 1) -> None:
        self.disable()
        self.written.clear()
        self.enable(shards)

    def write(self) -> int:
        self._sequence += 1
        self.written[self._sequence] = self.now
        if self.current is not None:
            shard = self.rng.choice([s for s in self.current.shards.values() if not s.closed])
            shard.records.append(self._sequence)
        return self._sequence

    def split(self, shard_id: str | None = None, children: int = 2) -> list[str]:
        assert self.current is not None
        is_open = [s for s in self.current.shards.values() if not s.closed]
        parent = self.current.shards[shard_id] if shard_id else self.rng.choice(is_open)
        parent.closed = True
        return [self._new_shard(self.current, parent.id).id for _ in range(children)]

    def trim(self, *, whole_shards: bool = True) -> None:
        """Another day: everything written so far is older than 24 hours."""
        self.now += DAY_S
        for stream in self.streams.values():
            for shard in list(stream.shards.values()):
                shard.trimmed = len(shard.records)
                if whole_shards and shard.closed:
                    del stream.shards[shard.id]

    def _new_shard(self, stream: FakeStream, parent: str | None) -> FakeShard:
        self._shard_number += 1
        shard = FakeShard(f"shard-{self._shard_number:04}", parent)
        stream.shards[shard.id] = shard
        return shard

    # -- what it answers --------------------------------------------------------------------

    def answer(self, step: Step) -> Any:
        match step:
            case Look():
                if not self.exists:
                    raise Refused(Failure.GONE)
                return None if self.current is None else self.current.arn
            case ListShards(stream=arn, after=after):
                shards = sorted(self._stream(arn).shards.values(), key=lambda s: s.id)
                page = [s for s in shards if after is None or s.id > after][: LIST_MAX + 1]
                more = len(page) > LIST_MAX
                page = page[:LIST_MAX]
                listed = tuple(ShardDescription(s.id, s.parent, s.closed) for s in page)
                return Listing(listed, page[-1].id if more else None)
            case Open(stream=arn, shard=id_, position=position):
                return self._open(self._shard(arn, id_), arn, position)
            case Read(iterator=iterator):
                return self._read(iterator)
        raise AssertionError(step)

    def _stream(self, arn: str) -> FakeStream:
        if arn not in self.streams:
            raise Refused(Failure.GONE)
        return self.streams[arn]

    def _shard(self, arn: str, id_: str) -> FakeShard:
        shard = self._stream(arn).shards.get(id_)
        if shard is None:
            raise Refused(Failure.GONE)
        return shard

    def _open(self, shard: FakeShard, arn: str, position: str) -> str:
        if position == LATEST:
            index = len(shard.records)
        elif position == TRIM_HORIZON:
            index = shard.trimmed
        else:
            index = shard.records.index(int(position)) + 1
            if index <= shard.trimmed:
                raise Refused(Failure.TRIMMED)
        return f"{arn} {shard.id} {index} {self.now}"

    def _read(self, iterator: str) -> Page:
        arn, id_, index_text, issued = iterator.split()
        shard, index = self._shard(arn, id_), int(index_text)
        if self.now - float(issued) > ITERATOR_LIFE_S:
            raise Refused(Failure.EXPIRED)
        if index < shard.trimmed:
            raise Refused(Failure.TRIMMED)
        records = tuple(shard.records[index : index + RECORDS_MAX])
        index += len(records)
        over = shard.closed and index >= len(shard.records)
        following = None if over else f"{arn} {id_} {index} {self.now}"
        if not records:
            return Page((), None, following)
        age_s = self.now - self.written.get(records[-1], self.now)
        return Page(records, str(records[-1]), following, age_s)


@dataclass
class _Call:
    step: Step
    answer: Any
    failure: Failure | None
    done_at: float


class World:
    """A follower and its service. Answers are those of the moment of asking, and come later.

    ``known``: writes that no node can be without, because they were applied, or the table was
    flushed after them.
    """

    def __init__(self, seed: int, shards: int = 1, *, delay_s: float = 0.01) -> None:
        self.rng = random.Random(seed)
        self.service = Service(self.rng, shards)
        self.delay_s = delay_s
        self.fail: Callable[[Step], Failure | None] = lambda step: None
        self.known: set[int] = set()
        self.applied: list[int] = []
        self.steps: list[Step] = []
        self.checkpoint: tuple[str, dict[str, str]] = ("", {})
        self.follower = self._new_follower()
        self._calls: list[_Call] = []

    def _new_follower(self) -> ReadingPlan:
        stream, positions = self.checkpoint
        return ReadingPlan(stream, dict(positions), self.service.now)

    def take_over(self) -> None:
        """Another node becomes primary and goes on from the last checkpoint."""
        self._calls.clear()
        self.follower = self._new_follower()

    def save(self) -> None:
        self.checkpoint = self.follower.checkpoint() or self.checkpoint

    def run(self, duration_s: float) -> None:
        until = self.service.now + duration_s
        while True:
            self._start_steps()
            times = [call.done_at for call in self._calls] + [self.follower.wake_at(), until]
            self.service.now = min(max(min(times), self.service.now), until)
            ready = [call for call in self._calls if call.done_at <= self.service.now]
            if not ready and self.service.now >= until:
                return
            for call in ready:
                self._calls.remove(call)
                self._finish(call)

    def _start_steps(self) -> None:
        now = self.service.now
        for step in self.follower.due(now):
            self.steps.append(step)
            answer, failure = None, self.fail(step)
            if failure is None and not isinstance(step, Apply | Flush):
                try:
                    answer = self.service.answer(step)
                except Refused as refused:
                    failure = refused.failure
            if isinstance(step, Flush):
                # It is worth what had been written when it began.
                answer = set(self.service.written)
            delay_s = self.delay_s * self.rng.uniform(0.5, 1.5)
            self._calls.append(_Call(step, answer, failure, now + delay_s))

    def _finish(self, call: _Call) -> None:
        if call.failure is not None:
            self.follower.failed(call.step, call.failure, self.service.now)
            return
        answer = call.answer
        if isinstance(call.step, Flush):
            self.known |= answer
            answer = None
        elif isinstance(call.step, Apply):
            self.known.update(call.step.page.records)
            self.applied += call.step.page.records
        self.follower.done(call.step, answer, self.service.now)

    # -- questions --------------------------------------------------------------------------

    def unknown(self) -> set[int]:
        """Writes to the table as it is that some node may still be without."""
        return set(self.service.written) - self.known

    def count(self, kind: type) -> int:
        return sum(isinstance(step, kind) for step in self.steps)
