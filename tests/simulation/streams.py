"""DynamoDB Streams in memory: one stream per table with shards that split, records that appear late
and are trimmed, iterators that expire."""

from __future__ import annotations

import random
import zlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cluster.settings import DynamoDBSettings
from node.backend.calls import End
from paceline.errors import DynamoDBError
from paceline.types import Item, Key, Params, Result
from tests.simulation.loop import Owner
from tests.simulation.network import Network
from tests.simulation.outside import Outside
from tests.simulation.patching import BEGIN_S
from tests.simulation.tables import Made
from tests.simulation.upstream import Asked, SimulatedCaller, Upstream

LIST_MAX = 3
"""Shards in one answer of DescribeStream."""
READ_MAX = 5
"""Records in one answer of GetRecords."""


@dataclass
class Shard:
    id: str
    parent: str | None
    records: list[dict[str, Any]] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    """When, of each record."""
    visible: list[float] = field(default_factory=list)
    """From when on, of each record: never sooner than the one before."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Sequence number to index."""
    closed_at: float | None = None
    children: list[Shard] = field(default_factory=list)

    def seen(self, t: float) -> int:
        """How many records have appeared."""
        return bisect_right(self.visible, t)


@dataclass
class Stream:
    arn: str
    shards: dict[str, Shard] = field(default_factory=dict)
    roots: list[Shard] = field(default_factory=list)

    def open_shards(self) -> list[Shard]:
        return [shard for shard in self.shards.values() if shard.closed_at is None]


def refused(name: str) -> DynamoDBError:
    return DynamoDBError(name, "simulated", 400)


