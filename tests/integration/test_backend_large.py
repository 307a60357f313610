"""Requests and answers of very many values pass the loop by: botocore's way takes seconds."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cluster.settings import DynamoDBSettings
from cluster.transport.large_work import LargeWork
from node.backend.client import Backend
from paceline import clock
from tests.support.flaky_http import Answer, FlakyDynamoDB

PATIENT_S = 60.0
NUMBERS = 20_000
ITEM: dict[str, Any] = {
    "id": {"S": "é"},
    "b": {"B": b"\xff\x00"},
    "l": {"L": [{"N": "7"}] * NUMBERS},
}
ON_THE_WIRE = {**ITEM, "b": {"B": "/wA="}}


class Counting(LargeWork):
    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        self.pieces += 1
        return await super().run(work)


@asynccontextmanager
async def backend_for(endpoint: str, work: LargeWork) -> AsyncIterator[Backend]:
    settings = DynamoDBSettings(
        endpoint=endpoint,
        credentials="dummy",
        connect_timeout_s=PATIENT_S,
        read_timeout_s=PATIENT_S,
    )
    backend = Backend(settings, rng=random.Random(1), large_work=work)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()
        await work.aclose()


async def test_a_request_of_many_values_is_written_off_the_loop_as_botocore_writes_it() -> None:
    work = Counting()
    small = {"TableName": "t", "Item": {**ITEM, "l": {"L": []}}}
    async with (
        FlakyDynamoDB([Answer(), Answer()]) as server,
        backend_for(server.endpoint, work) as backend,
    ):
        for params in (small, {"TableName": "t", "Item": ITEM}):
            ended = await backend.write("PutItem", params, clock.now() + PATIENT_S, lambda: True)
            assert ended.error is None
            assert work.pieces == (0 if params is small else 1)
        (_, first), (_, second) = server.requests
        assert first == {**small, "Item": {**ON_THE_WIRE, "l": {"L": []}}}
        assert second == {"TableName": "t", "Item": ON_THE_WIRE}


async def test_an_answer_of_many_values_is_read_off_the_loop() -> None:
    work = Counting()
    script = [Answer({"Item": {"id": {"S": "a"}}}), Answer({"Item": ON_THE_WIRE})]
    async with FlakyDynamoDB(script) as server, backend_for(server.endpoint, work) as backend:
        get = {"TableName": "t", "Key": {"id": {"S": "é"}}}
        await backend.read("GetItem", get, clock.now() + PATIENT_S)
        assert work.pieces == 0
        found = await backend.read("GetItem", get, clock.now() + PATIENT_S)
        assert found == {"Item": ITEM}
        assert work.pieces == 2  # looked through, and read


async def test_an_answer_that_takes_longer_to_read_than_its_write_had_is_a_success() -> None:
    """What has come whole is known."""
    waited = []

    class Slow(LargeWork):
        async def run(self, work: Callable[[], Any]) -> Any:
            waited.append(clock.now() < deadline)
            while clock.now() < deadline + 0.05:  # no sleep: the very deadline is waited for
                await super().run(lambda: None)
            return await super().run(work)

    async with (
        FlakyDynamoDB([Answer({"Attributes": ON_THE_WIRE})]) as server,
        backend_for(server.endpoint, Slow()) as backend,
    ):
        deadline = clock.now() + 2.0
        put = {"TableName": "t", "Item": {"id": {"S": "a"}}}
        ended = await backend.write("PutItem", put, deadline, lambda: True)
        assert waited == [True, False]  # until it is looked through, and until it is read
        assert ended.result == {"Attributes": ITEM}
        assert not ended.ambiguous
