"""What the control plane keeps in the replicated log: records by name, and the latest events. Pure.

The log does not look into a record or an event: what they say is discovery's business
(``discovery/control/records.py``), and nodes read the one that has their caches' lifetimes
(``cluster/log/lifetimes.py``). Here they are bounded, and changed all or none, by who has seen the
latest revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.log.commands import ChangeControl

RECORDS_MAX = 200
"""More than the quotas of the control plane admit."""

RECORD_BYTES_MAX = 128 * 1024
"""Of a record and its name. The largest is a cluster with all tags that it may have."""

RECORDS_BYTES_MAX = 2 * 1024 * 1024
"""Of all records, names included: they are in every snapshot of the log."""

EVENTS_MAX = 500
"""The events that are kept, the latest ones."""

EVENT_BYTES_MAX = 1024

TOKENS_MAX = 100
"""Changes that are remembered by their tokens. One that is proposed again, because its proposer did
not hear of the first time, is so within seconds."""

TOKEN_BYTES_MAX = 64

CHANGED = "changed"
"""The refusal of a change by who has not seen the latest one."""


@dataclass(slots=True)
class ControlRecords:
    """``by_name`` and ``events`` are replaced, never changed, so that who holds them can tell that
    they are others."""

    by_name: Mapping[str, bytes]
    events: tuple[bytes, ...] = ()
    """The latest one last."""
    revision: int = 0
    """Grows with each change."""
    tokens: tuple[str, ...] = ()

    def change(self, command: ChangeControl) -> tuple[int, str]:
        """Returns the revision, and why it was refused, or an empty text. One that was applied
        before, and comes again, says what it said the first time."""
        if command.token in self.tokens:
            return self.revision, ""
        if command.expected != self.revision:
            return 0, CHANGED
        changed = {k: v for k, v in command.changes.items() if v is not None}
        kept = {k: v for k, v in self.by_name.items() if k not in command.changes}
        after = {**kept, **changed}
        refused = _refusal(command, changed, after)
        if refused:
            return 0, refused
        self.revision += 1
        self.by_name = after
        self.events = (*self.events, *command.events)[-EVENTS_MAX:]
        self.tokens = (*self.tokens, command.token)[-TOKENS_MAX:]
        return self.revision, ""

    def fields(self) -> list[object]:
        """For a snapshot, and for discovery."""
        rows = [[name, record] for name, record in sorted(self.by_name.items())]
        return [self.revision, list(self.tokens), rows, list(self.events)]

    @classmethod
    def from_fields(cls, fields: object) -> ControlRecords:
        """Of a snapshot's. ValueError, TypeError: they are something else."""
        if fields is None:  # of a release without a control plane
            return cls({})
        if not isinstance(fields, list):
            raise TypeError(f"a list expected, not {type(fields).__name__}")
        revision, tokens, rows, events = fields
        if not isinstance(revision, int):
            raise TypeError("a revision is a number")
        by_name = {_checked(name, str): _checked(record, bytes) for name, record in rows}
        return cls(
            by_name,
            tuple(_checked(event, bytes) for event in events),
            revision,
            tuple(_checked(token, str) for token in tokens),
        )


def _refusal(
    command: ChangeControl, changed: Mapping[str, bytes], after: Mapping[str, bytes]
) -> str:
    if len(command.token.encode()) > TOKEN_BYTES_MAX:
        return f"a token of more than {TOKEN_BYTES_MAX} bytes"
    if any(_size(name, record) > RECORD_BYTES_MAX for name, record in changed.items()):
        return f"a record of more than {RECORD_BYTES_MAX} bytes"
    if len(after) > RECORDS_MAX:
        return f"the cluster has {RECORDS_MAX} records of its control plane already"
    if sum(_size(name, record) for name, record in after.items()) > RECORDS_BYTES_MAX:
        return f"all records together would have more than {RECORDS_BYTES_MAX} bytes"
    if any(len(event) > EVENT_BYTES_MAX for event in command.events):
        return f"an event of more than {EVENT_BYTES_MAX} bytes"
    return ""


def _size(name: str, record: bytes) -> int:
    return len(name.encode()) + len(record)


def _checked(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value
