"""Which tables are followed, what is written into the log, what people are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from cluster.log.commands import Bootstrap, Command, FollowStream, Grant
from cluster.log.state import CommandResult, ReplicatedState
from cluster.log.stream_checkpoints import StreamCheckpoint
from cluster.service.metrics import SeriesCollector
from cluster.settings import CacheSettings, TableSettings
from node.replication.coordinator import Here
from node.streams import followed_tables
from node.streams.followed_tables import FollowedTables
from node.streams.own_writes import OwnWrites
from paceline.clock import now
from paceline.errors import DynamoDBError, Unavailable
from paceline.types import Params, Result
from tests.support.waiting import until


class FakeAgent:
    def __init__(self) -> None:
        self.state = ReplicatedState()
        self.state.apply_command(Bootstrap("c", {"n1": "h:1"}))
        self.state.apply_command(Grant("n1", "i", 0, 1.0, ("n1",), 1))
        self.commands: list[Command] = []
        self.majority = True

    async def commit(self, command: Command, timeout_s: float) -> CommandResult:
        if not self.majority:
            raise Unavailable("no majority")
        self.commands.append(command)
        return self.state.apply_command(command)


class FakeCoordinator:
    def __init__(self, primary: Any) -> None:
        self.primary = primary

    def route(self) -> Any:
        return Here(self.primary) if self.primary is not None else None

    async def changed(self, timeout_s: float) -> None:
        await asyncio.sleep(0)


class FakeInvalidation:
    def __init__(self) -> None:
        self.flushes: list[str] = []
        self.applied: list[Any] = []

    async def flush(self, primary: Any, table: str) -> None:
        self.flushes.append(table)

    async def apply(self, primary: Any, table: Any, records: Any) -> int:
        self.applied += records
        return 0


class FakeService:
    """One shard per table, whose records a test puts into ``records``."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.missing: set[str] = set()
        self.without_stream: set[str] = set()
        self.refusal: DynamoDBError | None = None

    async def control(
        self, operation: str, params: Params, deadline: float | None = None
    ) -> Result:
        table = params["TableName"]
        if table in self.missing:
            raise DynamoDBError("ResourceNotFoundException", "no such table", 400)
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        return {
            "Table": {
                "TableName": table,
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "LatestStreamArn": f"arn:{table}",
                "StreamSpecification": {} if table in self.without_stream else stream,
            }
        }

    async def call(self, operation: str, params: Params, deadline: float) -> Result:
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        match operation:
            case "DescribeStream":
                return {"StreamDescription": {"Shards": [{"ShardId": "s"}]}}
            case "GetShardIterator":
                return {"ShardIterator": str(len(self.records))}
        start = int(params["ShardIterator"])
        return {"Records": self.records[start:], "NextShardIterator": str(len(self.records))}

    def write(self, name: str) -> None:
        number = str(len(self.records) + 100)
        self.records.append({"dynamodb": {"Keys": {"id": {"S": name}}, "SequenceNumber": number}})


class Setup:
    def __init__(self, cache: CacheSettings, used: tuple[str, ...] = ()) -> None:
        self.agent = FakeAgent()
        self.primary = SimpleNamespace(epoch=1)
        self.driver = SimpleNamespace(primary=self.primary)
        self.coordinator = FakeCoordinator(self.primary)
        self.invalidation = FakeInvalidation()
        self.service = FakeService()
        self.used = used
        self.streams = FollowedTables(
            cache,
            cast(Any, self.agent),
            cast(Any, self.coordinator),
            cast(Any, self.driver),
            self.service,
            self.service,
            cast(Any, self.invalidation),
            OwnWrites(),
            lambda: self.used,
            now,
        )

    def of(self, table: str) -> dict[str, Any]:
        found: dict[str, Any] = self.streams.as_dict().get(table, {})
        return found

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition, "it is so", 20.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_tables, "TURN_S", 0.01)


NAMED = CacheSettings(tables={"t": TableSettings(follow_streams=True)})
ALL = CacheSettings(follow_streams=True, tables={"not-this": TableSettings(follow_streams=False)})


async def test_nothing_runs_unless_it_is_asked_for() -> None:
    setup = Setup(CacheSettings(tables={"t": TableSettings(follow_streams=False)}), ("t",))
    assert not setup.streams.configured
    setup.streams.start()
    await asyncio.sleep(0)
    assert setup.streams.as_dict() == {}
    await setup.streams.aclose()


