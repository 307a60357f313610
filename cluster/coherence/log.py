"""The recent messages of an epoch, for replicas that come back after a break."""

from __future__ import annotations

from collections import deque
from itertools import islice

from cluster.coherence.messages import Fence, LogMessage, Position, Settle

MESSAGES_MAX = 8_192
BYTES_MAX = 8 * 1024 * 1024
"""A replica that missed more than either starts with empty caches, which costs less than sending
it all of this: the backlog of its link would be near its own limit."""

MESSAGE_BYTES = 200
"""What a message costs besides keys and images, roughly."""


class PrimaryLog:
    """The messages of one epoch in order and without gaps, the oldest ones dropped."""

    def __init__(self, messages_max: int = MESSAGES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._messages: deque[LogMessage] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def append(self, message: LogMessage) -> None:
        """``message`` is the successor of the last one."""
        self._messages.append(message)
        self.bytes += _size(message)
        while len(self._messages) > self._messages_max or self.bytes > self._bytes_max:
            self.bytes -= _size(self._messages.popleft())

    def since(self, position: Position) -> tuple[LogMessage, ...] | None:
        """What follows ``position``; None if it is not of this epoch or some of it is gone.

        The position "before Begin" is the epoch's sequence -1.
        """
        if not self._messages:
            return None
        last = self._messages[-1].position
        missing = last.sequence - position.sequence
        if position.epoch != last.epoch or not 0 <= missing <= len(self._messages):
            return None
        return tuple(islice(self._messages, len(self._messages) - missing, None))


def _size(message: LogMessage) -> int:
    size = MESSAGE_BYTES
    if type(message) is Fence:
        for table, key in message.keys:
            size += len(table) + len(key)
    elif type(message) is Settle:
        for image in message.images:
            if image is not None and image.item is not None:
                size += len(image.item)
    return size
