"""Requests and answers of very many values: botocore takes ten microseconds for each on the loop.

Such a request is written off the loop, and botocore only puts its head together; such an answer is
read there. What botocore makes of a value of DynamoDB's JSON is the value, apart from binary ones.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from cluster.transport.large_work import INLINE_VALUES_MAX, LargeWork
from node.values import json_slices
from node.values.size import holds_more
from paceline.types import Params

ANSWER_INLINE_BYTES_MAX = 64 * 1024
"""Read on the loop: some 7 000 of the smallest values."""

_body: ContextVar[bytes | None] = ContextVar("body", default=None)
"""Of the request that is about to be made."""


class Serializer:
    """In the place of a botocore client's own."""

    def __init__(self, serializer: Any) -> None:
        self._serializer = serializer

    def serialize_to_request(self, parameters: Params, operation_model: Any) -> dict[str, Any]:
        body = _body.get()
        written = parameters if body is None else {}
        request: dict[str, Any] = self._serializer.serialize_to_request(written, operation_model)
        if body is not None:
            request["body"] = body
        return request


async def called(work: LargeWork, method: Any, params: Params) -> Any:
    """What ``method`` of a client with a ``Serializer`` answers."""
    if not holds_more(params, INLINE_VALUES_MAX):
        return await method(**params)
    token = _body.set(await work.run(lambda: json_slices.dumps(params)))
    try:
        return await method(**params)
    finally:
        _body.reset(token)
