"""What a disk of the replicated log has after a write."""

from __future__ import annotations

from dataclasses import replace

from cluster.consensus.core.messages import Append, Durable, HardState, Rewrite, Write


def written(before: Durable, write: Write) -> Durable:
    match write:
        case HardState():
            return replace(before, hard=write)
        case Append(entries):
            kept = before.entries[: entries[0].index - before.snapshot.index - 1]
            return replace(before, entries=kept + entries)
        case Rewrite(snapshot, entries):
            return replace(before, snapshot=snapshot, entries=entries)
