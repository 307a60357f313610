"""Spans by OpenTelemetry: what is in them, whose they are, and that nothing waits for them."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from cluster.service.lifecycle import Lifecycle
from cluster.settings import NodeSettings
from cluster.transport.origin import Origin, origin
from node.backend.calls import Refusal, Success
from node.backend.retry import meaning_of
from node.frontends.http.messages import HttpRequest
from node.reads.reading import ReadRequest
from node.requests.log_lines import TEXT_MAX
from node.tracing.otel import OtelSpans
from node.tracing.spans import handed_on, header_lines, trace_of_request
from node.watching import TRACES_S, spans_of
from paceline.clock import now
from paceline.errors import ConfigError, DynamoDBError
from tests.unit.node.frontends.doors import Node

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
W3C = f"00-{TRACE}-{PARENT}-01"
X_RAY = f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=1"
KEY = {"id": {"S": "secret-key"}}
GET = {"TableName": "table", "Key": KEY, "ConsistentRead": True}


class Traced:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.spans = OtelSpans("node-1", "a", "paceline", "us-east-1", self.exporter)
        self.node = Node()
        self.node.dynamodb.answer = lambda operation, params: Success({"Item": KEY})
        self.node.operations.sampling_hits(now, lambda *_: None, None, self.spans)

    @property
    def ended(self) -> list[ReadableSpan]:
        self.spans._provider.force_flush()
        return list(self.exporter.get_finished_spans())

    async def read(self, came: Origin | None, params: Any = GET) -> ReadableSpan:
        token = origin.set(came)
        try:
            await self.node.operations.by("grpc").read(ReadRequest("GetItem", params), now() + 5.0)
        finally:
            origin.reset(token)
        return self.ended[-1]


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.spans.stop()


def ids(one: ReadableSpan) -> tuple[str, str]:
    context, parent = one.get_span_context(), one.parent
    assert context is not None
    return f"{context.trace_id:032x}", "" if parent is None else f"{parent.span_id:016x}"


@pytest.mark.parametrize("told", [W3C, X_RAY])
async def test_a_request_is_shown_below_what_its_caller_names(traced: Traced, told: str) -> None:
    one = await traced.read(Origin("10.0.0.1", told))
    assert ids(one) == (TRACE, PARENT)
    assert one.kind is SpanKind.SERVER
    assert one.name == "DynamoDB.GetItem"
    attributes = dict(one.attributes or {})
    assert (
        attributes.items()
        >= {
            "rpc.system": "aws-api",
            "rpc.method": "GetItem",
            "db.collection.name": "table",
            "network.protocol.name": "grpc",
            "paceline.result": "ok",
            "client.address": "10.0.0.1",
        }.items()
    )
    assert "secret-key" not in str(attributes)
    resource = dict(one.resource.attributes)
    assert (resource["service.name"], resource["service.instance.id"]) == ("paceline", "node-1")


@pytest.mark.parametrize(
    "told", ["", "x", "00-0-0-01", W3C + "-x", "Root=1", "=" * 256, "\x00\xff", W3C[:-1]]
)
async def test_what_is_no_trace_is_none(traced: Traced, told: str) -> None:
    trace, parent = ids(await traced.read(Origin("", told)))
    assert (trace != TRACE, parent) == (True, "")


async def test_a_caller_who_does_not_keep_his_trace_is_not_shown(traced: Traced) -> None:
    with pytest.raises(IndexError):
        await traced.read(Origin("", f"{W3C[:-2]}00"))


async def test_a_refusal_and_a_caller_who_leaves(traced: Traced) -> None:
    error = DynamoDBError("ProvisionedThroughputExceededException", "slow down", 400)
    refusal = Refusal(error, meaning_of(error.name, error.status))
    traced.node.dynamodb.answer = lambda operation, params: refusal
    reading = asyncio.create_task(
        traced.node.operations.read(ReadRequest("GetItem", GET), now() + 0.3)
    )
    with pytest.raises(DynamoDBError):
        await reading
    (one,) = traced.ended
    assert one.status.status_code is StatusCode.ERROR
    assert (one.attributes or {})["error.type"] == error.name
    assert (one.attributes or {})["paceline.result"] == "throttled"


async def test_names_are_bounded(traced: Traced) -> None:
    error = DynamoDBError("Named" * 1000, "no", 400)
    refusal = Refusal(error, meaning_of("ResourceNotFoundException", 400))
    traced.node.dynamodb.answer = lambda operation, params: refusal
    with pytest.raises(DynamoDBError):
        await traced.read(Origin("a" * 1000), {**GET, "TableName": "t" * 5000})
    (one,) = traced.ended
    attributes = dict(one.attributes or {})
    assert attributes.keys() >= {"db.collection.name", "error.type", "client.address"}
    assert all(len(str(value)) <= TEXT_MAX + 10 for value in attributes.values())


def test_an_attempt_is_below_the_request_and_says_so_to_dynamodb(traced: Traced) -> None:
    assert traced.spans.attempt("GetItem") is None  # nobody has asked for it
    token = origin.set(Origin("", W3C))  # as another member tells it
    try:
        made = traced.spans.attempt("GetItem")
        assert made is not None
        assert header_lines() == ""
        with made as attempt:
            lines = header_lines()
            attempt.ended("refused", "ThrottlingException", 400)
        assert handed_on.get() == {}
    finally:
        origin.reset(token)
    (one,) = traced.ended
    context = one.get_span_context()
    assert context is not None
    assert ids(one) == (TRACE, PARENT)
    assert f"traceparent: 00-{TRACE}-{context.span_id:016x}-01\r\n" in lines
    assert f"Root=1-{TRACE[:8]}-{TRACE[8:]};" in lines
    assert one.kind is SpanKind.CLIENT
    assert one.status.status_code is StatusCode.ERROR
    assert trace_of_request() == ""


def test_a_hit_at_once_stands_for_others(traced: Traced) -> None:
    traced.spans.hit(("GetItem", "table", "dax"), 0.25, 16)
    (one,) = traced.ended
    assert one.start_time is not None
    assert one.end_time is not None
    assert one.end_time - one.start_time == 250_000_000
    assert (one.attributes or {})["paceline.stands_for"] == 16
    assert one.parent is None


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, False),
        ({b"traceparent": W3C.encode()}, True),
        ({b"traceparent": W3C[:-2].encode() + b"00"}, False),
        ({b"traceparent": b""}, False),
        ({b"x-amzn-trace-id": X_RAY.encode()}, True),
        ({b"x-amzn-trace-id": b"Root=1-2-3;Sampled=0"}, False),
    ],
)
async def test_who_keeps_his_trace_gets_no_hit_that_leaves_no_span(
    traced: Traced, headers: dict[bytes, bytes], wanted: bool
) -> None:
    untraced = Node()
    body = json.dumps({"TableName": "table", "Key": KEY}).encode()
    for node in (traced.node, untraced):
        await node.tables.schema("table")
        node.keep("table", b"secret-key")

    def fast(node: Node) -> object:
        return node.http.fast(HttpRequest("DynamoDB_20120810.GetItem", body, headers=headers))

    assert (fast(traced.node) is None) is wanted
    assert fast(untraced) is not None


async def test_a_collector_that_does_not_answer_does_not_keep_a_node_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        lifecycle = Lifecycle()
        spans = spans_of(lifecycle, NodeSettings(traces="otlp"))
        assert spans is not None
        (step,) = lifecycle._steps
        assert step.deadline_s == TRACES_S
        spans.hit(("GetItem", "table", "dax"), 0.25, 16)
        # It waits, and the lifecycle ends that; the event loop goes on meanwhile.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await step.stop()


def test_without_the_extra_a_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "node.tracing.otel", None)
    with pytest.raises(ConfigError, match=r"pip install 'paceline-server\[opentelemetry\]'"):
        spans_of(Lifecycle(), NodeSettings(traces="otlp"))
    assert spans_of(Lifecycle(), NodeSettings()) is None
