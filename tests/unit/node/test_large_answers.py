"""Answers of many values are decoded and encoded on another thread, and are the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest

from node.frontends.json_api import handler as json_handler
from node.frontends.json_api.handler import JsonHandler
from node.frontends.json_api.request import JsonRequest
from node.reads.queries import KeptResult
from node.reads.reading import ReadAnswer
from node.values import json_slices

FEW: dict[str, Any] = {"Items": [{"l": {"L": [{"N": "7"}] * 10}}], "Count": 1}
MANY: dict[str, Any] = {"Items": [{"l": {"L": [{"N": "7"}] * 20_000}}], "Count": 1}


class Answering:
    """Operations that answer reads."""

    def __init__(self) -> None:
        self.reads = SimpleNamespace(items=None)
        self.as_callers = None
        self.answer: ReadAnswer | None = None

    async def read(self, *_: object) -> ReadAnswer:
        assert self.answer is not None
        return self.answer


def kept(result: dict[str, Any]) -> KeptResult:
    return KeptResult(msgpack.packb(result), is_large=result is MANY)


@pytest.mark.parametrize(("result", "inline"), [(FEW, True), (MANY, False)])
@pytest.mark.parametrize(
    "answer",
    [
        lambda result: ReadAnswer("miss", result),
        lambda result: ReadAnswer("hit", kept=kept(result)),
    ],
)
async def test_by_json(
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[Any], ReadAnswer],
    result: dict[str, Any],
    inline: bool,
) -> None:
    encoded_inline: list[bool] = []

    def noted(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        def call(value: Any) -> bytes:
            encoded_inline.append(threading.current_thread() is threading.main_thread())
            return encode(value)

        return call

    monkeypatch.setattr(json_handler, "to_json", noted(json_handler.to_json))
    monkeypatch.setattr(json_slices, "dumps", noted(json_slices.dumps))
    operations = Answering()
    operations.answer = answer(result)
    handler = JsonHandler(operations, lambda: 0.0)  # type: ignore[arg-type]
    body = json.dumps({"TableName": "t", "KeyConditionExpression": "a = :v"}).encode()
    for _ in range(2):
        reply = await handler.handle(JsonRequest("DynamoDB_20120810.Query", body))
        assert json.loads(reply.body) == result
    assert set(encoded_inline) == {inline}
