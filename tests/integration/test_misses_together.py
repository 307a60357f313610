"""Misses that go together, held against the same ones one by one: each ends in the same way."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.coherence.guard import Guard
from cluster.settings import CacheSettings, DynamoDBSettings
from node.backend.client import Backend
from node.cache.caches import Caches
from node.reads import misses as module
from node.reads.misses import Miss, Misses
from node.tables.attribute_lists import AttributeLists
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from paceline import clock
from paceline.errors import PacelineError
from paceline.types import Item, Key, KeyAttribute, KeySchema
from tests.support.dynamodb_ways import WAYS, either_way
from tests.support.embedded import Database, dynamodb, embedded_dynamodb  # noqa: F401
from tests.support.random_values import RandomValues
from tests.unit.node.fakes import FakeAgent

way = either_way(WAYS)

WAIT_S = 20.0
ROUNDS = 12
ITEMS = 40
TEXTS = ("", "x", "ü€😀", "a" * 3000, '"\\\n\x01', "B", "BS")
NUMBERS = ("0", "-1.5", "1E+20", "12345678901234567890.5", "-3")
NAMES = ("x", "B", "S", "ü", "n")
SCHEMA = KeySchema(KeyAttribute("id", "S"))


@pytest.fixture
async def backend(dynamodb: Database) -> AsyncIterator[Backend]:  # noqa: F811
    backend = Backend(DynamoDBSettings(endpoint=dynamodb.endpoint, credentials="dummy"))
    await backend.start()
    yield backend
    await backend.stop()


class Rig:
    """What one node asks, and keeps."""

    def __init__(self, backend: Backend) -> None:
        caches = Caches.from_settings(CacheSettings())
        self.guard = Guard(caches, 10.0)
        self.guard.extend(clock.now() + 1000, clock.now())
        agent: Any = FakeAgent()
        nobody: Any = None
        self.lists = AttributeLists(agent)
        upstream = Upstream(backend, nobody, self.lists)
        self.kept: dict[Key, bytes | None] = {}
        self.misses = Misses(upstream, self.guard, self._keep, clock.now)

    def _keep(self, key: Key, image: bytes | None, now: float) -> None:
        self.kept[key] = image

    async def end(self, table: TableInfo, attributes: Item, *, consistent: bool) -> str:
        key: Key = (table.name, repr(attributes).encode())
        if attributes.keys() == {"id"} and "S" in attributes["id"]:
            key = (table.name, attributes["id"]["S"].encode())
        fill = self.guard.begin_fill(key, clock.now())
        deadline = clock.now() + WAIT_S
        miss = Miss(table, key, attributes, consistent=consistent, fill=fill, deadline=deadline)
        try:
            found = await self.misses.ask(miss)
        except PacelineError as error:
            says = {name: getattr(error, name, None) for name in ("name", "message", "status")}
            return repr((type(error), says))
        if found.plain is not None:
            return repr(found.plain)
        return repr(None if found.item is None else self.lists.decode(found.item))


async def test_each_ends_as_its_own_getitem(
    dynamodb: Database,  # noqa: F811
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed = int(os.environ.get("PACELINE_DIFFERENTIAL_SEED") or random.randrange(1 << 30))
    print(f"PACELINE_DIFFERENTIAL_SEED={seed}")
    values = RandomValues(random.Random(seed), TEXTS, NUMBERS, NAMES)
    rng = values.rng
    table = TableInfo(dynamodb.create(), SCHEMA, "1", "ACTIVE", {})
    missing = TableInfo(f"{table.name}-missing", SCHEMA, "2", "ACTIVE", {})
    for n in range(ITEMS):
        if rng.random() < 0.7:
            item = {"id": {"S": str(n)}, "v": values.value(), "b": {"B": b"\x00\xff"}}
            dynamodb.client.put_item(TableName=table.name, Item=item)
    together, alone = Rig(backend), Rig(backend)
    groups = module.grouped
    for _ in range(ROUNDS):
        asked = [
            (
                missing if rng.random() < 0.05 else table,
                {"id": {"N": "1"}} if rng.random() < 0.03 else {"id": {"S": str(n)}},
                rng.random() < 0.3,
            )
            for n in rng.choices(range(ITEMS), k=rng.randint(2, 30))
        ]
        ends = await _ends(together, asked)
        with monkeypatch.context() as patch:
            patch.setattr(
                module, "grouped", lambda some, _: groups(some, {m.table.name for m in some})
            )
            assert ends == await _ends(alone, asked)
    assert together.kept == alone.kept
    assert together.misses.counters.batches > ROUNDS // 2
    assert not alone.misses.counters.batches
    assert not together.guard._fills._items


async def _ends(rig: Rig, asked: list[tuple[TableInfo, Item, bool]]) -> list[str]:
    reads = [rig.end(table, key, consistent=consistent) for table, key, consistent in asked]
    return await asyncio.gather(*reads)
