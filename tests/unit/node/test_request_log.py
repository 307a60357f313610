"""The request log: of which requests it has a line, what is in it, and what surely is not."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import NodeSettings, RequestLogSettings
from cluster.transport.origin import Origin, address_of, came_by_grpc, came_from, origin
from node.admin.request_log import RequestLogCommand
from node.backend.calls import Success
from node.reads.reading import ReadRequest
from node.request_log import RequestLog
from node.requests.draws import DRAWS
from node.requests.log_lines import Sampling, key_of, record_of, units_of
from paceline.clock import now
from paceline.errors import ConfigError, RequestError
from tests.unit.node.frontends.doors import Node

KEY = {"id": {"S": "secret-key"}}


def log_of(**settings: Any) -> RequestLog:
    return RequestLog(RequestLogSettings(**settings), "node-1", wall_clock=lambda: 1_000.25)


def lines_of(log: RequestLog) -> list[dict[str, Any]]:
    return [record_of(one) for one in log.recent]


def logged(log: RequestLog) -> Node:
    node = Node()
    node.dynamodb.answer = lambda operation, params: Success({"Item": {"id": {"S": "a"}}})
    node.operations.sampling_hits(now, lambda *_: None, log)
    return node


@pytest.fixture(autouse=True)
def _nowhere() -> Any:
    token = origin.set(None)
    yield
    origin.reset(token)


def test_slow_requests_and_faults_have_a_line_whatever_the_share_is() -> None:
    never = Sampling(share=0.0, slow_s=0.1)
    assert never.stands_for(0.099, "ok", 0) is None
    assert never.stands_for(0.099, "error", 0) is None
    assert never.stands_for(0.1, "ok", DRAWS - 1) == 1
    assert never.stands_for(0.0, "fault", DRAWS - 1, 16) == 16
    always = Sampling(share=1.0)
    assert always.stands_for(0.0, "ok", DRAWS - 1, 16) == 16


@pytest.mark.parametrize("seed", range(5))
def test_lines_add_up_to_the_requests_that_they_stand_for(seed: int) -> None:
    rng = random.Random(seed)
    log = log_of(sample=rng.choice((0.1, 0.25, 0.5)), recent=100_000)
    for _ in range(20_000):
        log.ended(("GetItem", "t", "dax"), "ok", 0.001, cache="miss")
    told = sum(line.get("stands_for", 1) for line in lines_of(log))
    assert told == pytest.approx(20_000, rel=0.1)


async def test_what_a_miss_a_hit_a_bypass_and_a_failure_say() -> None:
    log = log_of()
    node = logged(log)
    await node.tables.schema("table")
    came_from("10.1.2.3", {b"traceparent": b"00-abc-def-01"})
    operations = node.operations.by("grpc")
    get = {"TableName": "table", "Key": KEY}
    await operations.read(ReadRequest("GetItem", get), now() + 10)
    await operations.read(ReadRequest("GetItem", get), now() + 10)
    await operations.read(ReadRequest("GetItem", {**get, "ConsistentRead": True}), now() + 10)
    with pytest.raises(RequestError):
        await operations.write("PutItem", {"TableName": "table", "Item": {"id": {"S": ""}}}, now())
    lines = miss, hit, bypass, refused = lines_of(log)
    around = {"protocol": "grpc", "table": "table", "address": "10.1.2.3", "trace": "00-abc-def-01"}
    for line in lines:
        assert {name: line[name] for name in around} == around
        assert line["time"].startswith("1970-01-01T00:16:40.")
        assert line.pop("latency_ms") >= 0
    assert (miss["operation"], miss["cache"], miss["result"]) == ("GetItem", "miss", "ok")
    assert (hit["cache"], bypass["cache"], bypass["why"]) == ("hit", "bypass", "consistent")
    assert (refused["result"], refused["error"]) == ("error", "ValidationException")
    assert "cache" not in refused
    assert "secret-key" not in json.dumps(lines_of(log))


async def test_keys_are_told_of_the_tables_that_are_named_for_it() -> None:
    log = log_of(keys_of=["table"])
    node = logged(log)
    get = ReadRequest("GetItem", {"TableName": "table", "Key": KEY})
    await node.operations.read(get, now() + 10)
    assert lines_of(log)[0]["key"] == KEY


def test_no_key_is_told_but_a_short_one_of_an_item() -> None:
    tables = {"t"}
    assert key_of({"TableName": "u", "Key": KEY}, tables) is None
    assert key_of({"TableName": "t", "Item": KEY}, tables) is None
    assert key_of({"TableName": "t", "Key": {"id": {"S": "x" * 3000}}}, tables) is None
    assert key_of({"TableName": "t", "Key": {"id": "x"}}, tables) is None
    assert key_of({"TableName": "t", "Key": {"a": 1, "b": 2, "c": 3}}, tables) is None
    assert key_of({"TableName": "t", "Key": {"id": {"B": b"\x01\xff"}}}, tables) == {
        "id": {"B": "01ff"}
    }


def test_the_capacity_is_what_the_answer_tells_of_all_its_tables() -> None:
    assert units_of(None) is units_of({"Item": {}}) is None
    assert units_of({"ConsumedCapacity": {"CapacityUnits": 2.5}}) == 2.5
    both = [{"TableName": "a", "CapacityUnits": 1}, {"TableName": "b", "CapacityUnits": 0.5}]
    assert units_of({"ConsumedCapacity": both}) == 1.5
    assert units_of({"ConsumedCapacity": "x"}) is None


async def test_a_hit_that_is_answered_at_once_stands_for_sixteen() -> None:
    log = log_of()
    node = Node()
    left: list[tuple[Any, ...]] = []
    node.operations.sampling_hits(now, lambda *call: left.append(call), log)
    node.operations.reads.counters.samples.take_at_once(16, b"table", b"a", b"reply", now(), "dax")
    ((call, *given),) = left
    call(*given)
    (line,) = lines_of(log)
    assert (line["protocol"], line["cache"], line["stands_for"]) == ("dax", "hit", 16)


async def test_lines_are_written_and_rotated_and_events_are_cloudwatchs(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = log_of(file=path, format="cloudwatch", bytes_max=64 * 1024, files_max=2)
    assert log.writer is not None
    log.writer.start()
    for _ in range(1_000):
        log.ended(("GetItem", "t", "dax"), "ok", 0.001, cache="miss")
    await log.writer.stop()
    assert sorted(os.listdir(tmp_path)) == ["requests.jsonl", "requests.jsonl.1"]
    event = json.loads(path.read_text().splitlines()[0])
    assert event["timestamp"] == 1_000_250
    told = json.loads(event["message"])
    assert (told["log"], told["node"], told["cache"]) == ("request", "node-1", "miss")
    with pytest.raises(ConfigError, match="PACELINE_REQUEST_LOG__FILE"):
        log_of(file=tmp_path / "nowhere" / "x")


async def test_who_asks_again_gets_what_is_new() -> None:
    log = log_of(recent=5)
    command = RequestLogCommand(log)
    for number in range(3):
        log.ended((f"Get{number}", "t", "dax"), "ok", 0.001)
    first = await command.tell({})
    assert [line["operation"] for line in first["lines"]] == ["Get0", "Get1", "Get2"]
    assert (await command.tell({"after": str(first["next"])}))["lines"] == []
    for number in range(3, 20):
        log.ended((f"Get{number}", "t", "dax"), "ok", 0.001)
    again = await command.tell({"after": "18"})
    assert [line["operation"] for line in again["lines"]] == ["Get18", "Get19"]
    assert len((await command.tell({"after": "3"}))["lines"]) == 5
    for wrong in ("-1", "x", "1" * 19, "²"):
        with pytest.raises(RequestError):
            await command.tell({"after": wrong})
    assert command.as_dict() == {"lines": 20}


def test_texts_of_strangers_are_cut() -> None:
    log = log_of()
    came_from("10.0.0.1", {b"x-amzn-trace-id": b"\xff" * 5000})
    log.ended(("X" * 5000, "t" * 5000, "http"), "error", 0.001, error="E" * 5000)
    assert len(json.dumps(lines_of(log)[0])) < 4_000


def test_where_a_call_of_grpc_comes_from() -> None:
    assert address_of("ipv4:1.2.3.4:5") == "1.2.3.4"
    assert address_of("ipv6:%5B::1%5D:5") == "::1"

    class Context:
        def peer(self) -> str:
            return "ipv4:1.2.3.4:5"

        def invocation_metadata(self) -> Any:
            return (("traceparent", "00-1-2-01"), ("other", "x"))

    came_by_grpc(Context())
    assert origin.get() == Origin("1.2.3.4", "00-1-2-01")


def test_it_is_off_when_nothing_is_kept() -> None:
    settings = NodeSettings(request_log=RequestLogSettings(recent=0, sample=0))
    log = RequestLog(settings.request_log, "n")
    log.ended(("GetItem", "t", "dax"), "ok", 0.001)
    assert not log.recent
