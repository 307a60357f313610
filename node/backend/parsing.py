"""An answer that is no JSON must not look like 'no such item'.

botocore turns a body with status 200 that is not JSON into an empty result, which a cache would
keep as "there is no item" and a write path take for success. What is not DynamoDB's at all
``session`` has refused before.
"""

from __future__ import annotations

import json
from typing import Any

from aiobotocore.parsers import AioJSONParser, AioResponseParserFactory
from botocore.parsers import ResponseParserError

ERROR_BODY = "Body"
"""Where a parsed error answer has its unparsed form; no member of an error of DynamoDB's is named
so."""


class StrictJSONParser(AioJSONParser):  # type: ignore[misc]
    def _handle_json_body(self, raw_body: bytes, shape: Any) -> Any:
        try:
            body = json.loads(raw_body)
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


class StrictParserFactory(AioResponseParserFactory):  # type: ignore[misc]
    """For an AioSession's component ``response_parser_factory``."""

    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "json":
            return StrictJSONParser(**self._defaults)
        return super().create_parser(protocol_name)
