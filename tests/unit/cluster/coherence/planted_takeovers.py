"""Bugs on purpose in how one epoch follows another."""

from __future__ import annotations

from typing import Any

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Begin, LogMessage, Outcome, Position
from cluster.coherence.primary import Primary
from cluster.coherence.replica import Action, Replica
from cluster.coherence.takeover import Takeover
from cluster.coherence.takeover_report import reflect


class OneReportIsEnough(Takeover):
    def _missing(self) -> str | None:
        return None if self._top() is not None else "no report has a position"


class RestartedMembersCount(Takeover):
    def _missing(self) -> str | None:
        top = self._top()
        if top is None:
            return "no report has a position"
        for epoch in range(top[1].epoch, self._epoch):
            members = self._members.get(epoch, frozenset())
            answered = self._reports.keys() & members
            if len(members) == 2 or 2 * len(answered) <= len(members):
                return "too few answers"
        return None


class OneOfTwoIsEnough(Takeover):
    def _missing(self) -> str | None:
        top = self._top()
        if top is None:
            return "no report has a position"
        reporting = {n for n, report in self._reports.items() if report.position is not None}
        for epoch in range(top[1].epoch, self._epoch):
            members = self._members.get(epoch, frozenset())
            if 2 * len(reporting & members) < len(members) + (len(members) != 2):
                return "too few have a position"
        return None


class TheOwnReportComesFirst(Takeover):
    def _top(self) -> tuple[str, Position] | None:
        own = self._reports[self._node_id].position
        return super()._top() if own is None else (self._node_id, own)


class OpenFencesEndRejected(Guard):
    def begin_epoch(self, now: float) -> None:
        self._raise_generation()
        for fence in list(self._open):
            self.settle(fence, Outcome.REJECTED, (), now)


class LeasesOfTheEpochBeforeAreForgotten(Primary):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "former": None})


class ReleasedWhileReadLeasesLive(Primary):
    def drained(self, now: float) -> bool:
        return self._draining and not self._writes


class _GivesTheEpochToAnyone(Primary):
    def _missed(self, position: Position | None) -> tuple[LogMessage, ...] | None:
        if position is not None and position.epoch < self.epoch and not self._reset:
            return tuple(m for m in self._log._messages if m.position.epoch == self.epoch)
        return super()._missed(position)


class NobodyChecksTheChain(Replica):
    beside = _GivesTheEpochToAnyone

    def _begin(self, begin: Begin, now: float) -> list[Action]:
        position = self._guard.position
        if not self._welcomed and (position is None or position < begin.position):
            reflect(self._guard, begin, now)
        return []


TAKEOVERS: tuple[type[Guard] | type[Primary] | type[Replica] | type[Takeover], ...] = (
    OneReportIsEnough,
    RestartedMembersCount,
    OneOfTwoIsEnough,
    TheOwnReportComesFirst,
    OpenFencesEndRejected,
    LeasesOfTheEpochBeforeAreForgotten,
    ReleasedWhileReadLeasesLive,
    NobodyChecksTheChain,
)

TAKEOVERS_WANT: dict[Any, dict[str, Any]] = {
    RestartedMembersCount: {
        "troubles": ("death", "stall", "break"),
        "trouble_s": 0.4,
        "write_s": 0.15,
        "members_change": 0.0,
        "own_epochs": 0.0,
        "log_messages_max": 8192,
    },
    LeasesOfTheEpochBeforeAreForgotten: {"own_epochs": 0.05},
    ReleasedWhileReadLeasesLive: {"troubles": ("drain",), "trouble_s": 0.7},
    NobodyChecksTheChain: {"troubles": ("death", "stall", "break")},
}

TAKEOVERS_NOTICED_BY = {
    OneReportIsEnough: 10,
    RestartedMembersCount: 327,
    OneOfTwoIsEnough: 292,
    TheOwnReportComesFirst: 273,
    OpenFencesEndRejected: 127,
    LeasesOfTheEpochBeforeAreForgotten: 49,
    ReleasedWhileReadLeasesLive: 24,
    NobodyChecksTheChain: 10,
}
