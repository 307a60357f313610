"""Bugs on purpose in how one epoch follows another."""

from __future__ import annotations

from typing import Any

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Outcome, Position
from cluster.coherence.primary import Primary
from cluster.coherence.takeover import Takeover


class OneMemoryIsEnough(Takeover):
    def _missing(self) -> str | None:
        return None if self._top() is not None else "nobody remembers"


class RestartedMembersCount(Takeover):
    def _missing(self) -> str | None:
        top = self._top()
        if top is None:
            return "nobody remembers"
        for epoch in range(top[1].epoch, self._epoch):
            members = self._members.get(epoch, frozenset())
            answered = self._memories.keys() & members
            if len(members) == 2 or 2 * len(answered) <= len(members):
                return "too few answers"
        return None


class OneOfTwoIsEnough(Takeover):
    def _missing(self) -> str | None:
        top = self._top()
        if top is None:
            return "nobody remembers"
        remembering = {n for n, memory in self._memories.items() if memory.position is not None}
        for epoch in range(top[1].epoch, self._epoch):
            members = self._members.get(epoch, frozenset())
            if 2 * len(remembering & members) < len(members) + (len(members) != 2):
                return "too few remember"
        return None


class TheOwnMemoryComesFirst(Takeover):
    def _top(self) -> tuple[str, Position] | None:
        own = self._memories[self._node_id].position
        return super()._top() if own is None else (self._node_id, own)


class OpenFencesEndRejected(Guard):
    def begin_epoch(self, now: float) -> None:
        self._raise_generation()
        for fence in list(self._open):
            self.settle(fence, Outcome.REJECTED, (), now)


class LeasesOfTheEpochBeforeAreForgotten(Primary):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "former": None})


TAKEOVERS: tuple[type[Guard] | type[Primary] | type[Takeover], ...] = (
    OneMemoryIsEnough,
    RestartedMembersCount,
    OneOfTwoIsEnough,
    TheOwnMemoryComesFirst,
    OpenFencesEndRejected,
    LeasesOfTheEpochBeforeAreForgotten,
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
}

TAKEOVERS_NOTICED_BY = {
    OneMemoryIsEnough: 330,
    RestartedMembersCount: 327,
    OneOfTwoIsEnough: 27,
    TheOwnMemoryComesFirst: 364,
    OpenFencesEndRejected: 99,
}
