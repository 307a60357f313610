"""Counts what clients' requests and replies hold in memory, over all protocols of a program.
Pure."""

from __future__ import annotations

HELD_BYTES_MAX = 256 * 1024 * 1024
"""Beyond it, whoever wants more than ``FAIR_BYTES`` is refused: a single request may have many
megabytes, and thousands of connections may each send all but the last byte of one."""

FAIR_BYTES = 64 * 1024
"""What a connection gets in any case. Ordinary requests need a few kilobytes, so they go on while
others hold all there is."""

OBJECT_BYTES = 240
"""The approximate size of one value of a decoded request: a dict with one entry, its content,
and its place in the list or dict around it (measured: 184 to 232 for the dict, up to 60 for the
rest)."""


class MemoryBudget:
    """Counts what is held: bytes received and not yet worked on, decoded requests by what Python's
    objects take, replies that were not yet sent. Whoever holds something counts it, and gives it
    back by counting less.
    """

    __slots__ = ("_guest", "bytes_max", "held_bytes")

    def __init__(self, bytes_max: int = HELD_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.held_bytes = 0
        self._guest: object = None

    def change(self, before: int, after: int) -> bool:
        """One holder has ``after`` bytes now, and had ``before``. False if it must not keep them:
        the holder then gives them up and counts again."""
        self.held_bytes += after - before
        return self.held_bytes <= self.bytes_max or after <= FAIR_BYTES

    def has_room(self, more: int) -> bool:
        """True if someone who holds nothing yet may have this much. Nothing is counted."""
        return self.held_bytes + more <= self.bytes_max or more <= FAIR_BYTES

    def take_in(self, guest: object, wanted: int) -> bool:
        """Whether ``guest`` may hold so much uncounted: one at a time of those that need
        more than the whole budget. The largest requests of DynamoDB's do, decoded, and must not be
        refused for ever. ``leave`` when it is done."""
        if (self._guest is None or self._guest is guest) and wanted > self.bytes_max:
            self._guest = guest
            return True
        return False

    def leave(self, guest: object) -> None:
        """Does nothing for one that is not taken in."""
        if self._guest is guest:
            self._guest = None


def decoded_bytes(received: int, values: int) -> int:
    """The approximate memory that a request of so many bytes and values takes in work."""
    return received + OBJECT_BYTES * values
