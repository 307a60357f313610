"""An answer that is not DynamoDB's must not look like 'no such item'.

botocore turns a body with status 200 that is not JSON (of a proxy, or cut short) into an empty
result, which a cache would keep as "there is no item" and a write path take for success.
"""

from __future__ import annotations

import json
from typing import Any

from aiobotocore.parsers import AioJSONParser, AioResponseParserFactory
from botocore.parsers import ResponseParserError


class StrictJSONParser(AioJSONParser):  # type: ignore[misc]
    def _handle_json_body(self, raw_body: bytes, shape: Any) -> Any:
        try:
            body = json.loads(raw_body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ResponseParserError("the answer with status 200 is not a JSON object")
        return self._parse_shape(shape, body)


class StrictParserFactory(AioResponseParserFactory):  # type: ignore[misc]
    """For an AioSession's component ``response_parser_factory``."""

    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "json":
            return StrictJSONParser(**self._defaults)
        return super().create_parser(protocol_name)
