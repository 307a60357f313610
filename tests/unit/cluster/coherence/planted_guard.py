"""Bugs on purpose in what one node answers and keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.fills import Fill, Fills
from cluster.coherence.guard import Guard, Scope
from cluster.coherence.messages import Caches, Fence, Image, Outcome, Position
from cluster.coherence.queries import Change, Dependency
from paceline.types import Key
from tests.unit.cluster.coherence.toys import ToyCaches


class FencesDoNotRevokeFills(Guard):
    def fence(
        self,
        position: Position,
        keys: Sequence[Key],
        now: float,
        effects: Sequence[Effect | None] = (),
    ) -> None:
        fills, self._fills = self._fills, Fills()
        super().fence(position, keys, now, effects)
        self._fills = fills


class NothingRevokesFills(Guard):
    def __init__(self, caches: Caches, quarantine_s: float) -> None:
        super().__init__(caches, quarantine_s)
        self._fills = _LastingFills()


class _LastingFills(Fills):
    def revoke_item(self, key: Key) -> None:
        pass

    def revoke_queries(self, table: str, touches: Sequence[IndexTouch] | None) -> None:
        pass


class FillsBeginUnderAFence(Guard):
    def hit_allowed(self, key: Key, now: float) -> bool:
        return now < self.serve_until and not self._is_unknown(key, now)


class FillsBeginWithoutALease(Guard):
    def hit_allowed(self, key: Key, now: float) -> bool:
        return key not in self._fenced and not self._is_unknown(key, now)

    def joinable(self, fill: Fill, now: float) -> bool:
        return fill.valid


class FillsOutliveTheLease(Guard):
    def joinable(self, fill: Fill, now: float) -> bool:
        return fill.valid

    def _raise_generation(self) -> None:
        self.generation += 1


class EveryFillIsKept(Guard):
    def end_fill(self, fill: Fill, now: float) -> bool:
        self.abandon(fill)
        return True


class RevokedFillsAreJoined(Guard):
    def joinable(self, fill: Fill, now: float) -> bool:
        return now < self.serve_until

    def end_fill(self, fill: Fill, now: float) -> bool:
        self.abandon(fill)
        return super().joinable(fill, now)


class OverlappingWritesInstall(Guard):
    def _clean(self, key: Key, now: float) -> bool:
        return not self._is_unknown(key, now)


class ImagesInstallInUnknownQuarantine(Guard):
    def _clean(self, key: Key, now: float) -> bool:
        return key not in self._overlapped

    def _enter(self, key: Key, now: float) -> None:
        again = key in self._fenced
        super()._enter(key, now)
        if not again:
            self._overlapped.discard(key)


class UnknownIsForgotten(Guard):
    def _make_unknown(self, scope: Scope, now: float) -> None:
        self._quarantine(scope, Outcome.SUCCESS, now)


class UnknownEndsWithTheNextSettle(Guard):
    def _quarantine(self, scope: Scope, outcome: Outcome, now: float) -> None:
        self._unknown.pop(scope, None)
        super()._quarantine(scope, outcome, now)


class UnknownIsNotSettledAfterwards(Guard):
    def _sweep(self, now: float) -> None:
        for scope in [s for s, until in self._unknown.items() if now >= until]:
            del self._unknown[scope]
        super()._sweep(now)


class SettledIsForgotten(Guard):
    def _is_settled(self, scope: Scope, now: float) -> bool:
        return scope in self._unknown


class IndexesNeedNoQuarantine(Guard):
    def begin_query(self, dependency: Dependency, now: float) -> Fill | None:
        return super().begin_query(replace(dependency, is_global=False), now)


class TakeoverKnowsEveryKey(Guard):
    def quarantine_all(self, now: float) -> None:
        self._caches.clear(None)
        self._raise_generation()


class SubscribersDoNotInheritAllUnknown(Guard):
    def join(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        super().join(fences, unknown, all_unknown and self.position is None, now)


class ResetKeepsTheCaches(Guard):
    def reset(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        caches, self._caches = self._caches, _NoClear()
        super().reset(fences, unknown, False, now)
        self._caches = caches
        if all_unknown:
            self._all_unknown_until = now + self._quarantine_s


class ResetDropsFencesAndQuarantines(Guard):
    def reset(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        super().reset((), (), False, now)


class SubscribersFillAsBefore(Guard):
    def join(
        self, fences: Iterable[Fence], unknown: Iterable[Key], all_unknown: bool, now: float
    ) -> None:
        before = self.consistent_until
        super().join(fences, unknown, all_unknown, now)
        self.consistent_until = before


class RejectedRestoresOverAnotherWrite(Guard):
    def _settle_item(self, key: Key, outcome: Outcome, image: Image | None, now: float) -> None:
        assert isinstance(self._caches, ToyCaches)
        parked = self._caches.parked.get(key)
        super()._settle_item(key, outcome, image, now)
        if outcome is Outcome.SUCCESS and image is None and parked is not None:
            self._caches.parked[key] = parked


class _NoClear:
    def park(self, key: Key) -> None: ...
    def restore(self, key: Key) -> None: ...
    def discard(self, key: Key) -> None: ...
    def install(self, key: Key, image: Image, now: float) -> None: ...
    def drop_queries(self, table: str, touches: Sequence[IndexTouch] | None) -> None: ...
    def change(self, key: Key, effect: Effect | None) -> Change:
        return Change.of_table(key[0])

    def clear(self, table: str | None) -> None: ...
