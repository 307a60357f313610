"""What a node has of the primary's streams: applying a message, and reporting it for a takeover."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cluster.coherence.guard import Guard
from cluster.coherence.log import size_of
from cluster.coherence.messages import Begin, Fence, Flush, LogMessage, Position, Settle
from paceline.types import Key

TAIL_BYTES_MAX = 512 * 1024
"""The most bytes of missed messages in a report. They share one gRPC message of 4 MiB with the
fences (2 MiB) and the unknown keys (1 MiB)."""

UNKNOWN_BYTES_MAX = 1024 * 1024
"""The most bytes of unknown keys in one message. Beyond it the receiver is told that all keys are
unknown."""

KEY_BYTES = 16
"""The most bytes that a key takes on the wire besides its names."""


def follows(position: Position, message: LogMessage) -> bool:
    """Whether ``message`` is the successor of the one at ``position``."""
    if isinstance(message, Begin):
        return not message.reset and message.predecessor == position
    here = message.position
    return here.epoch == position.epoch and here.sequence == position.sequence + 1


def reflect(guard: Guard, message: LogMessage, now: float) -> None:
    """Applies to ``guard`` the successor of the message that it reflects."""
    guard.position = message.position
    guard.log.append(message)
    if isinstance(message, Fence):
        guard.fence(message.position, message.keys, now, message.effects)
    elif isinstance(message, Settle):
        guard.settle(message.fence, message.outcome, message.images, now)
    elif isinstance(message, Flush):
        guard.flush(message.table, now)
    else:
        guard.begin_epoch(now)


@dataclass(frozen=True, slots=True)
class TakeoverReport:
    """What one node has of the streams that it published or applied since its process began.

    ``position`` None: nothing, it has started anew. ``tail``: the messages that lead from the
    asker's position to ``position``, None if that is not known here.
    """

    position: Position | None
    tail: tuple[LogMessage, ...] | None
    fences: tuple[Fence, ...]
    unknown: tuple[Key, ...]
    all_unknown: bool


NOTHING = TakeoverReport(None, None, (), (), False)


def report_for_takeover(guard: Guard, asked_from: Position | None, now: float) -> TakeoverReport:
    """This node's report, for an asker that is at ``asked_from``."""
    position = guard.position
    if position is None:
        return NOTHING
    tail = None if asked_from is None else guard.log.since(asked_from)
    if tail is not None and sum(map(size_of, tail)) > TAIL_BYTES_MAX:
        tail = None
    unknown, all_unknown = unknown_of(guard, now)
    return TakeoverReport(position, tail, guard.open_fences(), unknown, all_unknown)


def unknown_of(guard: Guard, now: float) -> tuple[tuple[Key, ...], bool]:
    """Returns (the keys in unknown quarantine, whether all are), small enough for one message."""
    unknown = guard.unknown_keys(now)
    if guard.all_unknown(now) or bytes_of(unknown) > UNKNOWN_BYTES_MAX:
        return (), True
    return unknown, False


def bytes_of(keys: Iterable[Key]) -> int:
    size = 0
    for table, key in keys:
        size += len(table) + len(key) + KEY_BYTES
    return size
