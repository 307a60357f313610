"""Tracks the scopes in which writes are under way, for queries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cluster.coherence.effects import Effect
from cluster.coherence.messages import Fence, Outcome, Position
from cluster.coherence.queries import QueryScope
from paceline.types import Key

HELD_MAX = 64
"""The most scopes held on behalf of one key. For a key that several writers write without a pause
they would grow for ever; beyond this all queries of its table are held."""

_RANK = {Outcome.REJECTED: 0, Outcome.SUCCESS: 1, Outcome.UNKNOWN: 2}


def worse(one: Outcome, other: Outcome) -> Outcome:
    return one if _RANK[one] >= _RANK[other] else other


class OpenFence(NamedTuple):
    keys: tuple[Key, ...]
    effects: tuple[Effect | None, ...]
    scopes: tuple[QueryScope, ...]
    """The scopes of queries that the fence covers, as worked out when it began."""


class Hold:
    """Scopes that stay fenced until no write of a key is under way any more."""

    __slots__ = ("scopes", "worst")

    def __init__(self) -> None:
        self.scopes: dict[QueryScope, None] = {}
        self.worst = Outcome.REJECTED
        """The worst outcome of all writes that ended while the hold was there."""


class QueryFences:
    """Which scopes are fenced: by open writes, and held on behalf of keys.

    Why scopes are held: what a write changes in an index depends on the item that it finds. Write
    1 of a key begins while the item is known to lie at A, and would move it to B; write 2 of the
    same key begins, overtakes it and moves the item to C; its fence is settled. When write 1 lands
    it takes the item away from C, which nothing in its own fence says. But the fence of write 2
    was made not knowing where the item is, so it covers all places; it is held until write 1 is
    settled too.
    """

    def __init__(self) -> None:
        self._fenced: dict[QueryScope, int] = {}
        self._holds: dict[Key, Hold] = {}

    def __contains__(self, scope: QueryScope) -> bool:
        return scope in self._fenced

    def __len__(self) -> int:
        return len(self._fenced)

    def enter(self, scopes: Iterable[QueryScope]) -> None:
        fenced = self._fenced
        for scope in scopes:
            fenced[scope] = fenced.get(scope, 0) + 1

    def leave(self, scopes: Iterable[QueryScope]) -> None:
        fenced = self._fenced
        for scope in scopes:
            count = fenced[scope] - 1
            if count:
                fenced[scope] = count
            else:
                del fenced[scope]

    def hold(self, key: Key, scopes: Iterable[QueryScope], outcome: Outcome) -> None:
        """Keeps ``scopes`` fenced until ``release(key)``, which returns the worst ``outcome``."""
        hold = self._holds.get(key)
        if hold is None:
            hold = self._holds[key] = Hold()
        hold.worst = worse(hold.worst, outcome)
        new = [scope for scope in scopes if scope not in hold.scopes]
        if len(hold.scopes) + len(new) > HELD_MAX:
            whole: QueryScope = (key[0], None, None)
            self.enter((whole,))
            self.leave(hold.scopes)
            hold.scopes = {whole: None}
            return
        self.enter(new)
        hold.scopes.update(dict.fromkeys(new))

    def told(self, position: Position, opened: OpenFence) -> Fence:
        """The fence as told to a node that knows nothing of the held scopes."""
        effects = tuple(
            None if key in self._holds else effect
            for key, effect in zip(opened.keys, opened.effects, strict=False)
        )
        return Fence(position, opened.keys, effects)

    def release(self, key: Key, outcome: Outcome) -> Hold | None:
        """The last write of ``key`` ended with ``outcome``: its held scopes are fenced no more."""
        hold = self._holds.pop(key, None)
        if hold is not None:
            hold.worst = worse(hold.worst, outcome)
            self.leave(hold.scopes)
        return hold

    def clear(self) -> None:
        self._fenced.clear()
        self._holds.clear()
