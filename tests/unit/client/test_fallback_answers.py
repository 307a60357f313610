"""What is not DynamoDB's answer is neither success nor refusal when DynamoDB itself is asked."""

import json
import threading
from binascii import crc32
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiobotocore.session import get_session as get_async_session
from botocore.config import Config
from botocore.session import get_session

from paceline import dynamodb_answers
from paceline.client.aio.fallback import AsyncFallbackDriver
from paceline.client.boto import errors
from paceline.client.core.call_flow import Core
from paceline.client.core.commands import Refused
from paceline.client.core.retry import FallbackReservation
from paceline.client.core.routing import Router
from paceline.client.fallback import Fallback, dynamodb_client
from paceline.client.settings import Settings
from tests.unit.client.rig import boto_core

CREDENTIALS = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
GET = {"TableName": "t", "Key": {"id": {"S": "a"}}}
PUT = {"TableName": "t", "Item": {"id": {"S": "a"}}}
REFUSAL = json.dumps({"__type": "x#ConditionalCheckFailedException", "message": "no"}).encode()
PAGE = b"<html>Sign in to the network</html>"
JSON_10 = "application/x-amz-json-1.0"
OWN = {"Content-Type": JSON_10, "x-amzn-RequestId": "1"}
HTML = {"Content-Type": "text/html"}

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Gives ``answer`` to whatever comes; ``asked``: (method, path) of that."""

    def __init__(self) -> None:
        self.answer: Answer = (200, OWN, b"{}")
        self.asked: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.asked.append((self.command, self.path))
                moved = self.path != "/"
                status, headers, body = (200, OWN, b"{}") if moved else outer.answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["own", "passed"])
def client(server: Server, request: pytest.FixtureRequest) -> Any:
    """To make one takes long: it reads the service's model."""
    if request.param == "own":
        return dynamodb_client(server.url, CREDENTIALS, writes=True)()
    return passed(server.url)


FOREIGN: dict[str, Answer] = {
    "a page": (200, HTML, PAGE),
    "an empty page": (200, HTML, b""),
    "no request id": (200, {"Content-Type": JSON_10}, b"{}"),
    "another content type": (200, {**OWN, "Content-Type": "application/json"}, b"{}"),
    "a redirect": (302, {**HTML, "Location": "/moved"}, b""),
    "a redirect of the request": (307, {**HTML, "Location": "/moved"}, b""),
    "a proxy's refusal": (403, HTML, PAGE),
    "a refusal without an error": (400, OWN, b"{}"),
    "a refusal of something else": (400, {"Content-Type": "application/json"}, REFUSAL),
    "a load balancer's page": (503, HTML, PAGE),
    "another checksum": (200, {**OWN, "x-amz-crc32": str(crc32(b"{}") + 1)}, b"{}"),
    "cut off": (200, {**OWN, "Content-Length": "200"}, b'{"Item":{}}'),
    "cut off within": (200, OWN, b'{"Item":{'),
    "no JSON within braces": (200, OWN, b"{nonsense}"),
    "another status": (204, OWN, b""),
}


def core_of() -> Core:
    return boto_core(Router(lambda n: 0), Settings(), lambda: 0.0, has_fallback=True)


def passed(url: str) -> Any:
    config: Any = Config(retries={"total_max_attempts": 1})  # type: ignore[typeddict-unknown-key]
    return get_session().create_client("dynamodb", endpoint_url=url, config=config, **CREDENTIALS)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_dynamodbs_says_nothing(server: Server, name: str, client: Any) -> None:
    server.answer = FOREIGN[name]
    fallback = Fallback(client, core_of())
    assert isinstance(fallback.call("GetItem", GET, FallbackReservation(10.0)), Refused)
    asked = len(server.asked)
    with pytest.raises(errors.OutcomeUnknownException):
        fallback.call("PutItem", PUT, FallbackReservation(10.0))
    assert server.asked[asked:] == [("POST", "/")], "once, and nowhere else"


async def test_nor_does_it_to_aiobotocore(server: Server) -> None:
    making: Any = get_async_session().create_client(
        "dynamodb", endpoint_url=server.url, **CREDENTIALS
    )
    async with making as client:
        driver = AsyncFallbackDriver(Fallback(client, core_of()))
        for name, answer in FOREIGN.items():
            server.answer = answer
            assert isinstance(
                await driver.call("GetItem", GET, FallbackReservation(10.0)), Refused
            ), name
            with pytest.raises(errors.OutcomeUnknownException):
                await driver.call("PutItem", PUT, FallbackReservation(10.0))
        await driver.close()


def test_dynamodbs_answers_are_taken(server: Server, client: Any) -> None:
    fallback = Fallback(client, core_of())
    body = b'{"Item":{"id":{"S":"a"}}}'
    server.answer = (200, {**OWN, "x-amz-crc32": str(crc32(body))}, body)
    assert fallback.call("GetItem", GET, FallbackReservation(10.0))["Item"] == {"id": {"S": "a"}}
    server.answer = (400, OWN, REFUSAL)
    with pytest.raises(errors.exceptions().ConditionalCheckFailedException):
        fallback.call("PutItem", PUT, FallbackReservation(10.0))


async def test_aiobotocore_gets_dynamodbs_answers(server: Server) -> None:
    server.answer = (200, OWN, b'{"Item":{"id":{"S":"a"}}}')
    making: Any = get_async_session().create_client(
        "dynamodb", endpoint_url=server.url, **CREDENTIALS
    )
    async with making as client:
        driver = AsyncFallbackDriver(Fallback(client, core_of()))
        found: Any = await driver.call("GetItem", GET, FallbackReservation(10.0))
        assert found["Item"] == {"id": {"S": "a"}}
        await driver.close()


def test_a_longer_answer_than_dynamodb_gives_is_not_read_on(
    server: Server, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(dynamodb_answers._LIMITS, "GetItem", 1000)  # type: ignore[arg-type]
    server.answer = (200, OWN, b'{"Item":{"id":{"S":"%s"}}}' % (b"x" * 2000))
    outcome = Fallback(client, core_of()).call("GetItem", GET, FallbackReservation(10.0))
    assert isinstance(outcome, Refused)
    assert "longer than 1000 bytes" in outcome.reason


def test_a_client_that_is_passed_stays_as_it_is(server: Server) -> None:
    client = passed(server.url)
    session = client._endpoint.http_session
    seen: list[str] = []
    client.meta.events.register("before-call.dynamodb", lambda model, **_: seen.append(model.name))
    server.answer = (200, OWN, b"{}")
    fallback = Fallback(client, core_of())
    fallback.call("GetItem", GET, FallbackReservation(10.0))
    assert seen == ["GetItem"], "its handlers are asked"
    assert client._endpoint.http_session is session
    server.answer = (200, HTML, PAGE)
    assert "Item" not in client.get_item(**GET), "botocore's own way, to its other users"
