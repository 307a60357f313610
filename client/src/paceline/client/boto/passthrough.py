"""What the DAX protocol has no place for, as requests of the HTTP API inside of it
(docs/dax-protocol.md section 14). botocore writes and reads the JSON."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from botocore.parsers import ResponseParserFactory
from botocore.serialize import create_serializer

from paceline.client.boto import model as interface
from paceline.dax.methods import Method
from paceline.dax.request_types import RawRequest
from paceline.dax.responses import RawReply, read_raw_reply
from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError
from paceline.types import Params, Result

ON_FAILURE: Final = "ReturnValuesOnConditionCheckFailure"

_KEYED: Final = {"TableName", "ReturnConsumedCapacity", "ExpressionAttributeNames"}
_READ: Final = {*_KEYED, "ConsistentRead", "ProjectionExpression", "AttributesToGet"}
_CHANGE: Final = {
    *_KEYED,
    "ConditionExpression",
    "ConditionalOperator",
    "Expected",
    "ExpressionAttributeValues",
    "ReturnItemCollectionMetrics",
    "ReturnValues",
}
_PAGE: Final = {
    *_READ,
    "ConditionalOperator",
    "ExclusiveStartKey",
    "ExpressionAttributeValues",
    "FilterExpression",
    "IndexName",
    "Limit",
    "Select",
}
CARRIED_PARAMETERS: Final[dict[str, frozenset[str]]] = {
    operation: frozenset(names)
    for operation, names in {
        "GetItem": {*_READ, "Key"},
        "BatchGetItem": {"RequestItems", "ReturnConsumedCapacity"},
        "Query": {
            *_PAGE,
            "KeyConditionExpression",
            "KeyConditions",
            "QueryFilter",
            "ScanIndexForward",
        },
        "Scan": {*_PAGE, "ScanFilter", "Segment", "TotalSegments"},
        "TransactGetItems": {"TransactItems", "ReturnConsumedCapacity"},
        "PutItem": {*_CHANGE, "Item"},
        "UpdateItem": {*_CHANGE, "Key", "UpdateExpression", "AttributeUpdates"},
        "DeleteItem": {*_CHANGE, "Key"},
        "BatchWriteItem": {
            "RequestItems",
            "ReturnConsumedCapacity",
            "ReturnItemCollectionMetrics",
        },
        "TransactWriteItems": {
            "TransactItems",
            "ReturnConsumedCapacity",
            "ReturnItemCollectionMetrics",
            "ClientRequestToken",
        },
    }.items()
}
"""Parameters that DAX's own methods carry, legacy ones as expressions."""


def is_needed(operation: str, params: Params) -> bool:
    """Whether DAX's own methods cannot say this."""
    carried = CARRIED_PARAMETERS.get(operation)
    if carried is None:
        return True
    return not carried.issuperset(params) and (
        params.get(ON_FAILURE, "NONE") != "NONE" or not params.keys() <= {*carried, ON_FAILURE}
    )


@cache
def _serializer() -> Any:
    return create_serializer("json", include_validation=False)


@cache
def _parser() -> Any:
    factory: Callable[[], Any] = ResponseParserFactory
    return factory().create_parser("json")


def http_request(operation: str, params: Params) -> dict[str, Any]:
    """botocore's dictionary of the request: ``headers``, ``body`` and the rest."""
    model = interface.service_model().operation_model(operation)
    made: dict[str, Any] = _serializer().serialize_to_request(params, model)
    return made


def encode(operation: str, params: Params) -> RawRequest:
    """``params``: validated, in boto3's low-level form."""
    made = http_request(operation, params)
    return RawRequest(made["headers"]["X-Amz-Target"], made["body"])


def decode(operation: str, body: bytes) -> Result:
    """The result of a reply's body without an error."""
    shape = interface.service_model().operation_model(operation).output_shape
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
    shape = interface.service_model().shape_for_error_code(code)
    if shape is not None:
        # A modelled error's members stand beside its code.
        members = _parser().parse(_response(reply), shape)
        members.pop("ResponseMetadata", None)
        parsed.update(members)
    return interface.ParsedError(parsed, reply.status)


def _parsed(reply: RawReply, shape: Any) -> Result:
    parsed: Result = _parser().parse(_response(reply), shape)
    made_up = interface.metadata(1, reply.status, reply.request_id)
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


def is_unknown_method(error: PacelineError) -> bool:
    """Whether a node answers so that it does not know raw requests: it has done nothing."""
    return (
        isinstance(error, DynamoDBError)
        and error.name == "ValidationException"
        and str(int(Method.RAW_REQUEST)) in error.message
    )


def too_old(operation: str, node: str) -> DynamoDBError:
    return DynamoDBError(
        "UnknownOperationException",
        f"{node} is of a version that takes only what the DAX protocol has a place for, which "
        f"{operation} with these parameters is not: upgrade the node, or ask by its HTTP endpoint",
    )
