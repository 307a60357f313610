"""Whom a log names, before it is known what of it is committed. Pure.

A process that starts applies nothing before it hears from a leader; to hear from one, or to be
elected, it has to know where the others are. So all that is in its log is a hint, committed or not:
whoever is reached by it has a certificate, and takes only what is for its own disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cluster.consensus.core.messages import Entry, Kind
from cluster.consensus.interface import Peer
from cluster.log.state import ReplicatedState


def named_peers(snapshot: bytes, entries: Iterable[Entry]) -> list[tuple[str, Peer]]:
    """Returns nodes with each of their disks, and where they were with that; the latest first."""
    found: dict[tuple[str, Peer], None] = {}
    before: object = None
    for state in states(snapshot, entries):
        if (state.voters, state.disks) == before:
            continue
        before = state.voters, dict(state.disks)
        for node, disk in state.disks.items():
            one = (node, Peer(state.voters[node], disk))
            found.pop(one, None)
            found[one] = None
    return list(reversed(found))


def states(snapshot: bytes, entries: Iterable[Entry]) -> Iterator[ReplicatedState]:
    """Yields the state of a snapshot, and after each command that follows, as if all of them were
    committed. It is one object, which changes."""
    state = ReplicatedState()
    if snapshot:
        state.restore(snapshot)
    yield state
    for entry in entries:
        if entry.kind == Kind.COMMAND:
            state.apply(entry.data)
            yield state
