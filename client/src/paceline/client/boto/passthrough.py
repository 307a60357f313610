"""Requests of the HTTP API in place of DAX's methods: botocore writes and reads their JSON. The
module is the ``Passthrough`` of a core."""

from collections.abc import Callable
from functools import cache
from typing import Any

from botocore.parsers import ResponseParserFactory
from botocore.serialize import create_serializer

from paceline.client.boto.errors import ParsedError, metadata
from paceline.client.boto.model import service_model
from paceline.dax.request_types import RawRequest
from paceline.dax.responses import RawReply, read_raw_reply
from paceline.errors import OutcomeUnknown, PacelineError
from paceline.types import Params, Result


@cache
def _serializer() -> Any:
    return create_serializer("json", include_validation=False)


@cache
def _parser() -> Any:
    factory: Callable[[], Any] = ResponseParserFactory
    return factory().create_parser("json")


def http_request(operation: str, params: Params) -> dict[str, Any]:
    """botocore's dictionary of the request: ``headers``, ``body`` and the rest."""
    model = service_model().operation_model(operation)
    made: dict[str, Any] = _serializer().serialize_to_request(params, model)
    return made


def encode(operation: str, params: Params) -> RawRequest:
    """``params``: validated, in boto3's low-level form."""
    made = http_request(operation, params)
    return RawRequest(made["headers"]["X-Amz-Target"], made["body"])


def decode(operation: str, body: bytes) -> Result:
    """The result of a reply's body without an error."""
    shape = service_model().operation_model(operation).output_shape
    return _parsed(read_raw_reply(body), shape)


def error_of(body: bytes) -> PacelineError | None:
    """The error that a reply's body says. ProtocolError."""
    reply = read_raw_reply(body)
    if reply.status < 300:
        return None
    parsed = _parsed(reply, None)
    error = parsed.get("Error", {})
    code, message = error.get("Code", ""), error.get("Message", "")
    if code == "OutcomeUnknownException":
        return OutcomeUnknown(message)
    shape = service_model().shape_for_error_code(code)
    if shape is not None:
        # A modelled error's members stand beside its code.
        members = _parser().parse(_response(reply), shape)
        members.pop("ResponseMetadata", None)
        parsed.update(members)
    return ParsedError(parsed, reply.status)


def _parsed(reply: RawReply, shape: Any) -> Result:
    parsed: Result = _parser().parse(_response(reply), shape)
    made_up = metadata(1, reply.status, reply.request_id)
    parsed["ResponseMetadata"] = {**made_up, **parsed.get("ResponseMetadata", {})}
    return parsed


def _response(reply: RawReply) -> dict[str, Any]:
    """As botocore's parsers want it."""
    headers = {"content-type": "application/x-amz-json-1.0", "content-length": str(len(reply.body))}
    if reply.cache is not None:
        headers["x-paceline-cache"] = reply.cache
    if reply.request_id is not None:
        headers["x-amzn-requestid"] = reply.request_id
    return {"status_code": reply.status, "headers": headers, "body": reply.body, "context": {}}
