"""A cached item may come by the primary's stream before its attribute list comes by the log."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from node.frontends.dynamodb_http.handler import HttpHandler
from node.frontends.dynamodb_http.request import HttpRequest
from node.frontends.grpc_data.reads import Reads
from node.tables.attribute_lists import UnknownAttributeList
from paceline.types import Params, Result
from tests.unit.node.fakes import TABLE

UNKNOWN = 4711
PARAMS = {"TableName": "table", "Key": {"id": {"S": "x"}}}


class Operations:
    """As much of a node's operations as reads of one cached item touch."""

    def __init__(self) -> None:
        entry = SimpleNamespace(item=b"", form=None)
        self.known = False
        self.learned: list[int] = []
        self.knowledge = self
        self.reads = SimpleNamespace(
            consistent=frozenset(), entry=lambda key: entry, keep_form=lambda entry, form: None
        )
        self.tables = self

    def peek(self, table: str) -> Any:
        return TABLE

    async def schema(self, table: str) -> Any:
        return TABLE

    async def learn(self, list_id: int) -> None:
        self.learned.append(list_id)
        self.known = True

    def get_result(self, found: Any, params: Params) -> Result:
        if not self.known:
            raise UnknownAttributeList(UNKNOWN)
        return {"Item": {"id": {"S": "x"}}}

    async def get(self, params: Params, deadline: float) -> tuple[Result, bool]:
        return self.get_result(None, params), True


async def test_by_http_the_fast_way_leaves_it_to_the_slow_one() -> None:
    operations: Any = Operations()
    handler = HttpHandler(operations, lambda: 0.0)
    request = HttpRequest("POST", "/", "DynamoDB_20120810.GetItem", json.dumps(PARAMS).encode())
    assert handler.fast(request) is None
    operations.known = True
    reply = handler.fast(request)
    assert reply is not None
    assert reply.cache == "hit"


async def test_by_grpc_the_list_is_waited_for() -> None:
    """An error would blame the caller, who knows nothing of attribute lists."""
    operations: Any = Operations()
    result, cache = await Reads(operations).execute("GetItem", PARAMS, 10.0)
    assert operations.learned == [UNKNOWN]
    assert (result, cache) == ({"Item": {"id": {"S": "x"}}}, "hit")
