"""What the general way answers when an answer has no form in DAX's protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.transport.dax_interface import AddressFamily, ConnectionInfo
from node.cache.columns import Columns
from node.frontends.dax.handler import DaxHandler
from node.reads.items import Counters
from node.reads.reading import ReadAnswer
from paceline.dax.attribute_lists import EMPTY_LIST_ID
from paceline.dax.client.requests import to_request
from paceline.errors import Unavailable
from paceline.types import KeyAttribute, KeySchema, Params, Result

TEXTS = KeySchema(KeyAttribute("p", "S"), KeyAttribute("s", "S"))
PEER = ConnectionInfo("default", AddressFamily.IPV4, tls=False, peer="client")


class Front:
    """A table ``t`` of ``TEXTS``. ``result``: of every operation."""

    def __init__(
        self, result: Result, define: Callable[[tuple[str, ...]], Awaitable[int]] | None = None
    ) -> None:
        self.doubted: list[str] = []

        async def schemas(names: Any) -> dict[str, KeySchema]:
            return dict.fromkeys(names, TEXTS)

        async def read(*_: object) -> ReadAnswer:
            return ReadAnswer("miss", result)

        async def write(*_: object) -> Result:
            return result

        def list_id(names: tuple[str, ...]) -> int:
            if not names:
                return EMPTY_LIST_ID
            raise KeyError(names)

        operations: Any = SimpleNamespace(
            lists=SimpleNamespace(list_id=list_id, names_of=lambda id_: (), define=define),
            tables=SimpleNamespace(schemas=schemas, doubt=self.doubted.append),
            reads=SimpleNamespace(counters=Counters(), cacheability=SimpleNamespace(consistent=())),
            read=read,
            write=write,
            authorizer=None,
            as_callers=None,
        )
        items: Any = SimpleNamespace(tables={}, touch=None, columns=Columns())
        guard: Any = None
        self._handler = DaxHandler(operations, items, guard, lambda peer: b"", lambda: 0.0)

    async def __call__(self, operation: str, params: Params) -> bytes:
        request = to_request(operation, params, lambda table: TEXTS, lambda names: EMPTY_LIST_ID)
        return await self._handler.handle(request, PEER)


async def test_a_page_of_a_table_with_another_key_is_to_be_read_again() -> None:
    front = Front({"Items": [{"p": {"S": "a"}, "s": {"N": "1"}}], "Count": 1, "ScannedCount": 1})
    with pytest.raises(Unavailable, match="made anew"):
        await front("Scan", {"TableName": "t"})
    assert front.doubted == ["t"]


async def test_a_write_that_was_done_is_no_error_while_the_log_takes_no_names() -> None:
    async def define(names: tuple[str, ...]) -> int:
        raise Unavailable("no leader")

    front = Front({"Attributes": {"v": {"S": "1"}}}, define)
    reply = await front(
        "DeleteItem",
        {"TableName": "t", "Key": {"p": {"S": "a"}, "s": {"S": "b"}}, "ReturnValues": "ALL_OLD"},
    )
    assert reply == b"\x80\xf6"  # no error, and nothing to tell