class Streams:
    """Of all tables: a table that is made anew has another one."""

    def __init__(self, clock: Callable[[], float], rng: random.Random, weather: Outside) -> None:
        self._clock = clock
        self._rng = rng
        self.weather = weather
        self._by_arn: dict[str, Stream] = {}
        self._by_table_id: dict[str, Stream] = {}
        self._numbers = 0

    # -- what befalls tables --------------------------------------------------------------------

    def changed(self, made: Made, key: Key, keys: Item, old: Item | None, new: Item | None) -> None:
        """A record for what changed an item, whoever did it."""
        if old == new:
            return
        t = self._clock()
        shard = self._leaf(self.of(made), zlib.crc32(key[1]))
        self._numbers += 1
        number = f"{self._numbers:021}"
        change: dict[str, Any] = {
            "Keys": keys,
            "SequenceNumber": number,
            "StreamViewType": "KEYS_ONLY",
            "ApproximateCreationDateTime": datetime.fromtimestamp(BEGIN_S + int(t), UTC),
        }
        if self.weather.images:
            change["StreamViewType"] = "NEW_AND_OLD_IMAGES"
            change |= {"OldImage": old} if old is not None else {}
            change |= {"NewImage": new} if new is not None else {}
        shard.numbers[number] = len(shard.records)
        shard.records.append({"eventID": number, "dynamodb": change})
        shard.written.append(t)
        last = shard.visible[-1] if shard.visible else 0.0
        shard.visible.append(max(last, t + self._rng.random() * self.weather.appear_s))

    def table_deleted(self, made: Made) -> None:
        """Its records can be read for as long as others; there are no more of them."""
        for shard in self.of(made).open_shards():
            shard.closed_at = self._clock()

    def split(self) -> None:
        """Some shard of some table ends, and one or two go on in its place."""
        stream = self._rng.choice(list(self._by_table_id.values()) or [None])
        open_shards = stream.open_shards() if stream is not None else []
        if stream is None or not open_shards:
            return
        parent = self._rng.choice(open_shards)
        parent.closed_at = self._clock()
        room = 2 if len(open_shards) < 2 * self.weather.shards else 1
        for _ in range(self._rng.randint(1, room)):
            parent.children.append(self._new_shard(stream, parent.id))

    def of(self, made: Made) -> Stream:
        stream = self._by_table_id.get(made.table_id)
        if stream is None:
            arn = f"arn:aws:dynamodb:sim:0:table/{made.table.name}/stream/{made.table_id}"
            stream = self._by_arn[arn] = self._by_table_id[made.table_id] = Stream(arn)
            stream.roots = [self._new_shard(stream, None) for _ in range(self.weather.shards)]
        return stream

    def described(self, made: Made) -> Result:
        """What DescribeTable says of it."""
        view = "NEW_AND_OLD_IMAGES" if self.weather.images else "KEYS_ONLY"
        return {
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": view},
            "LatestStreamArn": self.of(made).arn,
        }

    def _new_shard(self, stream: Stream, parent: str | None) -> Shard:
        self._numbers += 1
        shard = Shard(f"shardId-{self._numbers:08}", parent)
        stream.shards[shard.id] = shard
        return shard

    def _leaf(self, stream: Stream, digest: int) -> Shard:
        """The shard that takes an item's records now: they stay in one line of shards."""
        shard = stream.roots[digest % len(stream.roots)]
        while shard.children:
            digest //= 3
            shard = shard.children[digest % len(shard.children)]
        return shard

    # -- what it answers ------------------------------------------------------------------------

    def answer(self, operation: str, params: Params) -> Result:
        """DynamoDBError as the service has them."""
        match operation:
            case "DescribeStream":
                return self._describe(params)
            case "GetShardIterator":
                return {"ShardIterator": self._iterator(params)}
            case "GetRecords":
                return self._read(params)
        raise AssertionError(f"{operation} is not simulated")

    def _describe(self, params: Params) -> Result:
        stream = self._stream(params["StreamArn"])
        after = params.get("ExclusiveStartShardId", "")
        left = [s for s in sorted(stream.shards.values(), key=lambda s: s.id) if s.id > after]
        shards = [
            {
                "ShardId": shard.id,
                "SequenceNumberRange": {"StartingSequenceNumber": "0"}
                | ({} if shard.closed_at is None else {"EndingSequenceNumber": "9"}),
                **({} if shard.parent is None else {"ParentShardId": shard.parent}),
            }
            for shard in left[:LIST_MAX]
        ]
        more = {"LastEvaluatedShardId": shards[-1]["ShardId"]} if len(left) > LIST_MAX else {}
        return {"StreamDescription": {"StreamArn": stream.arn, "Shards": shards, **more}}

    def _iterator(self, params: Params) -> str:
        shard = self._shard(params["StreamArn"], params["ShardId"])
        match params["ShardIteratorType"]:
            case "LATEST":
                index = shard.seen(self._clock())
            case "TRIM_HORIZON":
                index = self._trimmed(shard)
            case _:
                index = shard.numbers[params["SequenceNumber"]] + 1
                if index <= self._trimmed(shard):
                    raise refused("TrimmedDataAccessException")
        return self._token(params["StreamArn"], shard, index)

    def _read(self, params: Params) -> Result:
        arn, id_, index_text, issued = params["ShardIterator"].split(" ")
        shard, index, t = self._shard(arn, id_), int(index_text), self._clock()
        if t - float(issued) > self.weather.iterator_life_s:
            raise refused("ExpiredIteratorException")
        if index < self._trimmed(shard):
            raise refused("TrimmedDataAccessException")
        until = min(shard.seen(t), index + min(self._rng.randint(1, READ_MAX), params["Limit"]))
        records = shard.records[index:until]
        index = max(index, until)
        if shard.closed_at is not None and index >= len(shard.records):
            return {"Records": records}
        return {"Records": records, "NextShardIterator": self._token(arn, shard, index)}

    def _token(self, arn: str, shard: Shard, index: int) -> str:
        return f"{arn} {shard.id} {index} {self._clock()!r}"

    def _stream(self, arn: str) -> Stream:
        stream = self._by_arn.get(arn)
        if stream is None:
            raise refused("ResourceNotFoundException")
        horizon = self._clock() - self.weather.retention_s
        for shard in list(stream.shards.values()):
            if shard.closed_at is not None and shard.closed_at < horizon:
                del stream.shards[shard.id]
        return stream

    def _shard(self, arn: str, id_: str) -> Shard:
        shard = self._stream(arn).shards.get(id_)
        if shard is None:
            raise refused("ResourceNotFoundException")
        return shard

    def _trimmed(self, shard: Shard) -> int:
        return bisect_right(shard.written, self._clock() - self.weather.retention_s)


class StreamCaller(SimulatedCaller):
    """One node's calls to the streams, by the same link as those to DynamoDB."""

    def __init__(
        self,
        settings: DynamoDBSettings,
        owner: Owner,
        machine: str,
        network: Network,
        streams: Streams,
        weather: Upstream,
        rng: random.Random,
    ) -> None:
        super().__init__(settings, owner, machine, network, None, weather, rng)
        self._streams = streams

    def _outcome(self, asked: Asked) -> End:
        weather = self._streams.weather
        if self._network.chance(weather.throttled):
            return asked.refusal("ProvisionedThroughputExceededException", 400)
        if self._network.chance(weather.failing):
            return asked.refusal("InternalServerError", 500)
        try:
            return asked.reply(self._streams.answer(asked.operation, asked.params))
        except DynamoDBError as error:
            return asked.refused(error)
