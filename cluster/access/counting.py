"""How often callers were refused, and who is told of it. Pure."""

from __future__ import annotations

from collections import Counter

from cluster.access.audit import AuditEvent, Tell

DENIED = "AccessDeniedException"


class Refusals:
    """Requests and connections by the name of the error that they were refused with, which is one
    of a dozen: signatures that prove nothing, and what policies do not allow.

    ``tell``: gets each of them, for the audit log. ``allowed``: gets what was allowed, too; None
    where nobody wants to know, which costs a request nothing.
    """

    def __init__(self, tell: Tell | None = None, allowed: Tell | None = None) -> None:
        self._counts: Counter[str] = Counter()
        self._tell = tell
        self.allowed = allowed

    def refused(self, event: AuditEvent) -> None:
        self._counts[event.reason] += 1
        if self._tell is not None:
            self._tell(event)

    def items(self) -> list[tuple[tuple[str], float]]:
        return [((name,), float(count)) for name, count in sorted(self._counts.items())]

    def as_dict(self) -> dict[str, int]:
        return dict(sorted(self._counts.items()))
