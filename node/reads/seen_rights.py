"""What upstream has allowed callers shortly before. Pure.

A *right* is one caller's, to one action on one table or index, for one partition key and one set of
attributes, or for one whole request. A cache may answer a request only while its right is
remembered; else DynamoDB is asked, as that caller, and what it says counts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import blake2b
from typing import Any, NamedTuple

from node.values import msgpack_slices

ENTRIES_MAX = 64 * 1024

ENTRY_BYTES = 400
"""Of one right, with its place in the table (measured: 330 to 390)."""

_DIGEST_BYTES = 32
"""Enough that nobody finds two requests of one digest, who may choose both."""

NEVER = float("-inf")


class Right(NamedTuple):
    """``detail``: of all else that the right depends on."""

    who: Hashable
    table: str
    detail: bytes


def right_of(who: Hashable, table: str, *parts: Any) -> Right:
    """``parts``: what msgpack has a form for, in an order that is always the same."""
    packed = msgpack_slices.packb(parts)
    return Right(who, table, blake2b(packed, digest_size=_DIGEST_BYTES).digest())


class SeenRights:
    """``keep_s``: for how long a right is remembered, from before upstream was asked. ``count`` is
    told how many bytes are held before and after each change, and says whether they may be (as
    ``MemoryBudget.change``)."""

    def __init__(
        self,
        keep_s: float,
        entries_max: int = ENTRIES_MAX,
        count: Callable[[int, int], bool] = lambda _before, _after: True,
    ) -> None:
        self._keep_s = keep_s
        self._entries_max = entries_max
        self._count = count
        self._seen: OrderedDict[Right, float] = OrderedDict()
        """To when upstream was asked; the latest seen at the end."""
        self._denied: OrderedDict[tuple[Hashable, str | None], float] = OrderedDict()
        """By caller and table (None: all) to when it was denied something: what was asked before
        counts no more, also if its answer comes later."""
        self._floor = NEVER
        """What was asked before counts no more, for anybody."""

    def __len__(self) -> int:
        return len(self._seen)

    def saw(self, right: Right, asked_at: float, now: float) -> None:
        """Upstream has allowed it to a request that was sent at ``asked_at`` or later."""
        known = self._seen.get(right)
        if known is not None and known >= asked_at:
            return
        if asked_at <= self._barred(right) or now - asked_at >= self._keep_s:
            return
        if known is None:
            self._make_room(now)
            held = len(self._seen) * ENTRY_BYTES
            if not self._count(held, held + ENTRY_BYTES):
                self._count(held + ENTRY_BYTES, held)
                return
        self._seen[right] = asked_at
        self._seen.move_to_end(right)

    def holds(self, right: Right, now: float) -> bool:
        asked_at = self._seen.get(right)
        if asked_at is None:
            return False
        return now - asked_at < self._keep_s and asked_at > self._barred(right)

    def denied(self, who: Hashable, table: str | None, now: float) -> None:
        """Upstream has just denied ``who`` something at ``table``; None: anywhere. All that was
        seen of him there is forgotten: what else has changed is not known."""
        self._denied[who, table] = now
        self._denied.move_to_end((who, table))
        while self._denied:
            at = next(iter(self._denied.values()))
            if len(self._denied) > self._entries_max:
                self._floor = max(self._floor, at)
            elif now - at < self._keep_s:
                break
            self._denied.popitem(last=False)

    def clear(self, now: float) -> None:
        """Forgets all, and what is under way."""
        self._floor = max(self._floor, now)
        self._drop(len(self._seen))

    def _barred(self, right: Right) -> float:
        denied = self._denied
        if not denied:
            return self._floor
        of_table = denied.get((right.who, right.table), NEVER)
        return max(self._floor, of_table, denied.get((right.who, None), NEVER))

    def _make_room(self, now: float) -> None:
        count = 1 if len(self._seen) >= self._entries_max else 0
        oldest = next(iter(self._seen.values()), now)
        if now - oldest >= self._keep_s:
            count += 1  # two go for each that comes, so that those of before end soon
        self._drop(min(count, len(self._seen)))

    def _drop(self, entries: int) -> None:
        for _ in range(entries):
            held = len(self._seen) * ENTRY_BYTES
            self._seen.popitem(last=False)
            self._count(held, held - ENTRY_BYTES)
