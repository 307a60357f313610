"""Assembles a snapshot that comes in pieces. Pure."""

from __future__ import annotations

from cluster.consensus.core.messages import Snapshot, SnapshotPiece


class Incoming:
    """Assembles one snapshot at a time; a piece of another one begins anew."""

    def __init__(self) -> None:
        self._of: tuple[int, int] | None = None
        self._data = bytearray()

    @property
    def received(self) -> int:
        """The bytes received of the latest snapshot."""
        return len(self._data)

    def clear(self) -> None:
        self._of = None
        self._data = bytearray()

    def add(self, piece: SnapshotPiece) -> Snapshot | None:
        """Returns the whole snapshot once it is complete, else None. A piece that does not follow
        what has come adds nothing."""
        if self._of != (piece.index, piece.term):
            self.clear()
            self._of = piece.index, piece.term
        if piece.offset == len(self._data):
            self._data += piece.data
        if len(self._data) < piece.size:
            return None
        data = bytes(self._data)
        self.clear()
        return Snapshot(piece.index, piece.term, piece.configuration, data)
