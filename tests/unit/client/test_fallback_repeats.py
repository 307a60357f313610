"""What botocore repeats by itself when DynamoDB is asked: a write that may have been made is told
neither as not sent nor as refused, and is not made twice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session as get_async_session
from botocore import retryhandler
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.retries import standard
from botocore.session import get_session

from paceline.client.aio.fallback import AsyncFallbackDriver
from paceline.client.boto import errors
from paceline.client.core.commands import Refused
from paceline.client.core.retry import FallbackReservation
from paceline.client.core.routing import Router
from paceline.client.fallback import Fallback, dynamodb_client
from paceline.client.settings import Settings
from tests.support.flaky_http import (
    THROTTLE,
    Answer,
    Behaviour,
    Close,
    FlakyDynamoDB,
    Reset,
    Wire,
    error,
)
from tests.unit.client.rig import boto_core

CREDENTIALS = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
PUT = {"TableName": "t", "Item": {"id": {"S": "a"}}}
TRANSACTION = {
    "TransactItems": [{"Put": PUT}],
    "ClientRequestToken": "00000000-0000-0000-0000-000000000001",
}
REFUSED = error("ConditionalCheckFailedException")
INTERNAL = error("InternalServerError", 500)
CANCELLED = error("TransactionCanceledException", CancellationReasons=[])
DENIED = error("AccessDeniedException")
IN_PROGRESS = error("TransactionInProgressException")
GONE = "gone"
"""In a script: DynamoDB does not answer, and its port is closed from then on."""

KINDS = [
    "own",
    "legacy",
    "aiohttp",
    *(pytest.param(kind, marks=pytest.mark.full) for kind in ("standard", "adaptive")),
    pytest.param("aiohttp standard", marks=pytest.mark.full),
]

LOST: dict[str, Behaviour] = {
    "closed": Close(),
    "reset": Reset(),
    "half an answer": Close(mid_response=True),
    "nonsense": Wire(b"nonsense\r\n\r\n"),
    "an internal error": INTERNAL,
    "a timeout": error("RequestTimeoutException", 408),
    "a page": Answer(None, 503, raw=b"<html>", headers=("x-page: 1",)),
}


class DynamoDB(FlakyDynamoDB):
    def __init__(self) -> None:
        super().__init__(self._following)
        self.script: list[Behaviour | str] = []

    def _following(self, operation: str, parameters: dict[str, Any]) -> Behaviour:
        behaviour = self.script.pop(0)
        if isinstance(behaviour, str):
            self.stop_listening()
            return Close()
        return behaviour


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What botocore repeats is tested here, not how long it waits before."""
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda *_, **__: 0.001)
    monkeypatch.setattr(retryhandler, "delay_exponential", lambda *_, **__: 0.001)


@pytest.fixture
async def server() -> AsyncIterator[DynamoDB]:
    made = DynamoDB()
    async with made:
        yield made


def fallback_on(client: Any) -> Fallback:
    core = boto_core(Router(lambda n: 0), Settings(), lambda: 0.0, has_fallback=True)
    return Fallback(client, core)


Call = Callable[[str, dict[str, Any]], Awaitable[Any]]


@pytest.fixture(params=KINDS)
async def call(server: DynamoDB, request: pytest.FixtureRequest) -> AsyncIterator[Call]:
    """What a call of the fallback ends with, its exception included."""
    retries: Any = {"total_max_attempts": 4}
    arguments: Any = {"endpoint_url": server.endpoint, **CREDENTIALS}
    async with AsyncExitStack() as stack:
        match request.param.split():
            case ["own"]:
                client = dynamodb_client(server.endpoint, CREDENTIALS, writes=True)
            case ["aiohttp", *mode]:
                retries["mode"] = mode[0] if mode else "legacy"
                making: Any = get_async_session().create_client(
                    "dynamodb", config=AioConfig(retries=retries), **arguments
                )
                client = await stack.enter_async_context(making)
            case [mode]:
                retries["mode"] = mode
                config: Any = Config(retries=retries)
                session: Any = get_session()
                client = session.create_client("dynamodb", config=config, **arguments)
        fallback = fallback_on(client)
        yield lambda operation, params: outcome(fallback, operation, params)


async def outcome(fallback: Fallback, operation: str, params: dict[str, Any]) -> Any:
    driver = AsyncFallbackDriver(fallback)
    try:
        return await driver.call(operation, params, FallbackReservation(60.0))
    except Exception as error:
        return error
    finally:
        await driver.close()


