"""What is in a log's file, and how it ends.

Memory is taken for what the file has, never for what a length in it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.consensus.core.configuration import decode_configuration
from cluster.consensus.core.messages import Entry, Snapshot
from cluster.consensus.disk.directory import File
from cluster.consensus.disk.order import Order
from cluster.consensus.disk.records import (
    HEADER_BYTES,
    MARKER,
    RECORD_BYTES,
    Header,
    NewerVersion,
    Piece,
    Prefix,
    Put,
    Record,
    SnapshotBegins,
    decode_header,
    decode_payload,
    decode_prefix,
    is_payload,
)
from cluster.consensus.disk.slots import Mark
from cluster.data_dir import damaged
from paceline.errors import ConfigError

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class LogContents:
    """``end``: of the last whole record. ``synced``: at least up to there, everything was durable.
    ``torn``: bytes behind ``end`` that are neither records nor zeros."""

    generation: int
    snapshot: Snapshot
    entries: tuple[Entry, ...]
    order: Order
    end: int
    synced: int
    torn: int

    def has_lost(self, mark: Mark) -> bool:
        """Whether something is missing that was durable."""
        return self.synced > self.end or mark.generation > self.generation


class Content:
    """What records come to, in their order."""

    def __init__(self) -> None:
        self._begun: SnapshotBegins | None = None
        self._data = bytearray()
        self.entries: list[Entry] = []
        self.order = Order(0, 0)

    def take(self, record: Record) -> None:
        """ValueError for what does not follow."""
        match record:
            case SnapshotBegins():
                if self._begun is not None:
                    raise ValueError("a second snapshot")
                self._begun = record
                self.order = Order(record.index, record.term)
            case Piece():
                if self._begun is None or record.offset != len(self._data) or self.is_whole:
                    raise ValueError(f"a piece of a snapshot for byte {record.offset}")
                if record.offset + len(record.data) > self._begun.size or not record.data:
                    raise ValueError(f"a piece of {len(record.data)} bytes")
                self._data += record.data
            case Put(entry, replaces):
                if not self.is_whole:
                    raise ValueError("an entry before the end of the snapshot")
                self.order.put(entry.index, entry.term, replaces)
                del self.entries[entry.index - self.order.base - 1 :]
                self.entries.append(entry)

    @property
    def is_whole(self) -> bool:
        """The snapshot."""
        return self._begun is not None and len(self._data) == self._begun.size

    def snapshot(self) -> Snapshot:
        begun = self._begun
        assert begun is not None
        configuration = decode_configuration(begun.configuration)
        data = bytes(self._data)
        self._data = bytearray()
        return Snapshot(begun.index, begun.term, configuration, data)


def read_log(file: File, path: Path, mark: Mark) -> LogContents:
    """ConfigError, in words, for what cannot be trusted; OSError."""
    size = file.size()
    try:
        header = decode_header(file.read(0, HEADER_BYTES))
    except NewerVersion as error:
        raise newer(path, error) from error
    except ValueError as error:
        raise damaged(path, str(error)) from error
    content, end = Content(), HEADER_BYTES
    while (found := _record(file, size, header.generation, end)) is not None:
        payload, behind = found
        try:
            content.take(decode_payload(payload))
        except ValueError as error:
            raise damaged(path, f"{error}, at byte {end}") from error
        end = behind
    synced, torn = _rest(file, size, header, end, mark, path)
    if not content.is_whole:
        raise damaged(path, f"its snapshot ends at byte {end}")
    try:
        snapshot = content.snapshot()
    except ValueError as error:
        raise damaged(path, str(error)) from error
    return LogContents(
        *(header.generation, snapshot, tuple(content.entries), content.order, end, synced, torn)
    )


def newer(path: Path, error: NewerVersion) -> ConfigError:
    return ConfigError(f"{path} was written by a newer release ({error}); run that release")


def _rest(
    file: File, size: int, header: Header, end: int, mark: Mark, path: Path
) -> tuple[int, int]:
    """Up to where the file was durable, and how many bytes are behind the last record."""
    synced = header.base
    if mark.generation == header.generation:
        synced = max(synced, mark.offset)
    torn = 0
    behind = False
    for offset, chunk in _chunks(file, end, size):
        used = len(chunk.rstrip(b"\0"))
        if used:
            torn = offset + used - end
        for at, prefix in _prefixes(file, header.generation, offset, chunk):
            behind = behind or at > end
            synced = max(synced, prefix.synced)
    if behind and synced > end:
        raise damaged(path, f"no record at byte {end}, but there are records behind it")
    return synced, torn


def _record(file: File, size: int, generation: int, offset: int) -> tuple[bytes, int] | None:
    """The payload and where the record ends."""
    prefix = decode_prefix(file.read(offset, RECORD_BYTES), generation, offset)
    if prefix is None:
        return None
    begin = offset + RECORD_BYTES
    end = begin + prefix.length
    if end > size:
        return None
    payload = file.read(begin, prefix.length)
    return (payload, end) if is_payload(payload, prefix) else None


def _chunks(file: File, offset: int, size: int) -> Iterator[tuple[int, bytes]]:
    while offset < size:
        chunk = file.read(offset, min(CHUNK_BYTES, size - offset))
        if not chunk:
            return
        yield offset, chunk
        offset += len(chunk)


def _prefixes(
    file: File, generation: int, offset: int, chunk: bytes
) -> Iterator[tuple[int, Prefix]]:
    """Of records that begin in the chunk, and where. Their payloads may be anything: that a prefix
    was written says enough of what was written before it."""
    found = chunk.find(MARKER[:1])
    while found >= 0:
        at = offset + found
        if MARKER.startswith(chunk[found : found + len(MARKER)]):
            prefix = decode_prefix(file.read(at, RECORD_BYTES), generation, at)
            if prefix is not None:
                yield at, prefix
        found = chunk.find(MARKER[:1], found + 1)
