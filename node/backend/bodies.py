"""Bodies of requests and answers, in the place of what botocore does with them.

It takes ten microseconds on the loop for each value. A request of very many is therefore written
off the loop, and botocore only puts its head together; such an answer is read there. What botocore
makes of a value of DynamoDB's JSON is the value, apart from binary ones.

It also turns a body with status 200 that is not JSON into an empty result, which a cache would keep
as "there is no item" and a write path take for success. Here that is an error. What is not
DynamoDB's at all ``session`` has refused before.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

from aiobotocore.parsers import AioJSONParser, AioResponseParserFactory
from botocore.parsers import ResponseParserError

from cluster.transport.json_values import values_in
from cluster.transport.large_work import INLINE_VALUES_MAX, LargeWork
from node.values import json_slices
from node.values.size import holds_more
from paceline.types import Params

ANSWER_INLINE_BYTES_MAX = 64 * 1024
"""Read on the loop: some 7 000 of the smallest values."""
ANSWER_LOOKED_AT_BYTES_MAX = 4 * ANSWER_INLINE_BYTES_MAX
"""Up to this size an answer of few values is read there, too: those are counted first."""


def takes_long(body: bytes) -> bool:
    """Whether to read an answer takes long."""
    size = len(body)
    if size <= ANSWER_INLINE_BYTES_MAX:
        return False
    return size > ANSWER_LOOKED_AT_BYTES_MAX or values_in(body) > INLINE_VALUES_MAX


_VALUE = "AttributeValue"
"""botocore's name of the shape."""
_SINGLE, _SETS = frozenset({"S", "N", "BOOL", "NULL"}), frozenset({"SS", "NS"})
"""Kinds of values that are in JSON what they are in results."""

ERROR_BODY = "Body"
"""Where a parsed error answer has its unparsed form; no member of an error of DynamoDB's is named
so."""

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


class StrictJSONParser(AioJSONParser):  # type: ignore[misc]
    def __init__(self, *args: Any, large_work: LargeWork, **options: Any) -> None:
        super().__init__(*args, **options)
        self._large_work = large_work

    async def parse(self, response: Any, shape: Any) -> Any:
        parse, large = super().parse, takes_long(response["body"])
        return await self._large_work.run_if(large, lambda: _ended(parse(response, shape)))

    def _handle_json_body(self, raw_body: bytes, shape: Any) -> Any:
        try:
            body = json_slices.loads(raw_body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise ResponseParserError("the answer with status 200 is not a JSON object")
        return self._parse_shape(shape, body)

    def _handle_structure(self, shape: Any, value: Any) -> Any:
        if shape.name == _VALUE:
            return self._attribute(shape, value)
        return super()._handle_structure(shape, value)

    def _attribute(self, shape: Any, value: Any) -> Any:
        """``value`` itself, in which only what holds bytes is another: botocore makes each anew,
        which takes ten times as long."""
        if type(value) is dict and len(value) == 1:
            ((kind, content),) = value.items()
            if kind == "L" and type(content) is list:
                for at, one in enumerate(content):
                    made = self._attribute(shape, one)
                    if made is not one:
                        content[at] = made
                return value
            if kind == "M" and type(content) is dict:
                for name, one in content.items():
                    made = self._attribute(shape, one)
                    if made is not one:
                        content[name] = made  # no new one: the dict's order and size stay
                return value
            if kind in _SINGLE and content is not None:
                return value
            if kind in _SETS and type(content) is list:
                return value
        return super()._handle_structure(shape, value)

    def _parse_body_as_json(self, body_contents: bytes) -> Any:
        """Of an error."""
        try:
            return json_slices.loads(body_contents)
        except (ValueError, RecursionError):
            return {"message": body_contents.decode(errors="replace")}

    def _do_error_parse(self, response: Any, shape: Any) -> Any:
        """With the answer as it came: front ends of the same protocol pass it on unchanged."""
        error = super()._do_error_parse(response, shape)
        error[ERROR_BODY] = bytes(response["body"])
        return error


def _ended(parsing: Coroutine[Any, Any, Any]) -> Any:
    """It awaits nothing: what is asynchronous in it is meant for streams of events."""
    try:
        parsing.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("aiobotocore's parser waits for something")


class StrictParserFactory(AioResponseParserFactory):  # type: ignore[misc]
    """For an AioSession's component ``response_parser_factory``."""

    def __init__(self, large_work: LargeWork) -> None:
        super().__init__()
        self._large_work = large_work

    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "json":
            return StrictJSONParser(large_work=self._large_work, **self._defaults)
        return super().create_parser(protocol_name)
