"""Bugs on purpose, one rule of the protocol left out in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cluster.coherence.effects import Effect
from cluster.coherence.guard import NEVER, Guard
from cluster.coherence.messages import Fence, LeaseReply, LogMessage, Position, Welcome
from cluster.coherence.primary import Action, Primary
from cluster.coherence.replica import Action as ReplicaAction
from cluster.coherence.replica import Replica
from cluster.coherence.replicas import ReplicaRecord
from cluster.coherence.takeover import Takeover
from paceline.types import Key
from tests.unit.cluster.coherence.planted_guard import (
    EveryFillIsKept,
    FencesDoNotRevokeFills,
    FillsBeginUnderAFence,
    FillsBeginWithoutALease,
    FillsOutliveTheLease,
    ImagesInstallInUnknownQuarantine,
    IndexesNeedNoQuarantine,
    NothingRevokesFills,
    OverlappingWritesInstall,
    RejectedRestoresOverAnotherWrite,
    ResetDropsFencesAndQuarantines,
    ResetKeepsTheCaches,
    RevokedFillsAreJoined,
    SettledIsForgotten,
    SubscribersDoNotInheritAllUnknown,
    SubscribersFillAsBefore,
    TakeoverKnowsEveryKey,
    UnknownEndsWithTheNextSettle,
    UnknownIsForgotten,
    UnknownIsNotSettledAfterwards,
)
from tests.unit.cluster.coherence.planted_takeovers import (
    TAKEOVERS,
    TAKEOVERS_NOTICED_BY,
    TAKEOVERS_WANT,
)
from tests.unit.cluster.coherence.toys import Kinds

# -- primary ----------------------------------------------------------------------------------


class LeasesAreNotWaitedFor(Primary):
    def begin(
        self, keys: Sequence[Key], now: float, effects: Sequence[Effect | None] = ()
    ) -> tuple[Position, list[Action]]:
        for replica in self._replicas.links.values():
            replica.lease_until = NEVER
        return super().begin(keys, now, effects)


class LeasesEndWithTheirLink(Primary):
    def unlinked(self, link: int, now: float) -> None:
        replica = self._replicas.links.get(link)
        if replica is not None:
            replica.lease_until = NEVER
        super().unlinked(link, now)


class LeasesOutliveThePrimarys(Primary):
    def _lease(self, replica: ReplicaRecord, request: int, now: float) -> LeaseReply:
        self._lease_until, before = self._lease_until + 100, self._lease_until
        reply = super()._lease(replica, request, now)
        self._lease_until = before
        return reply


class LeasesCountFromTheirRequest(Primary):
    """What the replica does is done by the primary too: both count too little."""

    def _lease(self, replica: ReplicaRecord, request: int, now: float) -> LeaseReply:
        reply = super()._lease(replica, request, now)
        if reply.duration_s:
            replica.lease_until = now + reply.duration_s / 2
        return reply


class WritesGoOutUnderAnyLease(Primary):
    def may_send(self, fence: Position, now: float) -> bool:
        return True

    def orphaned(self, fence: Position, now: float) -> bool:
        return False


class ThePrimaryDoesNotFenceItself(Primary):
    def begin(
        self, keys: Sequence[Key], now: float, effects: Sequence[Effect | None] = ()
    ) -> tuple[Position, list[Action]]:
        guard, self._guard = self._guard, _BlindGuard(self._guard)
        try:
            return super().begin(keys, now, effects)
        finally:
            self._guard = guard


class _BlindGuard(Guard):
    """Shares the state of another one, and lets no fence into it."""

    def __init__(self, guard: Guard) -> None:
        self.__dict__.update(guard.__dict__)
        self.true = guard

    def fence(
        self,
        position: Position,
        keys: Sequence[Key],
        now: float,
        effects: Sequence[Effect | None] = (),
    ) -> None:
        pass

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "position":
            self.true.position = value  # type: ignore[assignment]


class WelcomesTellNoFences(Primary):
    def _welcome(self, reset: bool, now: float) -> Welcome:
        told = super()._welcome(reset, now)
        return Welcome(told.position, told.reset, (), told.unknown, told.all_unknown)


class WelcomesTellNoUnknown(Primary):
    def _welcome(self, reset: bool, now: float) -> Welcome:
        told = super()._welcome(reset, now)
        return Welcome(told.position, told.reset, told.fences, (), False)


# -- replica ----------------------------------------------------------------------------------


class LeasesCountFromTheReply(Replica):
    def _leased(self, reply: LeaseReply, now: float) -> list[ReplicaAction]:
        if reply.id in self._asked:
            self._asked[reply.id] = now
        return super()._leased(reply, now)


class LeasesCountBeforeTheirPosition(Replica):
    def _leased(self, reply: LeaseReply, now: float) -> list[ReplicaAction]:
        position = self._guard.position or reply.position
        return super()._leased(LeaseReply(reply.id, position, reply.duration_s), now)


class DoubledWelcomesCount(Replica):
    def _welcome(self, welcome: Welcome, now: float) -> list[ReplicaAction]:
        if self._welcomed and not welcome.reset:
            return []
        self._welcomed = False
        return super()._welcome(welcome, now)


class ResetsAreJoined(Replica):
    def _welcome(self, welcome: Welcome, now: float) -> list[ReplicaAction]:
        if welcome.reset:
            self._guard.join(welcome.fences, welcome.unknown, welcome.all_unknown, now)
            self._guard.position = welcome.position
            welcome = replace(welcome, reset=False)
        return super()._welcome(welcome, now)


class GapsAreIgnored(Replica):
    def _apply(self, message: LogMessage, now: float) -> list[ReplicaAction]:
        position = self._guard.position
        if position is not None and position.epoch == message.position.epoch:
            before = Position(position.epoch, message.position.sequence - 1)
            self._guard.position = max(position, before)
        return super()._apply(message, now)


class AcknowledgedBeforeApplied(Replica):
    """Acknowledges a fence at once, applies it with the next message."""

    late: tuple[Fence, ...] = ()

    def _apply(self, message: LogMessage, now: float) -> list[ReplicaAction]:
        if self._welcomed and isinstance(message, Fence):
            self.late = (*self.late, message)
            guard, self._guard = self._guard, _BlindGuard(self._guard)
            try:
                return super()._apply(message, now)
            finally:
                self._guard = guard
        for fence in self.late:
            self._guard.fence(fence.position, fence.keys, now, fence.effects)
        self.late = ()
        return super()._apply(message, now)


class HandedBackLeasesCount(Replica):
    def hand_back(self, now: float) -> list[ReplicaAction]:
        asked = dict(self._asked)
        actions = super().hand_back(now)
        self._asked.update(asked)
        return actions


class HandBackGoesOnServing(Replica):
    def hand_back(self, now: float) -> list[ReplicaAction]:
        until = self._guard.serve_until
        actions = super().hand_back(now)
        self._guard.serve_until = until
        return actions


Bug = type[Guard] | type[Primary] | type[Replica] | type[Takeover]

PLANTED: tuple[Bug, ...] = (
    FencesDoNotRevokeFills,
    NothingRevokesFills,
    FillsBeginUnderAFence,
    FillsBeginWithoutALease,
    FillsOutliveTheLease,
    EveryFillIsKept,
    RevokedFillsAreJoined,
    OverlappingWritesInstall,
    ImagesInstallInUnknownQuarantine,
    UnknownIsForgotten,
    UnknownEndsWithTheNextSettle,
    UnknownIsNotSettledAfterwards,
    SettledIsForgotten,
    IndexesNeedNoQuarantine,
    TakeoverKnowsEveryKey,
    SubscribersDoNotInheritAllUnknown,
    ResetKeepsTheCaches,
    ResetDropsFencesAndQuarantines,
    SubscribersFillAsBefore,
    RejectedRestoresOverAnotherWrite,
    LeasesAreNotWaitedFor,
    LeasesEndWithTheirLink,
    LeasesOutliveThePrimarys,
    LeasesCountFromTheirRequest,
    WritesGoOutUnderAnyLease,
    ThePrimaryDoesNotFenceItself,
    WelcomesTellNoFences,
    WelcomesTellNoUnknown,
    LeasesCountFromTheReply,
    LeasesCountBeforeTheirPosition,
    DoubledWelcomesCount,
    ResetsAreJoined,
    GapsAreIgnored,
    AcknowledgedBeforeApplied,
    HandedBackLeasesCount,
    HandBackGoesOnServing,
    *TAKEOVERS,
)


RARE: dict[Bug, dict[str, Any]] = {
    LeasesCountBeforeTheirPosition: {
        "loss": 0.15,
        "troubles": ("hand back", "pause"),
        "trouble_s": 0.7,
    },
    DoubledWelcomesCount: {"doubled": 0.5, "log_messages_max": 3, "troubles": ("break",)},
    HandedBackLeasesCount: {"slow": 0.3, "troubles": ("hand back",), "trouble_s": 0.7},
    HandBackGoesOnServing: {"slow": 0.1, "troubles": ("hand back",), "trouble_s": 0.7},
    ImagesInstallInUnknownQuarantine: {"write_s": 0.05, "trouble_s": 2.0},
    UnknownIsNotSettledAfterwards: {"loss": 0.0, "write_s": 0.6, "trouble_s": 6.0},
    FillsOutliveTheLease: {"slow": 0.3, "log_messages_max": 3, "troubles": ("break", "pause")},
    ResetsAreJoined: {"log_messages_max": 3, "troubles": ("break", "stall")},
    WritesGoOutUnderAnyLease: {"troubles": ("pause",), "trouble_s": 2.0},
    LeasesOutliveThePrimarys: {"read_lease_s": 1.4, "troubles": ("no renewals", "pause")},
    **TAKEOVERS_WANT,
}
"""Bugs that want a certain weather, to be found within few seeds."""


NOTICED_BY: dict[Bug, int] = {
    FencesDoNotRevokeFills: 3,
    NothingRevokesFills: 3,
    FillsBeginUnderAFence: 1,
    FillsOutliveTheLease: 14,
    EveryFillIsKept: 3,
    RevokedFillsAreJoined: 4,
    ImagesInstallInUnknownQuarantine: 41,
    UnknownIsNotSettledAfterwards: 9,
    IndexesNeedNoQuarantine: 1,
    TakeoverKnowsEveryKey: 63,
    SubscribersDoNotInheritAllUnknown: 63,
    ResetKeepsTheCaches: 4,
    ResetDropsFencesAndQuarantines: 3,
    SubscribersFillAsBefore: 4,
    RejectedRestoresOverAnotherWrite: 1,
    LeasesOutliveThePrimarys: 117,
    LeasesCountFromTheirRequest: 47,
    WritesGoOutUnderAnyLease: 67,
    WelcomesTellNoFences: 1,
    WelcomesTellNoUnknown: 25,
    LeasesCountFromTheReply: 15,
    LeasesCountBeforeTheirPosition: 20,
    DoubledWelcomesCount: 17,
    ResetsAreJoined: 7,
    GapsAreIgnored: 5,
    HandedBackLeasesCount: 305,
    HandBackGoesOnServing: 17,
    **TAKEOVERS_NOTICED_BY,
}
"""Seeds known to notice a bug that seed 0 does not: tried first, before all others. Where one does
not any more, the test searches, and prints the seed that did: put it here."""


def kinds_with(bug: Bug) -> Kinds:
    if issubclass(bug, Guard):
        return Kinds(guard=bug)
    if issubclass(bug, Primary):
        return Kinds(primary=bug)
    if issubclass(bug, Takeover):
        return Kinds(takeover=bug)
    return Kinds(replica=bug, primary=getattr(bug, "beside", Primary))
