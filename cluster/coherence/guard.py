"""What one node may answer from its caches, and what it may keep in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from cluster.coherence.log import StreamLog
from cluster.coherence.messages import Caches, Effect, Fence, Image, Outcome, Position
from paceline.types import Key

Scope = tuple[str, bytes | None]
"""``(table, key)``: an item. ``(table, None)``: the queries and scans of a table."""

NEVER = float("-inf")

SETTLED_MAX = 200_000
"""Scopes in settled quarantine that are remembered one by one: ten seconds of 20 000 writes a
second to different keys, some 50 MB. Beyond it every fill is consistent for a while."""

UNKNOWN_MAX = 10_000
"""Scopes in unknown quarantine that are remembered one by one. They travel to every new
subscriber in one message. More than a full house of writes timing out for Q means that DynamoDB
is gone, and then treating all keys as unknown costs little."""

SWEEP_S = 1.0
"""Least time between two sweeps of ended quarantines. Sweeps only free memory."""


class Fill:
    """Permission to keep what a read brings back, until something revokes it.

    ``consistent``: the read must ask DynamoDB with ConsistentRead.
    """

    __slots__ = ("consistent", "generation", "scope", "valid")

    def __init__(self, scope: Scope, generation: int, consistent: bool) -> None:
        self.scope = scope
        self.generation = generation
        self.consistent = consistent
        self.valid = True


class Guard:
    """The node-local half of the coherence protocol, alike on the primary and on replicas.

    Whatever befalls an item's scope befalls the scope of its table's queries.

    Invariants:

    * A scope that is fenced or in unknown quarantine has no entry that a lookup could find: its
      entry is parked or discarded when that begins, and nothing is installed before it ends. So
      the hit path asks only whether ``now < serve_until``.
    * A fill is kept only if from its begin to its end one lease ran without a break and its scope
      was neither fenced, flushed nor unknown. Anything else revokes it, for good.
    * ``position`` is the last message of the primary's stream that the caches reflect (None: no
      memory of any), whether this node applied it as a replica or published it as primary.
    """

    def __init__(self, caches: Caches, quarantine_s: float) -> None:
        self._caches = caches
        self._quarantine_s = quarantine_s
        self.serve_until = NEVER
        self.generation = 0
        self.position: Position | None = None
        self.log = StreamLog()
        """What led to ``position``, as far back as it goes."""
        self.consistent_until = NEVER
        """Every fill begun before it uses ConsistentRead."""
        self._all_unknown_until = NEVER
        self._open: dict[Position, tuple[Key, ...]] = {}
        self._effects: dict[Position, tuple[Effect | None, ...]] = {}
        self._fenced: dict[Scope, int] = {}
        """Number of open fences, of scopes that have any."""
        self._overlapped: set[Scope] = set()
        """Fenced scopes whose every open fence met another fence or an unknown quarantine."""
        self._unknown: OrderedDict[Scope, float] = OrderedDict()
        self._settled: OrderedDict[Scope, float] = OrderedDict()
        """Scope to when its quarantine ends, in that order, since all last equally long."""
        self._item_fills: dict[Scope, Fill] = {}
        self._query_fills: dict[str, set[Fill]] = {}

    # -- leases -----------------------------------------------------------------------------

    def extend(self, until: float, now: float) -> None:
        """A lease until ``until`` counts. If the former one had lapsed, everything that began
        under it is void first."""
        if until <= now:
            return
        if now >= self.serve_until:
            self._raise_generation()
            self.serve_until = until
        elif until > self.serve_until:
            self.serve_until = until

    def lapse(self, now: float) -> None:
        """Serve nothing from now on. The entries stay, for a later lease."""
        self.serve_until = NEVER
        self._raise_generation()

    def _raise_generation(self) -> None:
        self.generation += 1
        self._item_fills.clear()
        self._query_fills.clear()

    # -- writes -----------------------------------------------------------------------------

    def fence(
        self,
        position: Position,
        keys: Sequence[Key],
        now: float,
        effects: Sequence[Effect | None] = (),
    ) -> None:
        """A write of ``keys`` is under way until it is settled."""
        if position in self._open:
            return
        keys = tuple(keys)
        self._effects[position] = tuple(effects)
        self._open[position] = keys
        for key in keys:
            self._enter(key, now)
            self._caches.park(key)
        for table in _tables(keys):
            self._enter((table, None), now)
            self._caches.drop_queries(table)

    def settle(
        self,
        fence: Position,
        outcome: Outcome,
        images: Sequence[Image | None],
        now: float,
    ) -> None:
        """Ends a fence. ``images`` aligns with its keys. Nothing happens if it is not held."""
        keys = self._open.pop(fence, None)
        if keys is None:
            return
        self._effects.pop(fence, None)
        images_max = len(images) if outcome is Outcome.SUCCESS else 0
        for index, key in enumerate(keys):
            self._settle_item(key, outcome, images[index] if index < images_max else None, now)
        for table in _tables(keys):
            scope = (table, None)
            self._leave(scope)
            self._quarantine(scope, outcome, now)

    def _settle_item(self, key: Key, outcome: Outcome, image: Image | None, now: float) -> None:
        clean = self._clean(key, now)
        last = self._leave(key)
        self._quarantine(key, outcome, now)
        if outcome is not Outcome.REJECTED:
            if image is not None and clean:
                self._caches.install(key, image, now)
            else:
                self._caches.discard(key)
        elif last:
            # Still parked only if no other write that met this one may have changed the item.
            self._caches.restore(key)

    def _quarantine(self, scope: Scope, outcome: Outcome, now: float) -> None:
        if outcome is Outcome.UNKNOWN:
            self._make_unknown(scope, now)
        elif outcome is Outcome.SUCCESS:
            self._settled[scope] = now + self._quarantine_s
            self._settled.move_to_end(scope)
            if len(self._settled) > SETTLED_MAX:
                self._sweep(now)
                if len(self._settled) > SETTLED_MAX:
                    self._settled.clear()
                    self._consistent_for(self._quarantine_s, now)

    def images_allowed(
        self, fence: Position, images: Sequence[Image | None], now: float
    ) -> tuple[Image | None, ...]:
        """``images`` without those whose key another fence or an unknown quarantine overlapped
        while ``fence`` was open: the last one settled need not be the last one written."""
        keys = self._open.get(fence, ())
        return tuple(
            image if image is not None and self._clean(key, now) else None
            for key, image in zip(keys, images, strict=False)
        )

    def settle_open_as_unknown(self, now: float) -> None:
        """The epoch of the open fences is over, how their writes ended will not be told."""
        for fence in list(self._open):
            self.settle(fence, Outcome.UNKNOWN, (), now)

    def flush(self, table: str | None, now: float) -> None:
        """Everything cached of ``table`` (None: of all tables) is void; fences and quarantines
        stay, but no image of a write that is under way is installed."""
        self._caches.clear(table)
        self._consistent_for(self._quarantine_s, now)
        self._overlapped.update(s for s in self._fenced if table is None or s[0] == table)
        if table is None:
            self._raise_generation()
            return
        for scope in [s for s in self._item_fills if s[0] == table]:
            self._revoke(scope)
        self._revoke((table, None))

    def _enter(self, scope: Scope, now: float) -> None:
        fences = self._fenced.get(scope, 0)
        self._fenced[scope] = fences + 1
        if fences or now < self._all_unknown_until or now < self._unknown.get(scope, NEVER):
            self._overlapped.add(scope)
        self._revoke(scope)

    def _leave(self, scope: Scope) -> bool:
        """True if that was the scope's last open fence."""
        fences = self._fenced[scope] - 1
        if fences:
            self._fenced[scope] = fences
            return False
        del self._fenced[scope]
        self._overlapped.discard(scope)
        return True

    def _clean(self, scope: Scope, now: float) -> bool:
        return scope not in self._overlapped and not self._is_unknown(scope, now)

    # -- quarantine -------------------------------------------------------------------------

    def quarantine(self, keys: Iterable[Key], now: float) -> None:
        """Writes of ``keys`` may or may not have happened: they are unknown for Q from now."""
        for key in keys:
            self._make_unknown(key, now)
            self._caches.discard(key)
            self._make_unknown((key[0], None), now)
            self._caches.drop_queries(key[0])

    def quarantine_all(self, now: float) -> None:
        """Every key is unknown for Q from now, then settled for Q."""
        self._caches.clear(None)
        self._raise_generation()
        self._overlapped.update(self._fenced)
        self._all_unknown_until = now + self._quarantine_s
        self._consistent_for(2 * self._quarantine_s, now)

    def _make_unknown(self, scope: Scope, now: float) -> None:
        self._unknown[scope] = now + self._quarantine_s
        self._unknown.move_to_end(scope)
        if scope in self._fenced:
            self._overlapped.add(scope)
        self._revoke(scope)
        if len(self._unknown) > UNKNOWN_MAX:
            self._sweep(now)
            if len(self._unknown) > UNKNOWN_MAX:
                self._unknown.clear()
                self.quarantine_all(now)

    def _consistent_for(self, duration_s: float, now: float) -> None:
        self.consistent_until = max(self.consistent_until, now + duration_s)

    def _is_unknown(self, scope: Scope, now: float) -> bool:
        return now < self._all_unknown_until or now < self._unknown.get(scope, NEVER)

    # -- catching up ------------------------------------------------------------------------

    def reset(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        """Empties the caches and replaces fences and quarantines by those given."""
        self._caches.clear(None)
        self._open.clear()
        self._effects.clear()
        self._fenced.clear()
        self._overlapped.clear()
        self._unknown.clear()
        self._settled.clear()
        self._all_unknown_until = NEVER
        self.join(fences, unknown, all_unknown, now)

    def join(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        """Level with the primary, which holds these: adds them, quarantines at full length, and
        for Q every fill is consistent. A fence that the primary does not hold ends unknown."""
        self._raise_generation()
        self._consistent_for(self._quarantine_s, now)
        held = {fence.position: fence for fence in fences}
        for position in [p for p in self._open if p not in held]:
            self.settle(position, Outcome.UNKNOWN, (), now)
        for position, fence in held.items():
            self.fence(position, fence.keys, now, fence.effects)
        self.quarantine(unknown, now)
        if all_unknown:
            self.quarantine_all(now)

    def begin_epoch(self, now: float) -> None:
        """A new epoch that takes over what was there: what was open in the old one is unknown."""
        self._raise_generation()
        self.settle_open_as_unknown(now)

    # -- reads ------------------------------------------------------------------------------

    def hit_allowed(self, scope: Scope, now: float) -> bool:
        """Whether an entry of ``scope``, if there were one, might be answered with."""
        return (
            now < self.serve_until
            and scope not in self._fenced
            and not self._is_unknown(scope, now)
        )

    def stamp(self, key: Key, now: float) -> tuple[float, ...] | None:
        """At the primary: two equal stamps mean that no write changed the item in between, as
        far as the cluster knows. None: one is under way or in doubt, or there is no lease."""
        if not self.hit_allowed(key, now):
            return None
        return (self.generation, self._settled.get(key, NEVER), self.consistent_until)

    def begin_fill(self, scope: Scope, now: float, *, index: bool = False) -> Fill | None:
        """Permission to keep what a read that begins now brings back.

        None: pass it through with ConsistentRead, share it with nobody, keep nothing. ``index``:
        the read is of a global index, which no read can ask for consistently. Every fill that was
        given must end in ``end_fill`` or ``abandon``.
        """
        if not self.hit_allowed(scope, now):
            return None
        consistent = (
            now < self.consistent_until
            or now < self._settled.get(scope, NEVER)
            # What is unknown no more is settled, also if no sweep has said so yet.
            or scope in self._unknown
        )
        if consistent and index:
            return None
        fill = Fill(scope, self.generation, consistent)
        if scope[1] is None:
            self._query_fills.setdefault(scope[0], set()).add(fill)
        elif scope in self._item_fills:
            return None
        else:
            self._item_fills[scope] = fill
        return fill

    def joinable(self, fill: Fill, now: float) -> bool:
        """Whether a read that begins now may take the result of ``fill``."""
        return fill.valid and fill.generation == self.generation and now < self.serve_until

    def end_fill(self, fill: Fill, now: float) -> bool:
        """True: nothing was invalidated since it began. Install in this same turn, or never."""
        self.abandon(fill)
        keep = self.joinable(fill, now)
        fill.valid = False
        return keep

    def abandon(self, fill: Fill) -> None:
        """The read ended without a result to keep. Harmless after ``end_fill``."""
        if fill.scope[1] is not None:
            if self._item_fills.get(fill.scope) is fill:
                del self._item_fills[fill.scope]
            return
        fills = self._query_fills.get(fill.scope[0])
        if fills is not None:
            fills.discard(fill)
            if not fills:
                del self._query_fills[fill.scope[0]]

    def _revoke(self, scope: Scope) -> None:
        if scope[1] is not None:
            fill = self._item_fills.pop(scope, None)
            if fill is not None:
                fill.valid = False
            return
        for each in self._query_fills.pop(scope[0], ()):
            each.valid = False

    # -- what a new subscriber needs ----------------------------------------------------------

    def open_fences(self) -> tuple[Fence, ...]:
        return tuple(
            Fence(position, keys, self._effects.get(position, ()))
            for position, keys in self._open.items()
        )

    def unknown_keys(self, now: float) -> tuple[Key, ...]:
        return tuple(
            (table, key)
            for (table, key), until in self._unknown.items()
            if key is not None and now < until
        )

    def all_unknown(self, now: float) -> bool:
        return now < self._all_unknown_until

    # -- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> float | None:
        """Frees the memory of quarantines that are over; when to call again, None: any time."""
        self._sweep(now)
        ends = [next(iter(q.values())) for q in (self._unknown, self._settled) if q]
        return max(min(ends), now + SWEEP_S) if ends else None

    def _sweep(self, now: float) -> None:
        while self._unknown:
            scope, until = next(iter(self._unknown.items()))
            if now < until:
                break
            del self._unknown[scope]
            self._settled[scope] = now + self._quarantine_s
            self._settled.move_to_end(scope)
        while self._settled:
            scope, until = next(iter(self._settled.items()))
            if now < until:
                break
            del self._settled[scope]


def _tables(keys: Sequence[Key]) -> Iterable[str]:
    if len(keys) == 1:
        return (keys[0][0],)
    return dict.fromkeys(key[0] for key in keys)
