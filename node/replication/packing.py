"""Fences and settles as bytes of msgpack, packed once for all replicas. Pure.

Every write has one of each for every replica, and protobuf's objects of them cost both ends more
than what they are for. A piece is an array: its kind, then what ``_fence`` or ``_settle`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any

import msgpack

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.messages import Fence, Image, Outcome, Position, PrimaryMessage, Settle
from paceline.errors import ProtocolError

Packed = bytes
"""One message."""

_FENCE, _SETTLE = 0, 1
_OUTCOMES = {Outcome.SUCCESS: 1, Outcome.REJECTED: 2, Outcome.UNKNOWN: 3}
_OUTCOMES_BACK = {number: outcome for outcome, number in _OUTCOMES.items()}

_HEAD = Struct(">BH")
_ARRAY = 0xDC
"""The first byte of an array whose length has two bytes (msgpack's specification, "Formats")."""


def packed(message: PrimaryMessage) -> Packed | None:
    """None: it is neither a fence nor a settle."""
    kind = type(message)
    if kind is Settle:
        assert isinstance(message, Settle)
        (epoch, sequence), fence, outcome, images = message
        return _pack((_SETTLE, epoch, sequence, *fence, _OUTCOMES[outcome], images))
    if kind is Fence:
        assert isinstance(message, Fence)
        (epoch, sequence), keys, effects = message
        return _pack((_FENCE, epoch, sequence, keys, effects))
    return None


_pack: Callable[[Any], Packed] = msgpack.Packer(unicode_errors="surrogatepass").pack


def joined(pieces: Sequence[Packed]) -> bytes:
    """What ``unpacked`` takes; 65 535 at most, since two bytes count them."""
    return b"".join((_HEAD.pack(_ARRAY, len(pieces)), *pieces))


def unpacked(data: bytes) -> list[Fence | Settle]:
    """None of no bytes; ProtocolError for what is none of them."""
    if not data:
        return []
    try:
        pieces = msgpack.unpackb(data, use_list=False, unicode_errors="surrogatepass")
        return list(_read(pieces))
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError(f"packed messages that cannot be read: {error!r}") from error


def _read(pieces: Any) -> Iterator[Fence | Settle]:
    for kind, *values in pieces:
        if kind == _FENCE:
            yield _fence(*values)
        elif kind == _SETTLE:
            yield _settle(*values)
        else:
            raise ValueError(f"a packed message of kind {kind!r}")


def _fence(epoch: int, sequence: int, keys: Any, effects: Any) -> Fence:
    told = tuple([None if effect is None else _effect(*effect) for effect in effects])
    return Fence(Position(epoch, sequence), keys, told)


def _effect(schema: int, touches: Any) -> Effect:
    return Effect(schema, touches and tuple([IndexTouch(*touch) for touch in touches]))


def _settle(
    epoch: int, sequence: int, fence_epoch: int, fence_sequence: int, outcome: int, images: Any
) -> Settle:
    return Settle(
        Position(epoch, sequence),
        Position(fence_epoch, fence_sequence),
        _OUTCOMES_BACK[outcome],
        tuple([None if image is None else Image(*image) for image in images]),
    )