async def test_a_named_table_is_followed_and_its_last_checkpoint_written() -> None:
    setup = Setup(NAMED)
    setup.streams.start()
    await setup.until(lambda: bool(setup.of("t").get("following")))
    assert setup.invalidation.flushes == ["t"]
    setup.service.write("a")
    await setup.until(lambda: bool(setup.invalidation.applied))
    await setup.streams.aclose()
    assert setup.agent.state.streams == {"t": StreamCheckpoint("arn:t", {"s": "100"})}
    assert setup.streams.as_dict() == {}

    # The next one goes on there, without a flush, and reads what came meanwhile.
    setup.service.write("b")
    second = Setup(NAMED)
    second.agent.state = setup.agent.state
    second.service.records = setup.service.records
    position = {"ShardIterator": "1"}

    async def call(operation: str, params: Params, deadline: float) -> Result:
        if operation == "GetShardIterator":
            assert params["SequenceNumber"] == "100"
            return position
        return await FakeService.call(second.service, operation, params, deadline)

    second.service.call = call  # type: ignore[method-assign]
    second.streams.start()
    await second.until(lambda: bool(second.invalidation.applied))
    assert [each.keys for each in second.invalidation.applied] == [{"id": {"S": "b"}}]
    assert second.invalidation.flushes == []
    await second.streams.aclose()


async def test_tables_in_use_are_nominated_by_any_node() -> None:
    setup = Setup(ALL, ("u", "not-this"))
    setup.coordinator.primary = None
    setup.streams.start()
    await setup.until(lambda: bool(setup.agent.commands))
    assert setup.agent.commands == [FollowStream("u", True)]
    assert setup.streams.as_dict() == {}, "only the primary follows"
    setup.coordinator.primary = setup.primary
    await setup.until(lambda: bool(setup.of("u").get("following")))
    # Another one that some other node uses.
    setup.agent.state.apply_command(FollowStream("v", True))
    await setup.until(lambda: bool(setup.of("v").get("following")))
    await setup.streams.aclose()


async def test_the_role_ends() -> None:
    setup = Setup(NAMED)
    setup.streams.start()
    await setup.until(lambda: bool(setup.of("t").get("following")))
    setup.driver.primary = setup.coordinator.primary = None
    await setup.until(lambda: setup.streams.as_dict() == {})
    assert setup.agent.commands == [], "whoever is the primary now has its own"
    await setup.streams.aclose()


async def test_without_a_majority_it_goes_on() -> None:
    setup = Setup(ALL, ("u",))
    setup.agent.majority = False
    setup.agent.state.apply_command(FollowStream("t", True))
    setup.streams.start()
    await setup.until(lambda: bool(setup.of("t").get("following")))
    await setup.streams.aclose()


async def test_a_nominated_table_that_stays_away_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(followed_tables, "FORGET_S", 0.0)
    setup = Setup(ALL, ())
    setup.agent.state.apply_command(FollowStream("u", True))
    setup.service.missing.add("u")
    setup.streams.start()
    await setup.until(lambda: setup.agent.state.streams == {})
    await setup.until(lambda: setup.streams.as_dict() == {})
    await setup.streams.aclose()


async def test_more_tables_than_can_be_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_tables, "FOLLOWED_MAX", 2)
    setup = Setup(ALL, ())
    for table in ("x", "y", "z"):
        setup.agent.state.apply_command(FollowStream(table, True))
    setup.streams.start()
    await setup.until(lambda: len(setup.streams.as_dict()) == 2)
    await setup.streams.aclose()


async def test_trouble_is_told() -> None:
    setup = Setup(
        CacheSettings(tables={name: TableSettings(follow_streams=True) for name in ("t", "plain")})
    )
    setup.service.refusal = DynamoDBError("AccessDeniedException", "not allowed", 400)
    setup.service.without_stream.add("plain")
    setup.streams.start()
    await setup.until(lambda: "not allowed" in str(setup.of("t").get("trouble")))
    await setup.until(lambda: "no stream" in str(setup.of("plain").get("trouble")))
    assert not setup.of("t")["following"]
    registry = CollectorRegistry()
    registry.register(SeriesCollector(setup.streams.series()))
    text = generate_latest(registry).decode()
    assert 'paceline_stream_following{table="t"} 0.0' in text
    assert 'paceline_stream_errors_total{table="t"} 0.0' not in text
    assert 'paceline_stream_delay_seconds_bucket{le="+Inf",table="t"} 0.0' in text
    setup.service.refusal = None
    await setup.until(lambda: bool(setup.of("t").get("following")))
    await setup.until(lambda: setup.of("t").get("trouble") is None)
    await setup.streams.aclose()
