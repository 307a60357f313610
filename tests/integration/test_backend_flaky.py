"""Backend against a DynamoDB that misbehaves: what reaches it, and what is said afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from cluster.settings import DynamoDBSettings
from node.backend import session
from node.backend.client import Backend, SendForbidden, WriteResult
from node.backend.lean.pool import Pool
from paceline import clock
from paceline.errors import (
    ConfigError,
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    RequestError,
    Unavailable,
)
from paceline.types import Params
from tests.support.dynamodb_ways import LEAN, MOSTLY_LEAN, either_way
from tests.support.embedded import free_port
from tests.support.flaky_http import (
    THROTTLE,
    Answer,
    Behaviour,
    Close,
    CloseAfter,
    FlakyDynamoDB,
    Hang,
    Trickle,
    error,
)
from tests.support.stopwatch import Stopwatch

READ_TIMEOUT_S = 0.3


way = either_way(MOSTLY_LEAN)


"""Where the server says nothing, and somebody has to wait for it."""
PATIENT_S = 20.0
"""Where it answers, however busy the machine is."""
KEY = {"id": {"S": "1"}}
GET = {"TableName": "t", "Key": KEY}
PUT = {"TableName": "t", "Item": KEY}
TRANSACTION = {"TransactItems": [{"Put": PUT}]}
FOUND = Answer({"Item": KEY})


@asynccontextmanager
async def backend_for(
    endpoint: str, now: Callable[[], float] = clock.now, **settings: Any
) -> AsyncIterator[Backend]:
    defaults: dict[str, Any] = {
        "credentials": "dummy",
        "connect_timeout_s": PATIENT_S,
        "read_timeout_s": PATIENT_S,
    }
    backend = Backend(
        DynamoDBSettings(endpoint=endpoint, **(defaults | settings)),
        rng=random.Random(1),
        now=now,
    )
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


def read_timeout_s(*script: Behaviour) -> float:
    for behaviour in script:
        if isinstance(behaviour, Hang | Trickle) or getattr(behaviour, "after_s", 0.0) > 0.0:
            return READ_TIMEOUT_S
    return PATIENT_S


def within(seconds: float) -> float:
    return clock.now() + seconds


async def put(
    backend: Backend, seconds: float = PATIENT_S, may_send: Callable[[], bool] = lambda: True
) -> WriteResult:
    return await backend.write("PutItem", PUT, within(seconds), may_send)


# -- writes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "requests", "outcome", "ambiguous"),
    [
        ([Answer()], 1, None, False),
        ([THROTTLE, THROTTLE, Answer()], 3, None, False),
        ([error("ThrottlingException"), Answer()], 2, None, False),
        ([error("ConditionalCheckFailedException"), Answer()], 1, DynamoDBError, False),
        ([error("TransactionConflictException"), Answer()], 1, DynamoDBError, False),
        ([error("InternalServerError", 500), Answer()], 1, OutcomeUnknown, True),
        ([error("ServiceUnavailable", 503), Answer()], 1, OutcomeUnknown, True),
        ([THROTTLE, error("InternalServerError", 500), Answer()], 2, OutcomeUnknown, True),
        ([Answer(None, 502, raw=b"<html>bad gateway"), Answer()], 1, OutcomeUnknown, True),
        ([Answer(None, 404, raw=b"<html>not here"), Answer()], 1, OutcomeUnknown, True),
        ([Answer(None, 200, raw=b"not json"), Answer()], 1, OutcomeUnknown, True),
        ([Answer(None, 200, raw=b""), Answer()], 1, OutcomeUnknown, True),
        ([Answer(headers=("x-amz-crc32: 1",)), Answer()], 1, OutcomeUnknown, True),
        ([Close(), Answer()], 1, OutcomeUnknown, True),
        ([Close(mid_response=True), Answer()], 1, OutcomeUnknown, True),
        ([Hang(), Answer()], 1, OutcomeUnknown, True),
        ([Answer(after_s=60.0), Answer()], 1, OutcomeUnknown, True),
        ([Trickle(every_s=0.1), Answer()], 1, OutcomeUnknown, True),
    ],
)
async def test_a_write_is_repeated_only_after_an_answer_that_changed_nothing(
    script: list[Behaviour], requests: int, outcome: type[Exception] | None, ambiguous: bool
) -> None:
    async with (
        FlakyDynamoDB(script) as server,
        backend_for(server.endpoint, read_timeout_s=read_timeout_s(*script)) as backend,
    ):
        with Stopwatch() as watch:
            ended = await put(backend)
        assert watch.elapsed_s < READ_TIMEOUT_S + 1.0
        assert server.operations == ["PutItem"] * requests
        assert type(ended.error) is (outcome or type(None))
        assert ended.ambiguous is ambiguous


async def test_a_redirected_write_is_not_sent_again() -> None:
    async with FlakyDynamoDB([Answer()]) as other:
        location = f"location: {other.endpoint}/"
        async with (
            FlakyDynamoDB([Answer(status=307, headers=(location,))]) as server,
            backend_for(server.endpoint) as backend,
        ):
            ended = await put(backend)
            assert isinstance(ended.error, OutcomeUnknown)
            assert len(server.requests) == 1
            assert other.requests == []


async def test_a_refused_connection_is_surely_not_sent() -> None:
    async with backend_for(f"http://127.0.0.1:{free_port()}") as backend:
        ended = await put(backend)
        assert type(ended.error) is NotSent
        assert not ended.ambiguous


async def test_a_name_that_does_not_resolve_is_surely_not_sent() -> None:
    async with backend_for("http://no-such-host.invalid:8000", connect_timeout_s=0.3) as backend:
        ended = await put(backend, 2.0)
        assert type(ended.error) is NotSent
        assert not ended.ambiguous


async def test_throttled_until_the_deadline() -> None:
    async with FlakyDynamoDB([THROTTLE]) as server:
        with Stopwatch() as watch:
            async with backend_for(server.endpoint, watch.now) as backend:
                ended = await backend.write("PutItem", PUT, watch.now() + 2.0, lambda: True)
        assert isinstance(ended.error, DynamoDBError)
        assert ended.error.name == "ProvisionedThroughputExceededException"
        assert ended.error.message == "because"
        assert ended.error.status == 400
        assert ended.error.request_id == "REQUEST-1"
        assert not ended.ambiguous
        assert 3 <= len(server.requests) <= 40


async def test_a_deadline_before_the_answer_leaves_the_outcome_open() -> None:
    async with (
        FlakyDynamoDB([Answer(after_s=60.0)]) as server,
        backend_for(server.endpoint) as backend,
    ):
        ended = await put(backend, 1.0)
        assert isinstance(ended.error, OutcomeUnknown)
        assert ended.ambiguous
        assert len(server.requests) == 1


async def test_a_transaction_is_repeated_under_its_token_and_stays_ambiguous() -> None:
    script: list[Behaviour] = [Close(), Hang(), error("InternalServerError", 500), Answer()]
    async with (
        FlakyDynamoDB(script) as server,
        backend_for(server.endpoint, read_timeout_s=READ_TIMEOUT_S) as backend,
    ):
        ended = await backend.write(
            "TransactWriteItems", TRANSACTION, within(PATIENT_S), lambda: True
        )
        assert ended.error is None
        assert ended.ambiguous
        assert len(server.requests) == 4
        assert len({body["ClientRequestToken"] for _, body in server.requests}) == 1
        assert "ClientRequestToken" not in TRANSACTION


async def test_unprocessed_items_are_retried_inside() -> None:
    requests = [{"PutRequest": {"Item": {"id": {"S": str(n)}}}} for n in range(4)]

    def half(_: str, body: dict[str, Any]) -> Behaviour:
        asked = body["RequestItems"]["t"]
        done, left = asked[: (len(asked) + 1) // 2], asked[(len(asked) + 1) // 2 :]
        return Answer(
            {
                "UnprocessedItems": {"t": left} if left else {},
                "ConsumedCapacity": [{"TableName": "t", "CapacityUnits": len(done)}],
            }
        )

    async with FlakyDynamoDB(half) as server, backend_for(server.endpoint) as backend:
        ended = await backend.write(
            "BatchWriteItem", {"RequestItems": {"t": requests}}, within(PATIENT_S), lambda: True
        )
        assert ended == WriteResult(
            {
                "UnprocessedItems": {},
                "ConsumedCapacity": [{"TableName": "t", "CapacityUnits": 4}],
            },
            None,
            ambiguous=False,
        )
        assert [len(body["RequestItems"]["t"]) for _, body in server.requests] == [4, 2, 1]


# -- permission to send -------------------------------------------------------------------------


async def test_no_permission_sends_no_byte() -> None:
    async with FlakyDynamoDB([Answer()]) as server, backend_for(server.endpoint) as backend:
        for _ in range(2):  # on a new connection; on what a pool might have kept
            ended = await put(backend, may_send=lambda: False)
            assert type(ended.error) is SendForbidden
            assert not ended.ambiguous
        assert server.bytes_received == 0
        assert (await put(backend)).error is None
        ended = await put(backend, may_send=lambda: False)
        assert type(ended.error) is SendForbidden
        assert len(server.requests) == 1


async def test_permission_is_asked_after_a_slow_connect(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting, go_on = asyncio.Event(), asyncio.Event()
    where: Any = (Pool, "_connect") if way == LEAN else (aiohttp.TCPConnector, "_create_connection")
    real = getattr(*where)

    async def slow(*args: Any, **kwargs: Any) -> Any:
        protocol = await real(*args, **kwargs)
        connecting.set()
        await go_on.wait()
        return protocol

    monkeypatch.setattr(*where, slow)
    asked: list[bool] = []
    lease = True

    def may_send() -> bool:
        asked.append(lease)
        return lease

    async with FlakyDynamoDB([Answer()]) as server, backend_for(server.endpoint) as backend:
        writing = asyncio.create_task(put(backend, may_send=may_send))
        await connecting.wait()
        assert asked == [], "asked before there is a connection"
        lease = False
        go_on.set()
        ended = await writing
        assert asked == [False]
        assert type(ended.error) is SendForbidden
        assert server.bytes_received == 0


async def test_permission_is_asked_after_waiting_for_a_pooled_connection() -> None:
    lease = True
    script: list[Behaviour] = [Answer(after_s=0.2), Answer()]
    async with (
        FlakyDynamoDB(script) as server,
        backend_for(server.endpoint, connections_max=1) as backend,
    ):
        first = asyncio.create_task(put(backend))
        await server.arrived.wait()
        second = asyncio.create_task(put(backend, may_send=lambda: lease))
        await asyncio.sleep(0)
        lease = False
        assert (await first).error is None
        assert type((await second).error) is SendForbidden
        assert len(server.requests) == 1
        assert server.connections == 1


async def test_permission_is_asked_again_for_every_attempt() -> None:
    answers = iter([True, True, False])
    async with FlakyDynamoDB([THROTTLE]) as server, backend_for(server.endpoint) as backend:
        ended = await put(backend, may_send=lambda: next(answers))
        assert type(ended.error) is SendForbidden
        assert not ended.ambiguous
        assert len(server.requests) == 2


async def test_no_free_connection_before_the_deadline_is_surely_not_sent() -> None:
    async with (
        FlakyDynamoDB([Hang()]) as server,
        backend_for(server.endpoint, connections_max=1, read_timeout_s=30.0) as backend,
    ):
        first = asyncio.create_task(put(backend, 30.0))
        await server.arrived.wait()
        second = await put(backend, 0.2)
        assert type(second.error) is NotSent
        assert not second.ambiguous
        assert not first.done()
        assert len(server.requests) == 1
        first.cancel()


async def test_a_large_write_asks_once_and_arrives_whole() -> None:
    item = {"id": {"S": "1"}, "data": {"B": bytes(390_000)}}
    asked: list[None] = []

    def may_send() -> bool:
        asked.append(None)
        return True

    async with FlakyDynamoDB([Answer()]) as server, backend_for(server.endpoint) as backend:
        ended = await backend.write(
            "PutItem", {"TableName": "t", "Item": item}, within(PATIENT_S), may_send
        )
        assert ended.error is None
        assert asked == [None]
        assert len(server.requests[0][1]["Item"]["data"]["B"]) == 520_000


async def test_a_pooled_connection_that_was_closed_is_not_written_to() -> None:
    """The server closed it, but the event loop has not noticed before the next write."""
    async with (
        FlakyDynamoDB([CloseAfter(), Answer()]) as server,
        backend_for(server.endpoint) as backend,
    ):
        for _ in range(5):
            server.requests.clear()
            first = await put(backend)
            assert first.error is None
            second = await put(backend)
            assert second.error is None, "a repeat on a new connection was safe"
            assert len(server.requests) == 2


@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-OpenSSH_9.6\r\n"], ids=["closes", "speaks"])
async def test_a_server_that_takes_no_request_is_not_asked_without_a_pause(
    way: str, monkeypatch: pytest.MonkeyPatch, banner: bytes
) -> None:
    connections = 0
    spoke = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if banner:
            writer.write(banner)
        else:
            writer.close()
        spoke.set()

    where: Any = (Pool, "_connect") if way == LEAN else (aiohttp.TCPConnector, "_create_connection")
    real = getattr(*where)

    async def connect_and_look(*args: Any, **kwargs: Any) -> Any:
        spoke.clear()
        made = await real(*args, **kwargs)
        await spoke.wait()
        return made

    monkeypatch.setattr(*where, connect_and_look)
    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        backend_for(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as backend,
    ):
        ended = await put(backend, 1.0)
    assert type(ended.error) is NotSent
    assert 1 <= connections < 20


# -- reads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        THROTTLE,
        error("InternalServerError", 500),
        error("ServiceUnavailable", 503),
        Close(),
        Close(mid_response=True),
        Hang(),
        Trickle(every_s=0.1),
        Answer(None, 200, raw=b"not json"),
        Answer(headers=("x-amz-crc32: 1",)),
    ],
)
async def test_reads_are_repeated(trouble: Behaviour) -> None:
    async with (
        FlakyDynamoDB([trouble, trouble, FOUND]) as server,
        backend_for(server.endpoint, read_timeout_s=read_timeout_s(trouble)) as backend,
    ):
        assert await backend.read("GetItem", GET, within(PATIENT_S)) == {"Item": KEY}
        assert server.operations == ["GetItem"] * 3


async def test_reads_wait_for_a_dynamodb_that_comes_back() -> None:
    async with FlakyDynamoDB([FOUND]) as server, backend_for(server.endpoint) as backend:
        await server.refuse()
        reading = asyncio.create_task(backend.read("GetItem", GET, within(PATIENT_S)))
        await asyncio.sleep(0.2)  # some attempts are refused
        again = await asyncio.start_server(server._serve, "127.0.0.1", server.port)
        server._server = again
        assert await reading == {"Item": KEY}


async def test_an_unreachable_dynamodb() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    async with backend_for(endpoint) as backend:
        with pytest.raises(Unavailable, match=endpoint):
            await backend.read("GetItem", GET, within(0.3))


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (THROTTLE, DynamoDBError),
        (error("InternalServerError", 500), DynamoDBError),
        (Hang(), Unavailable),
        (Close(), Unavailable),
    ],
)
async def test_trouble_that_outlasts_a_reads_deadline(
    trouble: Behaviour, expected: type[Exception]
) -> None:
    with Stopwatch() as watch:
        async with (
            FlakyDynamoDB([trouble]) as server,
            backend_for(
                server.endpoint, watch.now, read_timeout_s=read_timeout_s(trouble)
            ) as backend,
        ):
            began = watch.now()
            with pytest.raises(expected):
                await backend.read("GetItem", GET, began + 0.8)
            assert watch.now() - began < 1.5
        assert 2 <= len(server.requests) <= 15


async def test_a_cancelled_read_leaves_the_others_alone() -> None:
    script: list[Behaviour] = [Hang(), FOUND]
    async with (
        FlakyDynamoDB(script) as server,
        backend_for(server.endpoint) as backend,
    ):
        first = asyncio.create_task(backend.read("GetItem", GET, within(PATIENT_S)))
        await server.arrived.wait()
        first.cancel()
        assert await backend.read("GetItem", GET, within(PATIENT_S)) == {"Item": KEY}
        with pytest.raises(asyncio.CancelledError):
            await first


# -- errors, observation, settings --------------------------------------------------------------


async def test_errors_are_passed_on_unchanged_and_observed() -> None:
    reasons = [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "The ...", "Item": KEY},
    ]
    script: list[Behaviour] = [
        error("TransactionCanceledException", CancellationReasons=reasons),
        error("ConditionalCheckFailedException", Item=KEY),
        error("ResourceNotFoundException"),
    ]
    async with FlakyDynamoDB(script) as server, backend_for(server.endpoint) as backend:
        observed: list[tuple[str, str]] = []
        backend.observe_errors(lambda operation, _, seen: observed.append((operation, seen.name)))
        ended = await backend.write(
            "TransactWriteItems", TRANSACTION, within(PATIENT_S), lambda: True
        )
        assert isinstance(ended.error, DynamoDBError)
        assert ended.error.reasons == reasons
        ended = await put(backend)
        assert isinstance(ended.error, DynamoDBError)
        assert ended.error.item == KEY
        with pytest.raises(DynamoDBError):
            await backend.read("GetItem", GET, within(PATIENT_S))
        assert observed == [
            ("TransactWriteItems", "TransactionCanceledException"),
            ("PutItem", "ConditionalCheckFailedException"),
            ("GetItem", "ResourceNotFoundException"),
        ]


async def test_a_request_that_cannot_be_encoded() -> None:
    async with FlakyDynamoDB([Answer()]) as server, backend_for(server.endpoint) as backend:
        params: Params = {"TableName": "t", "Key": {"id": {"S": object()}}}
        with pytest.raises(RequestError, match="SerializationException"):
            await backend.read("GetItem", params, within(PATIENT_S))
        params = {"TableName": "t", "Item": {"id": {"B": object()}}}
        ended = await backend.write("PutItem", params, within(PATIENT_S), lambda: True)
        assert isinstance(ended.error, RequestError)
        assert not ended.ambiguous
        assert server.bytes_received == 0


async def test_control_operations() -> None:
    script: list[Behaviour] = [
        error("InternalServerError", 500),
        Answer({"TableNames": ["t"]}),
        THROTTLE,
        Answer({"TableDescription": {}}),
        Close(),
    ]
    async with FlakyDynamoDB(script) as server, backend_for(server.endpoint) as backend:
        assert await backend.control("ListTables", {}) == {"TableNames": ["t"]}
        assert await backend.control("DeleteTable", {"TableName": "t"}) == {"TableDescription": {}}
        with pytest.raises(OutcomeUnknown):
            await backend.control("DeleteTable", {"TableName": "t"})
        assert len(server.requests) == 5


async def test_the_environment_cannot_redirect_it(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, dead)
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    async with FlakyDynamoDB([FOUND]) as server, backend_for(server.endpoint) as backend:
        assert await backend.read("GetItem", GET, within(PATIENT_S)) == {"Item": KEY}
    aws = Backend(DynamoDBSettings(credentials="dummy", region="eu-west-1"))
    await aws.start()
    try:
        assert aws._caller._client.meta.endpoint_url == "https://dynamodb.eu-west-1.amazonaws.com"
    finally:
        await aws.stop()


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"])
async def test_credentials_cannot_add_a_header(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for one in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(one, "x")
    async with FlakyDynamoDB([FOUND]) as server:
        for end in ("\r\nx-amz-target: DynamoDB_20120810.DeleteTable", "\n", "\rx"):
            monkeypatch.setenv(name, f"x{end}")
            async with backend_for(server.endpoint, credentials="default") as backend:
                ended = await put(backend, 0.5)
                assert type(ended.error) is NotSent
        assert server.bytes_received == 0


async def test_settings_that_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    with pytest.raises(ConfigError, match="not-there"):
        await Backend(DynamoDBSettings()).start()
    with pytest.raises(ConfigError, match="ENDPOINT"):
        await Backend(DynamoDBSettings(endpoint="nonsense", credentials="dummy")).start()
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ConfigError, match="no AWS credentials"):
        await Backend(DynamoDBSettings()).start()


async def test_calls_without_a_client() -> None:
    backend = Backend(DynamoDBSettings(credentials="dummy"))
    with pytest.raises(Unavailable):
        await backend.read("GetItem", GET, within(0.1))
    assert type((await put(backend, 0.5)).error) is NotSent


async def test_a_send_past_the_guard_is_not_believed(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should an aiohttp of the future not call write_bytes, nothing must look 'not sent'."""
    if way == LEAN:
        pytest.skip("no other code sends there")
    monkeypatch.setattr(session.GuardedRequest, "write_bytes", aiohttp.ClientRequest.write_bytes)
    async with FlakyDynamoDB([FOUND]) as server, backend_for(server.endpoint) as backend:
        with pytest.raises(RuntimeError, match="aiohttp"):
            await backend.read("GetItem", GET, within(PATIENT_S))
        assert len(server.requests) == 1
