"""The audit log: decisions about access, as lines of JSON in a file or on stdout.

Who decides never waits for it: events go to a bounded queue, from which a thread writes them. What
finds no room, or cannot be written, is counted and told in the next line that is.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from cluster.access.audit import AuditEvent, cut, line_of, lost_line
from cluster.access.rates import Rates
from cluster.service.rotated_file import RotatedFile
from cluster.settings import AccessSettings
from cluster.transport.expected import counted_as
from paceline.clock import now, wall_time
from paceline.errors import ConfigError

QUEUE_MAX = 10_000
"""Events that wait to be written, some 5 MB of usual ones; long texts are cut before."""
BATCH_MAX = 256
"""Lines written at once."""
STRANGERS_BURST, STRANGERS_PER_S = 300, 1.0
"""Lines about callers that nobody knows, for each address: who asks for ever with a wrong key must
not push everything else out of the files."""
DENIED_BURST, DENIED_PER_S = 300, 1.0
"""The same of lines about what a principal may not do, for each principal."""
TELL_S = 60.0
"""The pause between two lines in the program's log about an audit log that cannot be written."""
STOP_S = 2.0

STDOUT = "stdout"
_STDOUT_DESCRIPTOR = 1

_log = structlog.get_logger()


class Lines(Protocol):
    def append(self, lines: bytes) -> None:
        """Appends whole lines. OSError."""

    def close(self) -> None: ...


class _Stdout:
    _torn = False

    def append(self, lines: bytes) -> None:
        data = b"\n" + lines if self._torn else lines
        while data:
            data = data[os.write(_STDOUT_DESCRIPTOR, data) :]
            self._torn = bool(data)

    def close(self) -> None:
        """It is the program's."""


class AuditLog:
    """``tell`` is for any thread. ``counts``: lines by what became of them: ``written``;
    ``dropped``, since the queue was full; ``failed``, since they could not be written;
    ``repeated``, of a stranger or a principal of whom there were many. Commands that operators gave
    are neither dropped nor repeated, whatever others do."""

    def __init__(
        self,
        lines: Lines,
        around: Mapping[str, str],
        clock: Callable[[], float] = now,
        wall_clock: Callable[[], float] = wall_time,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self._lines = lines
        self._around = around
        self._clock = clock
        self._wall_clock = wall_clock
        self._queue_max = queue_max
        self._queue: queue.SimpleQueue[tuple[float, AuditEvent] | None] = queue.SimpleQueue()
        self._strangers: Rates[str] = Rates(STRANGERS_PER_S, STRANGERS_BURST)
        self._denied: Rates[str] = Rates(DENIED_PER_S, DENIED_BURST)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        """Of the counts; nobody waits for a disk while he has it."""
        self._lost: Counter[str] = Counter()
        """Since the last line that was written."""
        self._told_at = float("-inf")
        self.counts: Counter[str] = Counter()
        self.trouble: str | None = None
        """Why lines cannot be written now."""

    @classmethod
    def of(cls, settings: AccessSettings, program: str) -> AuditLog | None:
        """None: there is none. ConfigError: it cannot be written."""
        path = settings.audit_file
        if path is None:
            return None
        around = {"program": program}
        if str(path) == STDOUT:
            return cls(_Stdout(), around)
        try:
            file = RotatedFile(path, settings.audit_bytes_max, settings.audit_files_max)
        except OSError as error:
            raise ConfigError(
                f"cannot write {path} (PACELINE_ACCESS__AUDIT_FILE): {error.strerror}"
            ) from error
        return cls(file, around)

    def tell(self, event: AuditEvent) -> None:
        is_command = event.protocol == "admin" and event.decision in ("allowed", "failed")
        if not is_command:
            if not self._is_wanted(event):
                self._lose("repeated")
                return
            if self._queue.qsize() >= self._queue_max:
                self._lose("dropped")
                return
        self._queue.put((self._wall_clock(), cut(event)))

    def _is_wanted(self, event: AuditEvent) -> bool:
        if event.decision in ("unauthenticated", "throttled"):
            return self._strangers.take(counted_as(event.address, ()), self._clock())
        if event.decision == "denied":
            return self._denied.take(_counted_for(event), self._clock())
        return True

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Writes what waits, as far as that takes no longer than ``STOP_S``."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join, STOP_S)

    def as_dict(self) -> dict[str, Any]:
        return {**dict(sorted(self.counts.items())), "trouble": self.trouble}

    def items(self) -> list[tuple[tuple[str], float]]:
        return [((what,), float(count)) for what, count in sorted(self.counts.items())]

    def _run(self) -> None:
        while True:
            # Without a deadline: there may be nothing to tell for days. ``stop`` ends it.
            batch = [self._queue.get()]
            while len(batch) < BATCH_MAX and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            self._write([one for one in batch if one is not None])
            if batch[-1] is None:
                self._lines.close()
                return

    def _write(self, batch: list[tuple[float, AuditEvent]]) -> None:
        if not batch:
            return
        with self._lock:
            lost, self._lost = self._lost, Counter()
        made = [lost_line(lost, batch[0][0], self._around)] if lost else []
        made += [line_of(event, at, self._around) for at, event in batch]
        try:
            self._lines.append(b"".join(made))
        except OSError as error:
            with self._lock:
                self._lost += lost
            self._lose("failed", len(batch))
            self._complain(error.strerror or str(error))
            return
        self.counts["written"] += len(batch)
        if self.trouble is not None:
            self.trouble = None
            _log.info("the audit log is written again", failed=self.counts["failed"])

    def _lose(self, why: str, count: int = 1) -> None:
        with self._lock:
            self.counts[why] += count
            self._lost[why] += count

    def _complain(self, why: str) -> None:
        self.trouble = why
        at = self._clock()
        if at - self._told_at >= TELL_S:
            self._told_at = at
            _log.error("the audit log cannot be written", reason=why, failed=self.counts["failed"])


def _counted_for(event: AuditEvent) -> str:
    """The principal; all sessions of a role are one, since who has it names them as he likes."""
    if not event.principal:
        return counted_as(event.address, ())
    if ":assumed-role/" in event.principal:
        return event.principal.rpartition("/")[0]
    return event.principal
