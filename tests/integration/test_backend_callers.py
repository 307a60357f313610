"""What carries requests in callers' names has no credentials but theirs, by either client."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.access.upstream import Profile
from cluster.settings import DynamoDBSettings
from node.backend.acting import Actor, Who, acting_as
from node.backend.caller_keys import CallerKeys, Fetched, KeysDenied, NoKeys
from node.backend.client import Backend
from node.backend.lean.signing import Keys
from node.requests.reach import DYNAMODB
from paceline.clock import now
from paceline.errors import DynamoDBError, NotSent, Unavailable
from tests.support.flaky_http import Answer, FlakyDynamoDB, error

ANN = Actor(Who("ann", 1, Profile("ann")), "arn:ann", "PLAK")
GET = {"TableName": "t", "Key": {"id": {"S": "a"}}}
PUT = {"TableName": "t", "Item": {"id": {"S": "a"}}}
WAIT_S = 0.5


class Provider:
    """Gives ``answers`` in turn, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.fetched = 0

    async def fetch(self, who: Who) -> Fetched:
        self.fetched += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Fetched(Keys(answer, "secret"), None)

    async def aclose(self) -> None: ...


async def backend_with(server: FlakyDynamoDB, client: Any, provider: Provider) -> Backend:
    settings = DynamoDBSettings(endpoint=server.endpoint, client=client)
    backend = Backend(settings, caller_keys=CallerKeys(provider))
    await backend.start()
    return backend


@pytest.mark.parametrize("client", ["lean", "aiobotocore"])
@pytest.mark.parametrize("fails", [None, KeysDenied("no role"), NoKeys("no STS")])
async def test_without_credentials_nothing_is_sent_whatever_the_environment_has(
    client: str, fails: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANODE000000000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s" * 40)
    async with FlakyDynamoDB([Answer({})]) as server:
        backend = await backend_with(server, client, Provider(fails or "AKIAANN"))

        async def ask() -> None:
            expected = Unavailable if isinstance(fails, NoKeys) else DynamoDBError
            with pytest.raises(expected):
                await backend.read("GetItem", GET, now() + WAIT_S)
            with pytest.raises(expected):
                await backend.raw(f"{DYNAMODB}.ListTables", b"{}", now() + WAIT_S, repeat=True)
            with pytest.raises(expected):
                await backend.control("DescribeTable", {"TableName": "t"}, now() + WAIT_S)
            ended = await backend.write("PutItem", PUT, now() + WAIT_S, lambda: True)
            assert not ended.ambiguous
            assert isinstance(ended.error, NotSent if isinstance(fails, NoKeys) else DynamoDBError)

        if fails is None:
            await ask()  # in nobody's name
        else:
            with acting_as(ANN):
                await ask()
        assert server.requests == []
        await backend.stop()


@pytest.mark.parametrize("client", ["lean", "aiobotocore"])
async def test_credentials_that_dynamodb_refuses_are_fetched_anew_and_told_as_it_says(
    client: str,
) -> None:
    script = [error("ExpiredTokenException"), Answer({})]
    async with FlakyDynamoDB(script) as server:
        provider = Provider("AKIAOLD", "AKIANEW")
        backend = await backend_with(server, client, provider)
        with acting_as(ANN):
            with pytest.raises(DynamoDBError, match="ExpiredTokenException"):
                await backend.read("GetItem", GET, now() + WAIT_S)
            assert await backend.read("GetItem", GET, now() + WAIT_S) == {}
            await backend.prepare(now() + WAIT_S)
        assert provider.fetched == 2
        assert len(server.requests) == 2
        await backend.stop()
