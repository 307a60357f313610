"""Which tables' streams are followed, and how far: part of the replicated state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgpack

from cluster.log.commands import CheckpointStream, FollowStream

STREAM_TABLES_MAX = 100
"""The most tables whose streams are followed: one node reads their shards several times a
second."""

STREAM_SHARDS_MAX = 1_000
"""Per table: a stream has a shard for each partition of its table."""

CHECKPOINT_BYTES_MAX = 120 * 1024
"""Per table, as snapshots have it. Shards' ids have at most 65 characters, and numbers of records
40: the most shards always fit."""


@dataclass(frozen=True, slots=True)
class StreamCheckpoint:
    """``stream``: its ARN, empty before the first checkpoint. ``positions`` by shard id."""

    stream: str = ""
    positions: Mapping[str, str] = field(default_factory=dict)


def follow(streams: dict[str, StreamCheckpoint], command: FollowStream) -> str | None:
    """Changes ``streams`` (by table); returns why not, or None."""
    if not command.follow:
        streams.pop(command.table, None)
    elif command.table not in streams:
        if len(streams) >= STREAM_TABLES_MAX:
            return f"the streams of {STREAM_TABLES_MAX} tables are followed already"
        began = StreamCheckpoint()
        refused = _too_large(command.table, began)
        if refused is not None:
            return refused
        streams[command.table] = began
    return None


def checkpoint(streams: dict[str, StreamCheckpoint], command: CheckpointStream) -> str | None:
    """Changes ``streams`` (by table); returns why not, or None."""
    before = streams.get(command.table)
    if before is None and len(streams) >= STREAM_TABLES_MAX:
        return f"the streams of {STREAM_TABLES_MAX} tables are followed already"
    positions: dict[str, str] = {}
    if before is not None and before.stream == command.stream:
        positions.update(before.positions)
    positions.update(command.positions)
    for shard in command.dropped:
        positions.pop(shard, None)
    if len(positions) > STREAM_SHARDS_MAX:
        return f"a stream with more than {STREAM_SHARDS_MAX} shards"
    after = StreamCheckpoint(command.stream, positions)
    refused = _too_large(command.table, after)
    if refused is None:
        streams[command.table] = after
    return refused


def _too_large(table: str, known: StreamCheckpoint) -> str | None:
    size = len(msgpack.packb(fields_of(table, known)))
    if size > CHECKPOINT_BYTES_MAX:
        return f"a checkpoint of {size} bytes; the most is {CHECKPOINT_BYTES_MAX}"
    return None


def fields_of(table: str, known: StreamCheckpoint) -> list[object]:
    """For a snapshot."""
    return [table, known.stream, sorted(known.positions.items())]
