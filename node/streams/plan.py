"""The plan for reading one table's stream: what to do next, and what the answers mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from node.streams.shards import (
    LATEST,
    NEVER,
    TRIM_HORIZON,
    WITHOUT_RECORDS,
    Shard,
    ShardDescription,
    Shards,
)
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

POLL_S = 0.25
"""The time between two reads of a shard that has nothing new: as often as Lambda asks, and below
the five reads per second and shard that the service gives to all readers together."""

GAP_S = 0.2
"""The time between two reads of a shard that has more to tell, for the same limit."""

LOOK_S = 5.0
"""The time between two looks at whether the table's stream is still the same one. The stream of a
table that is deleted or made anew ends, which is noticed by reading it; the look finds the rest."""

LOOK_MISSING_FIRST_S = 1.0
LOOK_MISSING_MAX_S = 15.0
"""The longest time between two looks at a table without a stream. The looks begin close together,
since the table may be about to be made anew."""

LIST_S = 60.0
"""The time between two listings of the shards when nothing calls for one."""

LIST_RETRY_S = 0.5
LIST_RETRY_MAX_S = 15.0
"""The longest time between two listings while a closed shard has no children yet. An account may
list ten times a second."""

BACKOFF_S = 0.25
BACKOFF_MAX_S = 10.0
"""The longest pause after errors and throttling; the pause doubles each time."""

RETENTION_S = 20 * 3600.0
"""Records are trimmed after 24 hours. A shard that is read from its first record on gives no sign
that some are missing, so this is how far behind it may be."""

BUSY_MAX = 8
"""The most shards of a table that are read or invalidated at a time."""


REOPEN_FAILURES = 3
"""Failures in a row, some two seconds, after which an iterator counts as forgotten: a local
DynamoDB that was started again may give it another meaning."""


NO_STREAM = "the table has no stream"
NO_TABLE = "there is no such table"


class ReadingPlan:
    """One table, for as long as one node is its primary.

    Invariants:

    * A shard's position moves past records only when they have been applied.
    * Whatever may have been missed (before the first record, between two streams, by trimming) is
      made up for by a flush after the first answer from where reading goes on: what was written
      before that answer is then in no cache, what comes later is read.
    * ``checkpoint`` is None while such a flush is wanted.
    """

    def __init__(self, stream: str, positions: Mapping[str, str], now: float) -> None:
        """``stream`` and ``positions``: the last checkpoint, or empty."""
        self.poll_s = POLL_S
        self.stream: str | None = None
        self.missing: str | None = None
        """Why nothing is followed. None before the first look, too."""
        self.flushes = 0
        self.restarts = 0
        self._checkpoint = (stream, positions)
        self._shards = Shards({})
        self._generation = 0
        self._began_at = now
        self._looking = False
        self._look_at = now
        self._look_pause_s = LOOK_MISSING_FIRST_S
        self._fresh = True
        """True if there is no position to go on from."""
        self._listed = False
        self._listing: list[ShardDescription] | None = None
        self._list_after: str | None = None
        self._list_at = inf
        self._list_busy = False
        self._list_again = False
        self._list_pause_s = LIST_RETRY_S
        self._flush: str | None = None
        """Why a flush is wanted; None if none is."""
        self._flush_number = 0
        self._flushing = False
        self._flush_at = NEVER
        self._failures = 0
        self._restarts_in_row = 0
        self._applies: list[Apply] = []

    # -- what to do -------------------------------------------------------------------------

    def due(self, now: float) -> list[Step]:
        """Returns the steps to take now. Each one ends in ``done`` or ``failed``."""
        steps: list[Step] = list(self._applies)
        self._applies.clear()
        if not self._looking and now >= self._look_at:
            self._looking = True
            steps.append(Look())
        if self.stream is not None and not self._list_busy and now >= self._list_at:
            self._list_at, self._list_busy = inf, True
            steps.append(ListShards(self.stream, self._list_after, self._generation))
        if self._flush is not None and self._may_flush() and now >= self._flush_at:
            self._flushing = True
            steps.append(Flush(self._flush, self._flush_number, self._generation))
        if self.stream is not None and self._listed:
            steps += self._reads(self.stream, now)
        return steps

    def _reads(self, stream: str, now: float) -> list[Step]:
        steps: list[Step] = []
        room = BUSY_MAX - self._busy()
        for shard in sorted(self._idle(), key=lambda shard: shard.due_at)[: max(room, 0)]:
            if now < shard.due_at:
                break
            shard.busy = True
            if shard.iterator is None:
                steps.append(Open(stream, shard.id, shard.position, self._generation))
            else:
                steps.append(Read(shard.id, shard.iterator, now, self._generation))
        return steps

    def wake_at(self) -> float:
        """The time at which ``due`` may next have steps, unless something is done earlier."""
        times = [inf if self._looking else self._look_at]
        if self.stream is not None and not self._list_busy:
            times.append(self._list_at)
        if self._flush is not None and self._may_flush():
            times.append(self._flush_at)
        if self._listed and self._busy() < BUSY_MAX:
            times += [shard.due_at for shard in self._idle()]
        return NEVER if self._applies else min(times)

    def _idle(self) -> list[Shard]:
        return [shard for shard in self._shards.readable() if not shard.busy]

    def _busy(self) -> int:
        return sum(shard.busy for shard in self._shards.by_id.values())

    def _may_flush(self) -> bool:
        """True if every shard that is read from now on has been answered for once."""
        if self._flushing:
            return False
        if self.stream is None:
            return True
        return self._listed and all(
            shard.begun or shard.position != LATEST for shard in self._shards.by_id.values()
        )

    # -- what came of it --------------------------------------------------------------------

    def done(self, step: Step, answer: Any, now: float) -> None:
        """``answer``: as the step says."""
        if isinstance(step, Look):
            self._looking = False
            self._looked(answer, now)
            return
        if step.generation != self._generation:
            return
        self._failures = 0
        match step:
            case ListShards():
                self._list_busy = False
                self._list_page(answer, now)
            case Open(shard=id_):
                shard = self._shards.by_id[id_]
                shard.busy = False
                shard.iterator = answer
                shard.due_at = now
            case Read(shard=id_, asked_at=asked_at):
                self._page(self._shards.by_id[id_], answer, asked_at, now)
            case Apply(shard=id_, page=page, asked_at=asked_at):
                self._advance(self._shards.by_id[id_], page, asked_at, now)
            case Flush(number=number):
                self._flushing = False
                if number == self._flush_number:
                    self._flush = None
                self._restarts_in_row = 0
                self.flushes += 1

    def _looked(self, stream: str | None, now: float) -> None:
        if stream is None:
            self._lose(NO_STREAM, now)
        elif stream == self.stream:
            self._look_at = now + LOOK_S
        else:
            known, positions = self._checkpoint
            self._checkpoint = ("", {})  # what comes after this stream, or again, begins afresh
            self.missing = None
            self._look_at = now + LOOK_S
            self._look_pause_s = LOOK_MISSING_FIRST_S
            if stream == known and positions and not WITHOUT_RECORDS & set(positions.values()):
                self._begin(stream, positions, None, now)
            else:
                self._begin(stream, {}, "the stream is followed from now on", now)

    def _begin(
        self, stream: str | None, positions: Mapping[str, str], flush: str | None, now: float
    ) -> None:
        self.stream = stream
        self._generation += 1
        self._shards = Shards(positions)
        self._fresh = not positions
        self._began_at = now
        self._listed = False
        self._listing = None
        self._list_after = None
        self._list_at = now
        self._list_busy = False
        self._list_again = False
        self._list_pause_s = LIST_RETRY_S
        self._applies.clear()
        self._flushing = False
        self._flush_at = NEVER
        if flush is not None:
            self._want_flush(flush)

    def _want_flush(self, reason: str) -> None:
        self._flush = reason
        self._flush_number += 1

    def _lose(self, why: str, now: float) -> None:
        """There is nothing to follow for now. What was cached up to here may lack the last
        records."""
        if self.stream is not None or self._checkpoint[0]:
            self._checkpoint = ("", {})
            self._begin(None, {}, why, now)
        self.missing = why
        self._look_at = now + self._look_pause_s
        self._look_pause_s = min(2 * self._look_pause_s, LOOK_MISSING_MAX_S)

    def _restart(self, why: str, now: float) -> None:
        """Records are lost. Reading begins anew with what is written from now on."""
        self.restarts += 1
        self._begin(self.stream, {}, why, now)
        self._list_at = now + _backoff(self._restarts_in_row)
        self._restarts_in_row += 1

    def _list_page(self, listing: Listing, now: float) -> None:
        pages = self._listing if self._listing is not None else []
        pages += listing.shards
        if listing.next is not None:
            self._listing, self._list_after, self._list_at = pages, listing.next, now
            return
        self._listing, self._list_after = None, None
        if self._fresh:
            self._shards.begin(pages, now)
            self._fresh = not pages  # a stream that is just being made
        elif not self._shards.learn(pages):
            self._restart("shards of the stream have come and gone", now)
            return
        self._listed = not self._fresh
        if self._list_again:
            self._list_again, self._list_at = False, now
        elif self._fresh or self._shards.childless():
            self._list_at = now + self._list_pause_s
            self._list_pause_s = min(2 * self._list_pause_s, LIST_RETRY_MAX_S)
        else:
            self._list_at = now + LIST_S
            self._list_pause_s = LIST_RETRY_S

    def _page(self, shard: Shard, page: Page, asked_at: float, now: float) -> None:
        first = not shard.begun and shard.position == TRIM_HORIZON
        if first and asked_at - shard.heard_at > RETENTION_S:
            self._restart("records of the stream may have been trimmed", now)
            return
        shard.begun = True
        shard.failures = shard.silences = 0
        if page.records:
            self._applies.append(Apply(shard.id, page, asked_at, self._generation))
        else:
            self._advance(shard, page, asked_at, now)

    def _advance(self, shard: Shard, page: Page, asked_at: float, now: float) -> None:
        shard.busy = False
        if page.last is not None:
            shard.position = page.last
        shard.iterator = page.next
        shard.heard_at = max(shard.heard_at, asked_at)
        shard.level_at = max(shard.level_at, _level_of(page, asked_at))
        shard.due_at = asked_at + (GAP_S if page.records else self.poll_s)
        if page.next is None:
            self._shards.end(shard)
            # Its children take over; and if there are none, the stream may be over.
            self._list_again |= self._list_busy or self._listing is not None
            self._list_at, self._list_pause_s = now, LIST_RETRY_S
            self._look_at = now

    def failed(self, step: Step, failure: Failure, now: float) -> None:
        if isinstance(step, Look):
            self._looking = False
            if failure is Failure.GONE:
                self._lose(NO_TABLE, now)
            else:
                self._look_at = now + self._pause()
            return
        if step.generation != self._generation:
            return
        match step:
            case ListShards():
                self._list_busy = False
                if failure is Failure.GONE:
                    self._lose("the stream is gone", now)
                else:
                    self._listing, self._list_after = None, None
                    self._list_at = now + self._pause()
            case Flush():
                self._flushing = False
                self._flush_at = now + self._pause()
            case Open(shard=id_) | Read(shard=id_) | Apply(shard=id_):
                lost = failure in (Failure.TRIMMED, Failure.GONE)
                if lost or (failure is Failure.EXPIRED and not isinstance(step, Read)):
                    self._restart("records of the stream were lost", now)
                else:
                    self._shard_failed(self._shards.by_id[id_], failure, now)

    def _shard_failed(self, shard: Shard, failure: Failure, now: float) -> None:
        shard.busy = False
        shard.due_at = now + _backoff(shard.failures)
        shard.failures += 1
        shard.silences += failure is not Failure.THROTTLED
        if failure is Failure.EXPIRED or shard.silences == REOPEN_FAILURES:
            shard.iterator = None
            shard.begun = False
            if shard.position == LATEST:
                self._want_flush("an iterator was lost before anything was read")

    def _pause(self) -> float:
        pause_s = _backoff(self._failures)
        self._failures += 1
        return pause_s

    # -- questions --------------------------------------------------------------------------

    @property
    def open_shards(self) -> int:
        return sum(1 for _ in self._shards.readable())

    @property
    def complete(self) -> bool:
        """True if every write from now on is going to be read, and none before it is missing."""
        return self.stream is not None and self._listed and self._flush is None

    @property
    def level_known(self) -> bool:
        """True if every shard has been heard of since reading began. Before, what was written
        between the checkpoint and the first answer may be unknown, however small ``lag_s`` is."""
        return NEVER not in self._shards.levels()

    def checkpoint(self) -> tuple[str, dict[str, str]] | None:
        """The stream, and where its shards are to be read on; None if there is nothing that could
        be used."""
        if self.stream is None or not self.complete:
            return None
        return self.stream, self._shards.positions()

    def lag_s(self, now: float) -> float | None:
        """The seconds for which something may have been written that not all nodes know of."""
        if self.stream is None:
            return None
        levels = self._shards.levels()
        if not self._listed or not levels or min(levels) == NEVER:
            return now - self._began_at
        return now - min(levels)


def _level_of(page: Page, asked_at: float) -> float:
    """Returns the time until which an answer to a question of ``asked_at`` shows everything that
    was written to a shard, or in its place. The end of a closed shard does not tell when it was
    closed: others may have taken records since then."""
    if page.records:
        return NEVER if page.age_s is None else asked_at - page.age_s
    return NEVER if page.next is None else asked_at


def _backoff(failures: int) -> float:
    return min(BACKOFF_S * 2.0 ** min(failures, 10), BACKOFF_MAX_S)
