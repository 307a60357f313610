"""The format of the file beside the log: term, vote, boot, and how far the log was synced. Pure.

The file has four pages of ``PAGE_BYTES``. All numbers are big-endian, checksums are CRC32C.

======  =====================================================================================
offset  page
======  =====================================================================================
0       slot A
4096    slot B: the same once more. One is written and synced, then the other; first the one that
        is damaged or older, if one is. So one is whole and durable, at any time
8192    mark A
12288   mark B. They are written in turn, each after a sync of the log, and not synced themselves
======  =====================================================================================

======  =====  ====================================================================
offset  bytes  slot
======  =====  ====================================================================
0       8      ``PLSTATE\\n``
8       4      version of the format, 1
12      4      length of the payload
16      4      CRC32C of the 16 bytes before and of the payload
20             payload: a list in msgpack of number, boot, term, vote (or nil), mending, and a mark:
               generation, index, offset
======  =====  ====================================================================

``number`` grows with each change: of two slots, the higher one counts. ``boot`` grows with each
opening. Generation 0 in the mark: the log has not been made yet.

======  =====  ====================================================================
offset  bytes  mark
======  =====  ====================================================================
0       8      generation of the log's file
8       8      index of its last entry
16      8      offset up to which it was synced then
24      4      CRC32C of the 24 bytes before
======  =====  ====================================================================

The highest mark of all that can be read counts. It may be older than the log, never newer: so a
log that ends before it has lost what was durable.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgpack
from google_crc32c import extend, value

from cluster.consensus.core.messages import HardState
from cluster.consensus.disk.records import NewerVersion

MAGIC = b"PLSTATE\n"
VERSION = 1
PAGE_BYTES = 4096
SLOTS_AT = (0, PAGE_BYTES)
MARKS_AT = (2 * PAGE_BYTES, 3 * PAGE_BYTES)
STATE_BYTES = 4 * PAGE_BYTES

SLOT = struct.Struct(">8sII")
MARK = struct.Struct(">QQQ")
CRC = struct.Struct(">I")
SLOT_PREFIX_BYTES = SLOT.size + CRC.size
MARK_BYTES = MARK.size + CRC.size
PAYLOAD_BYTES_MAX = PAGE_BYTES - SLOT_PREFIX_BYTES


@dataclass(frozen=True, slots=True)
class Mark:
    """The log's file of this generation was synced up to ``offset``; its last entry was that at
    ``index``."""

    generation: int = 0
    index: int = 0
    offset: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """A later mark has a higher one."""
        return self.generation, self.offset


@dataclass(frozen=True, slots=True)
class State:
    number: int
    boot: int
    hard: HardState
    mark: Mark


def encode_slot(state: State) -> bytes:
    hard, mark = state.hard, state.mark
    payload = msgpack.packb(
        [
            *(state.number, state.boot, hard.term, hard.vote, hard.mending),
            *(mark.generation, mark.index, mark.offset),
        ]
    )
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a vote of {len(hard.vote or '')} characters")
    prefix = SLOT.pack(MAGIC, VERSION, len(payload))
    return prefix + CRC.pack(extend(value(prefix), payload)) + bytes(payload)


def decode_slot(page: bytes) -> State | None:
    """None if it is damaged. ``NewerVersion``."""
    if len(page) < SLOT_PREFIX_BYTES:
        return None
    magic, version, length = SLOT.unpack_from(page)
    if magic != MAGIC or length > len(page) - SLOT_PREFIX_BYTES:
        return None
    payload = page[SLOT_PREFIX_BYTES : SLOT_PREFIX_BYTES + length]
    if CRC.unpack_from(page, SLOT.size)[0] != extend(value(page[: SLOT.size]), payload):
        return None
    if version > VERSION:
        raise NewerVersion(f"format {version}")
    try:
        match msgpack.unpackb(payload):
            case [
                int(number),
                int(boot),
                int(term),
                (str() | None) as vote,
                bool(mending),
                int(generation),
                int(index),
                int(offset),
            ]:
                mark = Mark(generation, index, offset)
                return State(number, boot, HardState(term, vote, mending), mark)
    except (ValueError, TypeError):
        pass
    return None


def encode_mark(mark: Mark) -> bytes:
    data = MARK.pack(mark.generation, mark.index, mark.offset)
    return data + CRC.pack(value(data))


def decode_mark(page: bytes) -> Mark | None:
    """None if there is none, or a damaged one."""
    if len(page) < MARK_BYTES:
        return None
    if CRC.unpack_from(page, MARK.size)[0] != value(page[: MARK.size]):
        return None
    return Mark(*MARK.unpack_from(page))
