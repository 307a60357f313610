"""Assembles a snapshot that comes in pieces. Pure."""

from __future__ import annotations

from cluster.consensus.core.messages import Snapshot, SnapshotPiece


class Incoming:
    """Assembles one snapshot of one leader at a time; a piece of another one begins anew. Two
    leaders may encode the same state differently."""

    def __init__(self) -> None:
        self._of: tuple[int, int, int] | None = None
        self._data = bytearray()

    @property
    def received(self) -> int:
        """The bytes received of the latest snapshot."""
        return len(self._data)

    def clear(self) -> None:
        self._of = None
        self._data = bytearray()

    def add(self, leaders_term: int, piece: SnapshotPiece) -> Snapshot | None:
        """Returns the whole snapshot once it is complete, else None. A piece that does not follow
        what has come adds nothing."""
        of = leaders_term, piece.index, piece.term
        if self._of != of:
            self.clear()
            self._of = of
        if piece.offset == len(self._data):
            self._data += piece.data
        if len(self._data) < piece.size:
            return None
        data = bytes(self._data)
        self.clear()
        return Snapshot(piece.index, piece.term, piece.configuration, data)
