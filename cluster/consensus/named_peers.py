"""Whom a log names, before it is known what of it is committed. Pure.

A process that starts applies nothing before it hears from a leader; to hear from one, or to be
elected, it has to know where the others are. So all that is in its log is a hint, committed or not:
whoever is reached by it has a certificate, and takes only what is for its own disk.
"""

from __future__ import annotations

from collections.abc import Iterable

from cluster.consensus.core.messages import Entry, Kind
from cluster.consensus.interface import Peer
from cluster.log.state import ReplicatedState


def named_peers(snapshot: bytes, entries: Iterable[Entry]) -> list[tuple[str, Peer]]:
    """Returns nodes with each of their disks, and where they were with that; the latest first."""
    state = ReplicatedState()
    if snapshot:
        state.restore(snapshot)
    found: dict[tuple[str, Peer], None] = {}

    def add() -> None:
        for node, disk in state.disks.items():
            one = (node, Peer(state.voters[node], disk))
            found.pop(one, None)
            found[one] = None

    add()
    for entry in entries:
        if entry.kind == Kind.COMMAND:
            before = state.voters, dict(state.disks)
            state.apply(entry.data)
            if (state.voters, state.disks) != before:
                add()
    return list(reversed(found))
