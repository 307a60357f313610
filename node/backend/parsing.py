"""An answer that is no JSON must not look like 'no such item'.

botocore turns a body with status 200 that is not JSON into an empty result, which a cache would
keep as "there is no item" and a write path take for success. What is not DynamoDB's at all
``session`` has refused before.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from aiobotocore.parsers import AioJSONParser, AioResponseParserFactory
from botocore.parsers import ResponseParserError

from cluster.transport.large_work import LargeWork
from node.backend.large_bodies import ANSWER_INLINE_BYTES_MAX
from node.values import json_slices

ERROR_BODY = "Body"
"""Where a parsed error answer has its unparsed form; no member of an error of DynamoDB's is named
so."""


class StrictJSONParser(AioJSONParser):  # type: ignore[misc]
    def __init__(self, *args: Any, large_work: LargeWork, **options: Any) -> None:
        super().__init__(*args, **options)
        self._large_work = large_work

    async def parse(self, response: Any, shape: Any) -> Any:
        if len(response["body"]) <= ANSWER_INLINE_BYTES_MAX:
            return await super().parse(response, shape)
        parse = super().parse
        return await self._large_work.run(lambda: _ended(parse(response, shape)))

    def _handle_json_body(self, raw_body: bytes, shape: Any) -> Any:
        try:
            body = json_slices.loads(raw_body.decode())
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise ResponseParserError("the answer with status 200 is not a JSON object")
        return self._parse_shape(shape, body)

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
