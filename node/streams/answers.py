"""Reads what the service's answers and errors mean to a reader. Pure.

Shapes are botocore's for DynamoDB Streams 2012-08-10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.streams.shards import LATEST, TRIM_HORIZON, ShardDescription
from node.streams.steps import Failure, Listing, ListShards, Open, Page, Read
from paceline.types import Item, Params

RECORDS_MAX = 200
"""The most records per read. A page is parsed in one go while hits wait, for 20 ms at most. At five
reads a second it is as many records as a partition can write."""

FAILURES = {
    "ExpiredIteratorException": Failure.EXPIRED,
    "ValidationException": Failure.EXPIRED,  # an iterator or position that means nothing to it
    "TrimmedDataAccessException": Failure.TRIMMED,
    "ResourceNotFoundException": Failure.GONE,
}


def failure(name: str, *, throttling: bool) -> Failure:
    """Returns the meaning of an error. ``name`` is the service's; empty when there was no
    answer."""
    return Failure.THROTTLED if throttling else FAILURES.get(name, Failure.FAILED)


@dataclass(frozen=True, slots=True)
class Record:
    """One change of one item. ``old`` and ``new``: the whole item, None when there was none.

    ``images``: both are in the record; else they say nothing. ``created_at``: seconds since 1970,
    cut to whole ones by the service.
    """

    keys: Item
    images: bool
    old: Item | None
    new: Item | None
    created_at: float | None = None


def request(step: ListShards | Open | Read) -> tuple[str, Params]:
    """Returns the operation and parameters of a step."""
    match step:
        case ListShards(stream=stream, after=after):
            more = {} if after is None else {"ExclusiveStartShardId": after}
            return "DescribeStream", {"StreamArn": stream, **more}
        case Open(stream=stream, shard=shard, position=position):
            params = {"StreamArn": stream, "ShardId": shard}
            if position in (LATEST, TRIM_HORIZON):
                return "GetShardIterator", {**params, "ShardIteratorType": position}
            return "GetShardIterator", {
                **params,
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "SequenceNumber": position,
            }
        case Read(iterator=iterator):
            return "GetRecords", {"ShardIterator": iterator, "Limit": RECORDS_MAX}


def answer(step: ListShards | Open | Read, result: Mapping[str, Any], wall: float) -> Any:
    """Returns what ``ReadingPlan.done`` takes. ``wall`` is the present time, in seconds since
    1970."""
    match step:
        case ListShards():
            return _listing(result["StreamDescription"])
        case Open():
            return str(result["ShardIterator"])
        case Read():
            return _page(result, wall)


def enabled_stream(description: Mapping[str, Any]) -> str | None:
    """The stream of a table, by the ``Table`` of DescribeTable. That of a disabled one stays
    listed as the latest."""
    specification = description.get("StreamSpecification") or {}
    if not specification.get("StreamEnabled"):
        return None
    return description.get("LatestStreamArn") or None


def _listing(description: Mapping[str, Any]) -> Listing:
    shards = tuple(
        ShardDescription(
            shard["ShardId"],
            shard.get("ParentShardId") or None,
            bool((shard.get("SequenceNumberRange") or {}).get("EndingSequenceNumber")),
        )
        for shard in description.get("Shards") or ()
    )
    return Listing(shards, description.get("LastEvaluatedShardId") or None)


def _page(result: Mapping[str, Any], wall: float) -> Page:
    raw = result.get("Records") or ()
    following = result.get("NextShardIterator") or None
    if not raw:
        return Page((), None, following)
    records = tuple(_record(each) for each in raw)
    created_at = records[-1].created_at
    age_s = None if created_at is None else max(wall - created_at, 0.0)
    return Page(records, raw[-1]["dynamodb"]["SequenceNumber"], following, age_s)


def _record(raw: Mapping[str, Any]) -> Record:
    change = raw["dynamodb"]
    created = change.get("ApproximateCreationDateTime")
    return Record(
        change["Keys"],
        change.get("StreamViewType") == "NEW_AND_OLD_IMAGES",
        change.get("OldImage"),
        change.get("NewImage"),
        created.timestamp() if isinstance(created, datetime) else None,
    )
