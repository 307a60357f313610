"""Bounds the lines of each kind in the log, so that nobody can fill the disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import structlog

BURST = 50
PER_S = 2.0
"""Lines of one kind: so many at once, then so many a second. What is left out is counted, and told
with the next line of that kind, or with the next one of any other once that kind has gone quiet."""

KINDS_MAX = 500
"""Remembered at a time. Kinds are few, unless a library writes what it got into its message: beyond
it such lines are counted together."""

QUIET_S = 5.0
LOOK_S = 1.0
"""The pause between two looks at all kinds, so that a storm of lines does not cause one each."""

OTHERS = "other lines"
LEFT_OUT = "left_out"


@dataclass(slots=True)
class _Kind:
    left: float
    at: float
    left_out: int = 0


class LineLimiter:
    """Decides which lines are written; pure but for the lock that its callers share."""

    def __init__(self, burst: int = BURST, per_s: float = PER_S) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._kinds: dict[Hashable, _Kind] = {}
        self._owed = 0
        self._forgot_at = self._told_at = float("-inf")

    def admit(self, kind: Hashable, now: float) -> int | None:
        """Returns None to drop the line, else the number of lines dropped before it."""
        found = self._kinds.get(kind)
        if found is None:
            if len(self._kinds) >= KINDS_MAX and not self._forget(now):
                kind = OTHERS
            found = self._kinds.setdefault(kind, _Kind(self._burst, now))
        found.left = min(self._burst, found.left + max(0.0, now - found.at) * self._per_s)
        found.at = now
        if found.left < 1:
            found.left_out += 1
            self._owed += 1
            return None
        found.left -= 1
        left_out, found.left_out = found.left_out, 0
        self._owed -= left_out
        return left_out

    def owed(self, now: float) -> list[tuple[Hashable, int]]:
        """Kinds that have gone quiet, and how many lines of each were left out since its last."""
        if not self._owed or now - self._told_at < LOOK_S:
            return []
        self._told_at = now
        told = []
        for kind, found in self._kinds.items():
            if found.left_out and now - found.at >= QUIET_S:
                told.append((kind, found.left_out))
                self._owed -= found.left_out
                found.left_out = 0
        return told

    def _forget(self, now: float) -> bool:
        """Drops kinds whose bucket is full again: they are as good as unknown."""
        if now - self._forgot_at < LOOK_S:
            return False
        self._forgot_at = now
        full_s = self._burst / self._per_s
        idle = [
            kind
            for kind, found in self._kinds.items()
            if not found.left_out and now - found.at >= full_s
        ]
        for kind in idle:
            del self._kinds[kind]
        return bool(idle)


class LogLimits(logging.Filter):
    """The limiter in the ways that lines take: as structlog's first processor, and as a filter of
    what libraries write through ``logging``. Debug lines pass: who asks for them wants all."""

    def __init__(self, clock: Callable[[], float], limiter: LineLimiter | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._limiter = limiter or LineLimiter()
        self._lock = threading.Lock()

    def process(
        self, logger: object, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        if method == "debug":
            return event
        left_out = self._admit((method, str(event.get("event"))))
        if left_out is None:
            raise structlog.DropEvent
        if left_out:
            event[LEFT_OUT] = left_out
        return event

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG or isinstance(record.msg, dict):
            return True  # structlog's have been counted
        if hasattr(record, LEFT_OUT):
            return True
        left_out = self._admit((record.name, record.levelname, str(record.msg)))
        if left_out:
            setattr(record, LEFT_OUT, left_out)
        return left_out is not None

    def _admit(self, kind: tuple[str, ...]) -> int | None:
        now = self._clock()
        with self._lock:
            left_out = self._limiter.admit(kind, now)
            owed = self._limiter.owed(now)
        for other, count in owed:
            name = " ".join(other) if isinstance(other, tuple) else str(other)
            logging.getLogger(__name__).warning(
                "log lines were left out", extra={"lines": name[:200], LEFT_OUT: count}
            )
        return left_out
