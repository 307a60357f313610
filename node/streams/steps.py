"""The steps that a reader takes, and how each may end. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from node.streams.shards import ShardDescription


class Failure(Enum):
    THROTTLED = "throttled"
    FAILED = "failed"
    """No answer, or an error of the service. It may be asked again."""
    EXPIRED = "expired"
    """The iterator is too old; the position is not."""
    TRIMMED = "trimmed"
    """Records that were not read are gone."""
    GONE = "gone"
    """There is no such table, stream or shard."""


@dataclass(frozen=True, slots=True)
class Look:
    """DescribeTable; answered with the ARN of the enabled stream, or None."""


@dataclass(frozen=True, slots=True)
class ListShards:
    """DescribeStream from ``after`` on; answered with a ``Listing``."""

    stream: str
    after: str | None
    generation: int


@dataclass(frozen=True, slots=True)
class Open:
    """GetShardIterator at ``position``; answered with the iterator."""

    stream: str
    shard: str
    position: str
    generation: int


@dataclass(frozen=True, slots=True)
class Read:
    """GetRecords; answered with a ``Page``."""

    shard: str
    iterator: str
    asked_at: float
    generation: int


@dataclass(frozen=True, slots=True)
class Apply:
    """The items of the page's records are to be invalidated on every node; no answer."""

    shard: str
    page: Page
    asked_at: float
    generation: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything cached of the table is to be dropped on every node; no answer."""

    reason: str
    number: int
    generation: int


Step = Look | ListShards | Open | Read | Apply | Flush


@dataclass(frozen=True, slots=True)
class Listing:
    shards: tuple[ShardDescription, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """``last``: sequence number of the last record. ``next``: None at a closed shard's end.
    ``age_s``: of the last record, when the page came; None if the service does not tell."""

    records: tuple[Any, ...]
    last: str | None
    next: str | None
    age_s: float | None = None
