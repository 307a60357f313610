"""What one node may answer from its caches, and what it may keep in them.

Scopes are ``(table, key)`` for an item and ``(table, None)`` for the queries and scans of a table.
Whatever befalls an item's key befalls its table's queries.

Invariant: a key that is fenced or in unknown quarantine has no entry that a hit could find. So the
hit path asks for nothing but the lease.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cluster.coherence.messages import Caches, Fence, Image, Outcome, Position
from paceline.types import Key

Scope = tuple[str, bytes | None]

NEVER = float("-inf")

QUARANTINED_MAX = 200_000
"""Keys in quarantine at once. Beyond it everything is treated as quarantined, which is always
safe: ten seconds of 20 000 writes a second, or some 50 MB."""


@dataclass(slots=True, eq=False)
class Fill:
    """Permission to keep what a read brings back, until something revokes it."""

    scope: Scope
    generation: int
    consistent: bool
    valid: bool = True


@dataclass(slots=True)
class _ScopeState:
    """Only for scopes that something is known of; dropped when nothing is."""

    fences: set[Position] = field(default_factory=set)
    contended: bool = False
    unknown_until: float = NEVER
    settled_until: float = NEVER


class Guard:
    """The node-local half of the coherence protocol; on the primary and on replicas alike."""

    def __init__(self, caches: Caches, quarantine_s: float) -> None:
        self._caches = caches
        self._quarantine_s = quarantine_s
        self.serve_until = NEVER
        self.generation = 0
        self._lapsed = True
        self._scopes: dict[Scope, _ScopeState] = {}
        self._fences: dict[Position, tuple[Key, ...]] = {}
        self._fills: dict[Scope, set[Fill]] = {}
        self._ends: deque[tuple[float, Scope]] = deque()
        self._all_unknown_until = NEVER
        self._consistent_until = NEVER

    # -- leases -----------------------------------------------------------------------------

    def extend(self, until: float, now: float) -> None:
        """A lease until ``until`` counts from now on."""
        self._note_lapse(now)
        if until > now:
            self._lapsed = False
            self.serve_until = max(self.serve_until, until)

    def lapse(self, now: float) -> None:
        """Serve nothing from now on."""
        self.serve_until = NEVER
        self._note_lapse(now)

    def _note_lapse(self, now: float) -> None:
        if not self._lapsed and now >= self.serve_until:
            self._lapsed = True
            self._raise_generation()

    def _raise_generation(self) -> None:
        self.generation += 1

    # -- writes -----------------------------------------------------------------------------

    def fence(self, position: Position, keys: Sequence[Key], now: float) -> None:
        if position in self._fences:
            return
        keys = tuple(dict.fromkeys(keys))
        self._fences[position] = keys
        for key in keys:
            self._caches.park(key)
        for table in {key[0] for key in keys}:
            self._caches.drop_queries(table)
        for scope in _scopes(keys):
            state = self._state(scope)
            if state.fences:
                state.contended = True
            else:
                state.contended = False
            state.fences.add(position)
            self._revoke(scope)

    def settle(
        self,
        position: Position,
        outcome: Outcome,
        images: Sequence[Image | None],
        now: float,
    ) -> None:
        """Ends a fence. A fence that this node does not hold installs nothing."""
        keys = self._fences.pop(position, None)
        if keys is None:
            return
        for index, key in enumerate(keys):
            image = images[index] if index < len(images) else None
            self._settle_item(position, key, outcome, image, now)
        for table in {key[0] for key in keys}:
            self._settle_scope(position, (table, None), outcome, now)

    def _settle_item(
        self, position: Position, key: Key, outcome: Outcome, image: Image | None, now: float
    ) -> None:
        state = self._state(key)
        contended = state.contended
        self._settle_scope(position, key, outcome, now)
        unknown = self._unknown(state, now)
        if outcome is Outcome.SUCCESS and image is not None and not contended and not unknown:
            if now < self.serve_until:
                self._caches.install(key, image, now)
            else:
                self._caches.discard(key)
        elif outcome is Outcome.REJECTED and not contended and not unknown:
            self._caches.restore(key)
        elif outcome is not Outcome.REJECTED or unknown or not state.fences:
            self._caches.discard(key)

    def _settle_scope(self, position: Position, scope: Scope, outcome: Outcome, now: float) -> None:
        state = self._state(scope)
        state.fences.discard(position)
        self._revoke(scope)
        if outcome is Outcome.UNKNOWN:
            state.unknown_until = max(state.unknown_until, now + self._quarantine_s)
            state.settled_until = max(state.settled_until, now + 2 * self._quarantine_s)
        else:
            state.settled_until = max(state.settled_until, now + self._quarantine_s)
        self._remember_end(scope, state, now)

    def installable(
        self, position: Position, images: Sequence[Image | None], now: float
    ) -> tuple[Image | None, ...]:
        """``images`` without those whose key had another fence or an unknown quarantine
        overlapping this fence."""
        return tuple(
            None if (state := self._state(key)).contended or self._unknown(state, now) else image
            for key, image in zip(self._fences.get(position, ()), images, strict=False)
        )

    def holds_fence(self, position: Position) -> bool:
        return position in self._fences

    def flush(self, table: str | None, now: float) -> None:
        """Everything cached of ``table`` (None: all) is void; fences and quarantines stay."""
        self._caches.clear(table)
        for scope in list(self._fills):
            if table is None or scope[0] == table:
                self._revoke(scope)

    # -- resets -----------------------------------------------------------------------------

    def reset(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        """Empties the caches and replaces fences and quarantines by those given."""
        self._caches.clear(None)
        self._raise_generation()
        self._fences.clear()
        self._scopes.clear()
        self._ends.clear()
        self._all_unknown_until = NEVER
        self._consistent_until = NEVER
        self.join(fences, unknown, all_unknown, now)

    def join(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        """Adds what the primary holds, at full length; for Q all fills are consistent."""
        self._consistent_until = max(self._consistent_until, now + self._quarantine_s)
        if all_unknown:
            self.quarantine_all(now)
        for fence in fences:
            self.fence(fence.position, fence.keys, now)
        for key in unknown:
            self.quarantine(key, now)

    def quarantine(self, key: Key, now: float) -> None:
        self._caches.discard(key)
        self._caches.drop_queries(key[0])
        for scope in _scopes((key,)):
            state = self._state(scope)
            state.unknown_until = max(state.unknown_until, now + self._quarantine_s)
            state.settled_until = max(state.settled_until, now + 2 * self._quarantine_s)
            self._revoke(scope)
            self._remember_end(scope, state, now)

    def quarantine_all(self, now: float) -> None:
        """Every key is unknown for Q, then settled for Q."""
        self._caches.clear(None)
        self._raise_generation()
        self._all_unknown_until = now + self._quarantine_s
        self._consistent_until = max(self._consistent_until, now + 2 * self._quarantine_s)

    def settle_open_as_unknown(self, now: float) -> None:
        """The epoch of the open fences is over."""
        for position in list(self._fences):
            self.settle(position, Outcome.UNKNOWN, (), now)

    # -- reads ------------------------------------------------------------------------------

    def hit_allowed(self, scope: Scope, now: float) -> bool:
        if now >= self.serve_until or now < self._all_unknown_until:
            return False
        state = self._scopes.get(scope)
        return state is None or (not state.fences and not self._unknown(state, now))

    def begin_fill(self, scope: Scope, now: float, *, index: bool = False) -> Fill | None:
        """None: pass through with ConsistentRead, share with nobody, keep nothing.

        ``index``: a global index, which cannot be read consistently.
        """
        self._note_lapse(now)
        if not self.hit_allowed(scope, now):
            return None
        state = self._scopes.get(scope)
        consistent = now < self._consistent_until or (
            state is not None and now < state.settled_until
        )
        if consistent and index:
            return None
        running = self._fills.get(scope)
        if running is None:
            running = self._fills[scope] = set()
        elif scope[1] is not None and any(self._good(fill) for fill in running):
            return None
        fill = Fill(scope, self.generation, consistent)
        running.add(fill)
        return fill

    def joinable(self, fill: Fill, now: float) -> bool:
        self._note_lapse(now)
        return self._good(fill) and self.hit_allowed(fill.scope, now)

    def end_fill(self, fill: Fill, now: float) -> bool:
        """True: nothing was invalidated since it began, keep it now, before anything else."""
        self._note_lapse(now)
        self.abandon(fill)
        return self._good(fill) and self.hit_allowed(fill.scope, now)

    def abandon(self, fill: Fill) -> None:
        running = self._fills.get(fill.scope)
        if running is not None:
            running.discard(fill)
            if not running:
                del self._fills[fill.scope]

    def _good(self, fill: Fill) -> bool:
        return fill.valid and fill.generation == self.generation

    def _revoke(self, scope: Scope) -> None:
        for fill in self._fills.get(scope, ()):
            fill.valid = False

    # -- what a new subscriber needs ---------------------------------------------------------

    def open_fences(self) -> tuple[Fence, ...]:
        return tuple(Fence(position, keys) for position, keys in self._fences.items())

    def unknown_keys(self, now: float) -> tuple[Key, ...]:
        return tuple(
            (scope[0], scope[1])
            for scope, state in self._scopes.items()
            if scope[1] is not None and now < state.unknown_until
        )

    def all_unknown(self, now: float) -> bool:
        return now < self._all_unknown_until

    # -- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Forgets quarantines that are over. To be called now and then."""
        self._note_lapse(now)
        while self._ends and self._ends[0][0] <= now:
            _, scope = self._ends.popleft()
            state = self._scopes.get(scope)
            if state is None or state.fences:
                continue
            if now >= state.settled_until and now >= state.unknown_until:
                del self._scopes[scope]

    def _remember_end(self, scope: Scope, state: _ScopeState, now: float) -> None:
        end = now + self._quarantine_s
        if state.unknown_until > now:
            end = now + 2 * self._quarantine_s
        self._ends.append((end, scope))
        if len(self._scopes) > QUARANTINED_MAX:
            self._collapse(now)

    def _collapse(self, now: float) -> None:
        """Too many keys to remember one by one: all of them stand for all keys."""
        self.quarantine_all(now)
        for scope, state in list(self._scopes.items()):
            if not state.fences:
                del self._scopes[scope]
        self._ends.clear()

    def _state(self, scope: Scope) -> _ScopeState:
        state = self._scopes.get(scope)
        if state is None:
            state = self._scopes[scope] = _ScopeState()
        return state

    def _unknown(self, state: _ScopeState, now: float) -> bool:
        return now < state.unknown_until or now < self._all_unknown_until


def _scopes(keys: Sequence[Key]) -> list[Scope]:
    tables: dict[Scope, None] = dict.fromkeys((key[0], None) for key in keys)
    return [*keys, *tables]