async def test_a_write_that_may_have_been_made_is_not_repeated(
    server: DynamoDB, call: Call
) -> None:
    for name, lost in LOST.items():
        for then in (REFUSED, Answer({})):
            server.script = [lost, then]
            before = len(server.requests)
            ended = await call("PutItem", PUT)
            assert isinstance(ended, errors.OutcomeUnknownException), (name, ended)
            assert len(server.requests) == before + 1, name


@pytest.mark.parametrize("operation", ["PutItem", "TransactWriteItems"])
async def test_a_port_that_is_closed_later_does_not_say_that_nothing_was_sent(
    server: DynamoDB, call: Call, operation: str
) -> None:
    server.script = [GONE]
    ended = await call(operation, PUT if "Put" in operation else TRANSACTION)
    assert isinstance(ended, errors.OutcomeUnknownException), ended
    assert server.operations == [operation]


async def test_a_transaction_is_repeated_until_its_outcome_is_known(
    server: DynamoDB, call: Call
) -> None:
    for lost in (Reset(), INTERNAL):
        server.script = [lost, Answer({})]
        assert isinstance(await call("TransactWriteItems", TRANSACTION), dict)
        server.script = [lost, CANCELLED]
        ended = await call("TransactWriteItems", TRANSACTION)
        assert isinstance(ended, errors.exceptions().TransactionCanceledException), ended
        for undecided in (DENIED, IN_PROGRESS):
            server.script = [lost, undecided]
            ended = await call("TransactWriteItems", TRANSACTION)
            assert isinstance(ended, errors.OutcomeUnknownException), ended
        assert not server.script


@pytest.mark.parametrize("call", KINDS[1:], indirect=True)
async def test_what_was_surely_not_made_is_repeated(server: DynamoDB, call: Call) -> None:
    server.script = [THROTTLE, THROTTLE, Answer({})]
    assert isinstance(await call("PutItem", PUT), dict)
    server.script = [THROTTLE, REFUSED]
    ended = await call("PutItem", PUT)
    assert isinstance(ended, errors.exceptions().ConditionalCheckFailedException), ended
    assert not server.script


async def test_a_transaction_that_is_in_progress_is_of_unknown_outcome(
    server: DynamoDB, call: Call
) -> None:
    server.script = [IN_PROGRESS]
    ended = await call("TransactWriteItems", TRANSACTION)
    assert isinstance(ended, errors.OutcomeUnknownException), ended


async def test_what_was_never_sent_is_known_not_to_be(server: DynamoDB, call: Call) -> None:
    await server.refuse()
    ended = await call("PutItem", PUT)
    assert isinstance(ended, Refused), ended


async def test_a_write_that_botocore_cannot_sign_was_not_sent(server: DynamoDB) -> None:
    client: Any = get_session().create_client(
        "dynamodb", endpoint_url=server.endpoint, region_name="eu-west-1"
    )
    client._request_signer._credentials = None
    ended = await outcome(fallback_on(client), "PutItem", PUT)
    assert isinstance(ended, Refused), ended
    assert not server.connections


@pytest.mark.parametrize("tries", [1, 3])
async def test_of_a_handler_that_sends_by_itself_only_the_end_is_known(
    server: DynamoDB, tries: int
) -> None:
    retries: Any = {"total_max_attempts": tries}
    session: Any = get_session()
    client = session.create_client(
        "dynamodb", endpoint_url=server.endpoint, config=Config(retries=retries), **CREDENTIALS
    )

    def send(**_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url=server.endpoint)

    client.meta.events.register("before-send.dynamodb", send)
    ended = await outcome(fallback_on(client), "PutItem", PUT)
    assert isinstance(ended, errors.OutcomeUnknownException), ended


@pytest.mark.parametrize("awaitable", [False, True])
async def test_of_a_client_that_is_not_botocores_only_the_end_is_known(awaitable: bool) -> None:
    async def later(raised: Exception) -> Any:
        raise raised

    def client(raised: Exception) -> Any:
        def method(**_: Any) -> Any:
            if awaitable:
                return later(raised)
            raise raised

        return SimpleNamespace(put_item=method, get_item=method)

    away = EndpointConnectionError(endpoint_url="http://nowhere")
    ended = await outcome(fallback_on(client(away)), "PutItem", PUT)
    assert isinstance(ended, errors.OutcomeUnknownException), ended
    for repeats, expected in (
        (0, errors.exceptions().ConditionalCheckFailedException),
        (1, errors.OutcomeUnknownException),
    ):
        response: Any = {
            "Error": {"Code": "ConditionalCheckFailedException", "Message": "no"},
            "ResponseMetadata": {"HTTPStatusCode": 400, "RetryAttempts": repeats},
        }
        refused = client(ClientError(response, "PutItem"))
        ended = await outcome(fallback_on(refused), "PutItem", PUT)
        assert type(ended) is expected, ended
