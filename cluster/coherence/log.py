"""Keeps the recent messages that a node's caches reflect, for nodes that return after a break."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from cluster.coherence.effects import effects_bytes
from cluster.coherence.messages import Begin, Fence, LogMessage, Position, Settle

MESSAGES_MAX = 8_192
BYTES_MAX = 8 * 1024 * 1024
"""A replica that missed more than either starts with empty caches, which costs less than sending
it all of this: the backlog of its link would be near its own limit."""

MESSAGE_BYTES = 200
"""The approximate size of a message without its keys and images."""


@dataclass(slots=True)
class _Run:
    """Messages of one epoch without a gap: ``first`` is at the absolute index ``start``."""

    epoch: int
    first: int
    start: int
    predecessor: Position | None
    """The position that ``first`` follows, if ``first`` begins its epoch."""


class StreamLog:
    """The primary's stream as this node published or applied it, oldest messages dropped.

    Invariant: each message is the successor of the one before it: the next of its epoch, or the
    beginning of a later epoch that names it as its predecessor. Whoever begins anew clears.
    """

    def __init__(self, messages_max: int = MESSAGES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.messages_max = messages_max
        self._bytes_max = bytes_max
        self._messages: deque[LogMessage] = deque()
        self._runs: deque[_Run] = deque()
        self._dropped = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def clear(self) -> None:
        """Forgets all messages. The next one appended follows none of them."""
        self._messages.clear()
        self._runs.clear()
        self.bytes = 0

    def append(self, message: LogMessage) -> None:
        """Appends ``message``, which must be the successor of the last one."""
        position = message.position
        if not self._runs or self._runs[-1].epoch != position.epoch:
            predecessor = message.predecessor if isinstance(message, Begin) else None
            start = self._dropped + len(self._messages)
            self._runs.append(_Run(position.epoch, position.sequence, start, predecessor))
        self._messages.append(message)
        self.bytes += size_of(message)
        while len(self._messages) > self.messages_max or self.bytes > self._bytes_max:
            self.bytes -= size_of(self._messages.popleft())
            self._dropped += 1
        while len(self._runs) > 1 and self._runs[1].start <= self._dropped:
            self._runs.popleft()

    def since(self, position: Position) -> tuple[LogMessage, ...] | None:
        """Returns the messages after ``position``; None if they are not all here."""
        index = self._after(position)
        if index is None or not self._messages or index < self._dropped:
            return None
        return tuple(islice(self._messages, index - self._dropped, None))

    def _after(self, position: Position) -> int | None:
        end = self._dropped + len(self._messages)
        for run in reversed(self._runs):
            if run.epoch == position.epoch:
                index = run.start + position.sequence - run.first + 1
                return index if run.start <= index <= end else None
            if run.predecessor == position:
                return run.start
            end = run.start
        return None


def size_of(message: LogMessage) -> int:
    """The approximate size of a message in memory and on the wire, in bytes."""
    size = MESSAGE_BYTES
    if type(message) is Fence:
        size += effects_bytes(message.effects)
        for table, key in message.keys:
            size += len(table) + len(key)
    elif type(message) is Settle:
        for image in message.images:
            if image is not None and image.item is not None:
                size += len(image.item)
    return size
