"""What one node may answer from its caches, and what it may keep in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from cluster.coherence.effects import Effect
from cluster.coherence.fills import Fill, Fills
from cluster.coherence.log import StreamLog
from cluster.coherence.messages import WHOLE, Caches, Fence, Image, Outcome, Position
from cluster.coherence.queries import Change, Dependency, QueryScope, merged
from cluster.coherence.query_fences import OpenFence, QueryFences
from paceline.types import Key

__all__ = ["NEVER", "Fill", "Guard", "Scope"]

Scope = Key | QueryScope

NEVER = float("-inf")

SETTLED_MAX = 200_000
"""Scopes in settled quarantine that are kept one by one: ten seconds of 10 000 writes a
second to different keys and partitions, some 50 MB. Beyond it every fill is consistent for a
while, and no result of a global index is kept."""

UNKNOWN_MAX = 10_000
"""Scopes in unknown quarantine that are kept one by one. They travel to every new
subscriber in one message. More than a full house of writes timing out for Q means that DynamoDB
is gone, and then treating all keys as unknown costs little."""


class Guard:
    """The node-local half of the coherence protocol, alike on the primary and on replicas.

    Of queries it knows what the caches say a write can change: results and fills that lie there
    are dropped and revoked, and nothing of the same scopes is kept until the write is settled.

    Invariants:

    * A key that is fenced or in unknown quarantine has no entry that a lookup could find, nor has
      any query that its write can change: entries are parked or dropped when that begins, and
      nothing is installed before it ends. So the hit path asks only whether
      ``now < serve_until``.
    * While ``(table, WHOLE)`` is fenced or unknown the same holds of every key of the table, and no
      image of a write that was under way meanwhile is installed.
    * A fill is kept only if from its begin to its end one lease ran without a break and its scope
      was neither fenced, flushed nor unknown. Anything else revokes it, for good.
    * ``position`` is the last message of the primary's stream that the caches reflect (None: they
      reflect none), whether this node applied it as a replica or published it as primary.
    """

    def __init__(self, caches: Caches, quarantine_s: float) -> None:
        self._caches = caches
        self._quarantine_s = quarantine_s
        self.rights_revision: Callable[[], int] = lambda: 0  # of what this node goes by
        self.serve_until = NEVER
        self.generation = 0
        self.position: Position | None = None
        self.log = StreamLog()
        """The messages that led to ``position``, as far back as they are kept."""
        self.consistent_until = NEVER
        """Every fill begun before this time uses ConsistentRead."""
        self._all_unknown_until = NEVER
        self._open: dict[Position, OpenFence] = {}
        self._fenced: dict[Key, int] = {}
        """Key to the number of its open fences."""
        self._overlapped: set[Key] = set()
        """Fenced keys whose every open fence met another fence or an unknown quarantine."""
        self._queries = QueryFences()
        self._unknown: OrderedDict[Scope, float] = OrderedDict()
        self._settled: OrderedDict[Scope, float] = OrderedDict()
        """Scope to when its quarantine ends, in that order, since all last equally long."""
        self._fills = Fills()

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
        """Ends serving now. The entries stay, for a later lease."""
        self.serve_until = NEVER
        self._raise_generation()

    def _raise_generation(self) -> None:
        self.generation += 1
        self._fills.clear()

    # -- writes -----------------------------------------------------------------------------

    def fence(
        self,
        position: Position,
        keys: Sequence[Key],
        now: float,
        effects: Sequence[Effect | None] = (),
    ) -> None:
        """A write of ``keys`` is under way until it is settled.

        A fence that is open already may be told again with other ``effects``, as by a primary
        that has seen writes of the same keys overtake each other: it then has both.
        """
        keys, effects = tuple(keys), tuple(effects)
        known = self._open.get(position)
        if known is not None and known.effects == effects:
            return
        aligned = effects if len(effects) == len(keys) else (None,) * len(keys)
        changes = list(map(self._caches.change, keys, aligned))
        for key, change in zip(keys, changes, strict=True):
            if known is None:
                self._enter(key, now)
                self._caches.park(key)
            else:
                self._queries.hold(key, change.scopes, Outcome.REJECTED)
            self._drop(key[0], change)
        if known is None:
            scopes = changes[0].scopes if len(changes) == 1 else merged(changes)
            self._open[position] = OpenFence(keys, effects, scopes)
            self._queries.enter(scopes)

    def _drop(self, table: str, change: Change) -> None:
        self._caches.drop_queries(table, change.touches)
        self._fills.revoke_queries(table, change.touches)

    def settle(
        self,
        fence: Position,
        outcome: Outcome,
        images: Sequence[Image | None],
        now: float,
    ) -> None:
        """Ends a fence. ``images`` aligns with its keys. Nothing happens if it is not held."""
        opened = self._open.pop(fence, None)
        if opened is None:
            return
        keys = opened.keys
        success = outcome is Outcome.SUCCESS
        images_max = len(images) if success else 0
        spread = outcome
        if success and any(self._is_doubted(key, now) for key in keys):
            spread = Outcome.UNKNOWN  # what is in doubt may still move the item from here
        for index, key in enumerate(keys):
            self._settle_item(key, outcome, images[index] if index < images_max else None, now)
        self._settle_queries(opened, spread, now)

    def _settle_queries(self, opened: OpenFence, outcome: Outcome, now: float) -> None:
        queries = self._queries
        for key in opened.keys:
            if outcome is not Outcome.REJECTED:
                for met in self._met_by(key):
                    queries.hold(met, opened.scopes, outcome)
            if key in self._fenced:
                continue
            hold = queries.release(key, outcome)
            if hold is not None:
                for scope in hold.scopes:
                    self._quarantine(scope, hold.worst, now)
        queries.leave(opened.scopes)
        for scope in opened.scopes:
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
        opened = self._open.get(fence)
        return tuple(
            image if self._clean(key, now) else None
            for key, image in zip(opened.keys if opened else (), images, strict=False)
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
        for key in self._fenced:
            if table is None or key[0] == table:
                self._overlapped.add(key)
                # What its write can change may have been worked out for a table that is no more.
                self._queries.hold(key, Change.of_table(key[0]).scopes, Outcome.REJECTED)
        if table is None:
            self._raise_generation()
        else:
            self._fills.revoke_table(table)

    def _enter(self, key: Key, now: float) -> None:
        if not self._is_free(key, now):
            self._overlapped.add(key)
        self._fenced[key] = self._fenced.get(key, 0) + 1
        self._revoke_item(key)

    def _revoke_item(self, key: Key) -> None:
        if key[1] == WHOLE:
            self._overlapped.update(other for other in self._fenced if other[0] == key[0])
        self._fills.revoke_item(key)

    def _met_by(self, key: Key) -> list[Key]:
        """Returns the fenced keys whose writes a write of ``key`` may have overtaken."""
        if key[1] == WHOLE:
            return [other for other in self._fenced if other[0] == key[0]]
        return [key] if key in self._fenced else []

    def _leave(self, key: Key) -> bool:
        """Counts one fence of the key off; True if it was the last open one."""
        fences = self._fenced[key] - 1
        if fences:
            self._fenced[key] = fences
            return False
        del self._fenced[key]
        self._overlapped.discard(key)
        return True

    def _clean(self, key: Key, now: float) -> bool:
        return key not in self._overlapped and not self._is_unknown(key, now)

    # -- quarantine -------------------------------------------------------------------------

    def quarantine(self, keys: Iterable[Key], now: float) -> None:
        """Writes of ``keys`` may or may not have happened: they are unknown for Q from now."""
        for key in keys:
            self._make_unknown(key, now)
            self._caches.discard(key)
            change = self._caches.change(key, None)
            self._drop(key[0], change)
            for met in self._met_by(key):
                self._queries.hold(met, change.scopes, Outcome.UNKNOWN)
            for scope in change.scopes:
                self._make_unknown(scope, now)

    def quarantine_all(self, now: float) -> None:
        """Every key is unknown for Q from now, then settled for Q."""
        self._caches.clear(None)
        self._raise_generation()
        self._overlapped.update(self._fenced)
        for key in self._fenced:
            self._queries.hold(key, self._caches.change(key, None).scopes, Outcome.UNKNOWN)
        self._all_unknown_until = now + self._quarantine_s
        self._consistent_for(2 * self._quarantine_s, now)

    def _make_unknown(self, scope: Scope, now: float) -> None:
        self._unknown[scope] = now + self._quarantine_s
        self._unknown.move_to_end(scope)
        if len(scope) == 2:
            if scope in self._fenced:
                self._overlapped.add(scope)
            self._revoke_item(scope)
        if len(self._unknown) > UNKNOWN_MAX:
            self._sweep(now)
            if len(self._unknown) > UNKNOWN_MAX:
                self._unknown.clear()
                self.quarantine_all(now)

    def _consistent_for(self, duration_s: float, now: float) -> None:
        self.consistent_until = max(self.consistent_until, now + duration_s)

    def _is_unknown(self, key: Key, now: float) -> bool:
        return now < self._all_unknown_until or self._is_doubted(key, now)

    def _is_doubted(self, key: Key, now: float) -> bool:
        unknown = self._unknown
        if not unknown:
            return False
        return now < unknown.get(key, NEVER) or now < unknown.get((key[0], WHOLE), NEVER)

    # -- catching up ------------------------------------------------------------------------

    def reset(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        """Empties the caches and replaces all fences and quarantines by the given ones."""
        self._caches.clear(None)
        self._open.clear()
        self._queries.clear()
        self._fenced.clear()
        self._overlapped.clear()
        self._unknown.clear()
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

    def hit_allowed(self, key: Key, now: float) -> bool:
        """Whether an entry of ``key``, if there were one, might be answered with."""
        return now < self.serve_until and self._is_free(key, now)

    def _is_free(self, key: Key, now: float) -> bool:
        """True if the key is neither fenced nor unknown, by itself or with its table."""
        fenced = self._fenced
        return not (key in fenced or (key[0], WHOLE) in fenced or self._is_unknown(key, now))

    def stamp(self, key: Key, now: float) -> tuple[float, ...] | None:
        """At the primary: two equal stamps mean that no write changed the item in between, as
        far as the cluster knows. None: one is under way or in doubt, or there is no lease."""
        if not self.hit_allowed(key, now):
            return None
        settled = max(self._settled.get(one, NEVER) for one in (key, (key[0], WHOLE)))
        return (self.generation, settled, self.consistent_until)

    def begin_fill(self, key: Key, now: float) -> Fill | None:
        """Permission to keep what a read of an item that begins now brings back.

        None: pass it through with ConsistentRead, share it with nobody, keep nothing. Every fill
        that was given must end in ``end_fill`` or ``abandon``.
        """
        if self._fills.has_item(key) or not self.hit_allowed(key, now):
            return None
        settled = bool(self._settled or self._unknown) and (
            self._is_settled(key, now) or self._is_settled((key[0], WHOLE), now)
        )
        fill = Fill(key, None, self.generation, settled or now < self.consistent_until)
        self._fills.add(fill)
        return fill

    def begin_query(self, dependency: Dependency, now: float) -> Fill | None:
        """As ``begin_fill``, of a read whose result will depend on ``dependency`` or less.

        No read of a global index can ask for consistency, so its results are not kept while they
        would have to be consistent. Of a detached dependency nothing counts but the lease.
        """
        if now >= self.serve_until or now < self._all_unknown_until:
            return None
        consistent = now < self.consistent_until
        for scope in dependency.scopes():
            if scope in self._queries or now < self._unknown.get(scope, NEVER):
                return None
            consistent = consistent or self._is_settled(scope, now)
        if consistent and dependency.is_global and not dependency.detached:
            return None
        fill = Fill(None, dependency, self.generation, consistent)
        self._fills.add(fill)
        return fill

    def _is_settled(self, scope: Scope, now: float) -> bool:
        # What is unknown no more is settled, also if no sweep has said so yet.
        return now < self._settled.get(scope, NEVER) or scope in self._unknown

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
        self._fills.discard(fill)

    # -- what a new subscriber needs ----------------------------------------------------------

    def open_fences(self) -> tuple[Fence, ...]:
        """The open fences, with the effects that a node needs which knows nothing settled."""
        return tuple(self._queries.told(*opened) for opened in self._open.items())

    @property
    def writes_open(self) -> int:
        return len(self._open)

    def unknown_keys(self, now: float) -> tuple[Key, ...]:
        return tuple(
            scope for scope, until in self._unknown.items() if len(scope) == 2 and now < until
        )

    def all_unknown(self, now: float) -> bool:
        return now < self._all_unknown_until

    # -- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Frees the memory of quarantines that are over."""
        self._sweep(now)

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
