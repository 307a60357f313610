"""The audit log: decisions about access, as lines of JSON in a file or on stdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from cluster.access.audit import AuditEvent, cut, line_of, lost_line
from cluster.access.rates import Rates
from cluster.service.line_writer import QUEUE_MAX, Lines, LineWriter, lines_at
from cluster.settings import AccessSettings
from cluster.transport.expected import counted_as
from paceline.clock import now, wall_time

STRANGERS_BURST, STRANGERS_PER_S = 300, 1.0
"""Lines about callers that nobody knows, for each address: who asks for ever with a wrong key must
not push everything else out of the files."""
DENIED_BURST, DENIED_PER_S = 300, 1.0
"""The same of lines about what a principal may not do, for each principal."""


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
        self._around = around
        self._clock = clock
        self._wall_clock = wall_clock
        self._strangers: Rates[str] = Rates(STRANGERS_PER_S, STRANGERS_BURST)
        self._denied: Rates[str] = Rates(DENIED_PER_S, DENIED_BURST)
        self._writer = LineWriter("audit log", lines, self._made, clock, queue_max)
        self.start, self.stop = self._writer.start, self._writer.stop
        self.as_dict, self.items = self._writer.as_dict, self._writer.items

    @property
    def counts(self) -> Counter[str]:
        return self._writer.counts

    @property
    def trouble(self) -> str | None:
        return self._writer.trouble

    @classmethod
    def of(cls, settings: AccessSettings, program: str) -> AuditLog | None:
        """None: there is none. ConfigError: it cannot be written."""
        path = settings.audit_file
        if path is None:
            return None
        most = settings.audit_bytes_max, settings.audit_files_max
        lines = lines_at(path, *most, "PACELINE_ACCESS__AUDIT_FILE")
        return cls(lines, {"program": program})

    def tell(self, event: AuditEvent) -> None:
        is_command = event.protocol == "admin" and event.decision in ("allowed", "failed")
        if not is_command:
            if not self._is_wanted(event):
                self._writer.lose("repeated")
                return
            if self._writer.is_full:
                self._writer.lose("dropped")
                return
        self._writer.put((self._wall_clock(), cut(event)))

    def _is_wanted(self, event: AuditEvent) -> bool:
        if event.decision in ("unauthenticated", "throttled"):
            return self._strangers.take(counted_as(event.address, ()), self._clock())
        if event.decision == "denied":
            return self._denied.take(_counted_for(event), self._clock())
        return True

    def _made(self, batch: list[tuple[float, AuditEvent]], lost: Mapping[str, int]) -> bytes:
        made = [lost_line(lost, batch[0][0], self._around)] if lost else []
        made += [line_of(event, at, self._around) for at, event in batch]
        return b"".join(made)


def _counted_for(event: AuditEvent) -> str:
    """The principal; all sessions of a role are one, since who has it names them as he likes."""
    if not event.principal:
        return counted_as(event.address, ())
    if ":assumed-role/" in event.principal:
        return event.principal.rpartition("/")[0]
    return event.principal
