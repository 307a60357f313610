"""The recent messages of an epoch, for replicas that come back after a break."""

from __future__ import annotations

from collections import deque

from cluster.coherence.messages import Fence, LogMessage, Position, Settle

MESSAGES_MAX = 20_000
BYTES_MAX = 16 * 1024 * 1024
"""A replica that missed more than this starts with an empty cache instead."""

MESSAGE_BYTES = 200
"""What a message costs besides keys and images, roughly."""


class PrimaryLog:
    """Messages of one epoch in order, without gaps; the oldest are dropped."""

    def __init__(self, messages_max: int = MESSAGES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._messages: deque[LogMessage] = deque()
        self._bytes = 0

    def append(self, message: LogMessage) -> None:
        self._messages.append(message)
        self._bytes += _size(message)
        while len(self._messages) > self._messages_max or self._bytes > self._bytes_max:
            self._bytes -= _size(self._messages.popleft())

    def since(self, position: Position) -> tuple[LogMessage, ...] | None:
        """What follows ``position``; None if that is not known (any more)."""
        if not self._messages:
            return None
        first, last = self._messages[0].position, self._messages[-1].position
        if position.epoch != last.epoch or position.sequence > last.sequence:
            return None
        missing = last.sequence - position.sequence
        if position.sequence < first.sequence - 1 or missing > len(self._messages):
            return None
        start = len(self._messages) - missing
        return tuple(self._messages[index] for index in range(start, len(self._messages)))


def _size(message: LogMessage) -> int:
    match message:
        case Fence(keys=keys):
            return MESSAGE_BYTES + sum(len(key) for _, key in keys)
        case Settle(images=images):
            return MESSAGE_BYTES + sum(
                len(image.item) for image in images if image is not None and image.item is not None
            )
    return MESSAGE_BYTES
