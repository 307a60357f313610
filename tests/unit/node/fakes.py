"""Stand-ins for what a node's paths talk to: DynamoDB, tables, attribute lists, time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cluster.transport.large_work import LargeWork
from node.backend.client import SendForbidden, WriteResult
from node.tables.schemas import Tables
from node.tables.table_info import IndexInfo, TableInfo
from paceline.dax.attribute_lists import list_id
from paceline.types import KeyAttribute, KeySchema, Params, Result

SCHEMA = KeySchema(KeyAttribute("id", "S"))
TABLE = TableInfo(
    "t",
    SCHEMA,
    "table-1",
    "ACTIVE",
    {"by-city": IndexInfo("GSI", KeySchema(KeyAttribute("city", "S")))},
)


class Clock:
    def __init__(self, start: float = 100.0) -> None:
        self.time = start

    def __call__(self) -> float:
        return self.time


class WatchedWork(LargeWork):
    """``pieces``: how many were run. ``gone``: what was let go."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0
        self.gone: list[object] = []

    async def run(self, work: Callable[[], Any]) -> Any:
        self.pieces += 1
        return await super().run(work)

    def let_go(self, values: list[object]) -> None:
        self.gone += values
        super().let_go(list(values))


class _Silent:
    """DynamoDB, which these tables never ask."""

    async def control(
        self, operation: str, params: Params, deadline: float | None = None
    ) -> Result:
        raise AssertionError("it was asked")

    def observe_errors(self, observer: Any) -> None: ...


class FakeTables(Tables):
    """Every table is ``TABLE``, unless DynamoDB answers with ``error``."""

    def __init__(self) -> None:
        super().__init__(_Silent(), check_s=60.0, on_changed=lambda table, cause: None)
        self.error: Exception | None = None
        self.told = TABLE
        """What DynamoDB says when it is asked anew."""

    async def schema(self, table: str) -> TableInfo:
        if self.error is not None:
            raise self.error
        return TABLE

    async def confirmed(self, table: str) -> TableInfo:
        await self.schema(table)
        return self.told

    def peek(self, table: str) -> TableInfo | None:
        return TABLE if self.error is None else None

    def doubt(self, table: str) -> None: ...


class FakeAgent:
    """Attribute lists as the replicated log has them; every definition counts as a commit."""

    def __init__(self) -> None:
        self.lists: dict[int, tuple[str, ...]] = {}
        self.commits = 0

    def id_of(self, names: tuple[str, ...]) -> int | None:
        if not names:
            return 1
        return next((number for number, known in self.lists.items() if known == names), None)

    def names_of(self, number: int) -> tuple[str, ...] | None:
        return () if number == 1 else self.lists.get(number)

    async def define_attribute_list(self, names: tuple[str, ...], timeout_s: float) -> int:
        self.commits += 1
        number = list_id(names)
        self.lists[number] = names
        return number


Answer = Callable[[str, Params], Awaitable[Any]]


class FakeBackend:
    """``read_answer`` and ``write_answer`` decide; calls are recorded as (operation, params)."""

    def __init__(self) -> None:
        self.reads: list[tuple[str, Params]] = []
        self.writes: list[tuple[str, Params]] = []
        self.read_answer: Answer = self._nothing
        self.connections = asyncio.Event()
        """While it is not set, requests wait for a connection."""
        self.connections.set()
        self.write_answer: Answer = self._done

    async def read(
        self,
        operation: str,
        params: Params,
        deadline: float,
        on_sent: Callable[[], None] | None = None,
    ) -> Result:
        await self.connections.wait()
        if on_sent is not None:
            on_sent()
        self.reads.append((operation, params))
        result: Result = await self.read_answer(operation, params)
        return result

    attempt = read

    @property
    def is_full(self) -> bool:
        return not self.connections.is_set()

    async def write(
        self, operation: str, params: Params, deadline: float, may_send: Callable[[], bool]
    ) -> WriteResult:
        if not may_send():
            return WriteResult(None, SendForbidden("the lease was gone"), ambiguous=False)
        self.writes.append((operation, params))
        result: WriteResult = await self.write_answer(operation, params)
        return result

    @staticmethod
    async def _nothing(operation: str, params: Params) -> Result:
        return {}

    @staticmethod
    async def _done(operation: str, params: Params) -> WriteResult:
        return WriteResult({}, None, ambiguous=False)
