"""Decides whether a member is alive; ``prober`` carries the decisions out. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from cluster.roster.endpoints import Health


class Event(enum.Enum):
    TICK = "tick"
    """``wake_at`` has come."""
    CONNECTED = "connected"
    ANSWERED = "answered"
    LOST = "lost"
    """Refused, reset, or closed by the peer."""


class Action(enum.Enum):
    NOTHING = "nothing"
    CONNECT = "connect"
    ASK = "ask"
    CLOSE = "close"
    """Drop the connection, or the attempt to get one; no LOST follows."""


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """``ask_s``: between two questions. ``hang_s``: without an answer for so long is down.
    ``abandon_s``: an unanswered connection is given up, since after a lost packet TCP may repeat
    only much later; a stopped process that goes on answers the old question before that.
    ``retry_min_s``, ``retry_max_s``: pauses between attempts to connect, doubling.
    ``stall_s``: a tick that is this late says that this process itself stood still; answers may
    lie unread, so the question gets ``stall_s`` more.
    """

    ask_s: float = 1.0
    hang_s: float = 1.0
    abandon_s: float = 3.0
    retry_min_s: float = 0.05
    retry_max_s: float = 1.0
    stall_s: float = 0.25


class _Phase(enum.Enum):
    PAUSED = "paused"
    CONNECTING = "connecting"
    ASKED = "asked"
    RESTING = "resting"


class Liveness:
    """State machine of one probed member.

    Refused, reset or closed is down at once; no answer for ``hang_s`` is down; the first answer
    is up. ``wake_at`` is the time of the next TICK and always finite.
    """

    def __init__(self, now: float, times: ProbeTimes | None = None) -> None:
        self.health = Health.UNKNOWN
        self.wake_at = now
        self._times = times or ProbeTimes()
        self._phase = _Phase.PAUSED
        self._asked_at = now
        self._retry_s = self._times.retry_min_s
        self._excused = False

    def step(self, event: Event, now: float) -> Action:
        if event is Event.TICK:
            return self._tick(now)
        if event is Event.LOST:
            if self._phase is not _Phase.PAUSED:
                self._fail(now)
            return Action.NOTHING
        if event is Event.CONNECTED and self._phase is _Phase.CONNECTING:
            return self._ask(now)
        if event is Event.ANSWERED and self._phase is _Phase.ASKED:
            self.health = Health.ALIVE
            self._retry_s = self._times.retry_min_s
            self._phase = _Phase.RESTING
            self.wake_at = max(now, self._asked_at + self._times.ask_s)
        return Action.NOTHING

    def _tick(self, now: float) -> Action:
        if now < self.wake_at:
            return Action.NOTHING
        if self._phase is _Phase.RESTING:
            return self._ask(now)
        if self._phase is _Phase.PAUSED:
            self._phase = _Phase.CONNECTING
            self._asked_at = now
            self._excused = False
            self.wake_at = now + self._times.hang_s
            return Action.CONNECT
        if now - self.wake_at > self._times.stall_s and not self._excused:
            self._excused = True
            self.wake_at = now + self._times.stall_s
            return Action.NOTHING
        self.health = Health.UNREACHABLE
        abandon_at = self._asked_at + self._times.abandon_s
        if self._phase is _Phase.CONNECTING or now >= abandon_at:
            self._fail(now)
            return Action.CLOSE
        self.wake_at = abandon_at
        return Action.NOTHING

    def _ask(self, now: float) -> Action:
        self._phase = _Phase.ASKED
        self._asked_at = now
        self._excused = False
        self.wake_at = now + self._times.hang_s
        return Action.ASK

    def _fail(self, now: float) -> None:
        self.health = Health.UNREACHABLE
        self._phase = _Phase.PAUSED
        self.wake_at = now + self._retry_s
        self._retry_s = min(self._retry_s * 2, self._times.retry_max_s)
