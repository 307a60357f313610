"""Requests and answers of very many values pass the loop by: botocore's way takes seconds."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.settings import DynamoDBSettings
from cluster.transport import charges
from cluster.transport.charges import charged
from cluster.transport.large_work import LargeWork
from cluster.transport.memory import OBJECT_BYTES, MemoryBudget
from node.backend.client import Backend
from paceline import clock
from paceline.errors import ServiceError
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


@asynccontextmanager
async def answered(room: int) -> AsyncIterator[tuple[Backend, MemoryBudget]]:
    """With the large item, and so much memory that is not taken."""
    work, memory = LargeWork(), MemoryBudget(1 << 30)
    memory.change(0, memory.bytes_max - room)
    async with (
        FlakyDynamoDB([Answer({"Item": ON_THE_WIRE, "Attributes": ON_THE_WIRE})]) as server,
        backend_for(server.endpoint, work) as backend,
    ):
        yield backend, memory


GET = {"TableName": "t", "Key": {"id": {"S": "é"}}}
PUT = {"TableName": "t", "Item": {"id": {"S": "é"}}, "ReturnValues": "ALL_OLD"}


async def test_a_large_answer_counts_by_what_its_objects_take() -> None:
    async with answered(1 << 29) as (backend, memory):
        held = memory.held_bytes
        with charged(memory):
            await backend.read("GetItem", GET, clock.now() + PATIENT_S)
            assert memory.held_bytes - held > OBJECT_BYTES * NUMBERS
        assert memory.held_bytes == held


async def test_a_large_answer_that_is_passed_on_counts_by_its_bytes() -> None:
    async with answered(1 << 29) as (backend, memory):
        held = memory.held_bytes
        with charged(memory):
            target = "DynamoDB_20120810.GetItem"
            body = json.dumps(GET).encode()
            told = await backend.raw(target, body, clock.now() + PATIENT_S, repeat=True)
            assert memory.held_bytes - held == len(told["Body"])


async def test_a_read_whose_answer_has_no_room_is_throttled() -> None:
    async with answered(OBJECT_BYTES * NUMBERS) as (backend, memory):
        held = memory.held_bytes
        with charged(memory), pytest.raises(ServiceError, match="no memory") as refused:
            await backend.read("GetItem", GET, clock.now() + PATIENT_S)
        assert refused.value.name == "ThrottlingException"
        assert memory.held_bytes == held


@pytest.mark.full
@pytest.mark.parametrize("comes", [True, False])
async def test_a_write_whose_answer_has_no_room_is_a_success(
    comes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not comes:
        monkeypatch.setattr(charges, "WRITE_WAITS_S", 0.0)
    async with answered(OBJECT_BYTES * NUMBERS) as (backend, memory):
        asked = asyncio.Event()
        has_room = memory.has_room

        def noticed(_: MemoryBudget, more: int) -> bool:
            asked.set()
            return has_room(more)

        with charged(memory):
            deadline = clock.now() + PATIENT_S
            monkeypatch.setattr(MemoryBudget, "has_room", noticed)
            writing = asyncio.create_task(backend.write("PutItem", PUT, deadline, lambda: True))
            await asked.wait()
            if comes:
                assert not writing.done()
                memory.change(OBJECT_BYTES * NUMBERS, 0)
            ended = await writing
        assert ended.error is None
        assert ended.result is not None
        assert ended.result["Attributes"] == ITEM
