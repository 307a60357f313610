"""Writes that go to DynamoDB itself: never twice, and told when the cluster is back."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from paceline.client.aio.fallback import AsyncFallbackDriver
from paceline.client.boto import errors
from paceline.client.core.call_flow import Core
from paceline.client.core.retry import FallbackReservation
from paceline.client.core.roster import Node
from paceline.client.core.routing import Router
from paceline.client.fallback import BypassedWrites, Fallback, dynamodb_client
from paceline.client.settings import Settings
from tests.unit.client.rig import boto_core

PUT = {"TableName": "t", "Item": {"id": {"S": "a"}}}
NODE = Node(1, "n1", "a", "127.0.0.1", 1, True)
CREDENTIALS = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}


def falling(client: Any, **options: Any) -> tuple[Fallback, Core]:
    core = boto_core(Router(lambda n: 0), Settings(), lambda: 0.0, has_fallback=True)
    return Fallback(client, core, **options), core


@pytest.fixture
def dying() -> Iterator[tuple[str, list[bytes]]]:
    """A DynamoDB that closes the connection instead of answering; the operations it was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(10_000).partition(b"DynamoDB_20120810.")[2][:7])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(30.0)


def test_a_write_is_sent_to_dynamodb_once(dying: tuple[str, list[bytes]]) -> None:
    endpoint, asked = dying
    fallback, core = falling(dynamodb_client(endpoint, CREDENTIALS, writes=True))
    with pytest.raises(errors.OutcomeUnknownException):
        fallback.call("PutItem", PUT, FallbackReservation(10.0))
    assert asked == [b"PutItem"]
    assert core.counters.unknown_outcomes == 1


def test_a_write_that_dynamodb_fails_to_make_is_unknown() -> None:
    def fail(**_: Any) -> Any:
        raise ClientError(
            {
                "Error": {"Code": "InternalServerError", "Message": ""},
                "ResponseMetadata": {"HTTPStatusCode": 500},  # type: ignore[typeddict-item]
            },
            "PutItem",
        )

    fallback, _ = falling(lambda: SimpleNamespace(put_item=fail))
    with pytest.raises(errors.OutcomeUnknownException):
        fallback.call("PutItem", PUT, FallbackReservation(10.0))


@pytest.mark.parametrize("awaitable", [False, True])
async def test_a_write_that_ends_after_the_return_is_told_again(awaitable: bool) -> None:
    told: list[BypassedWrites] = []

    def put_item(**_: Any) -> Any:
        core.answered(NODE, 0.0, 0.0, True)
        return {}

    async def put_item_later(**params: Any) -> Any:
        return put_item(**params)

    client = SimpleNamespace(put_item=put_item_later if awaitable else put_item)
    fallback, core = falling(client, on_return=told.append)
    if awaitable:
        await AsyncFallbackDriver(fallback).call("PutItem", PUT, FallbackReservation(10.0))
    else:
        fallback.call("PutItem", PUT, FallbackReservation(10.0))
    core.answered(NODE, 0.0, 0.0, True)
    core.answered(NODE, 0.0, 0.0, True)
    assert [behind.keys for behind in told] == [{"t": [PUT["Item"]]}] * 2
