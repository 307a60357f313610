"""Which calls the methods of DAX's protocol carry. All others pass through it as requests of
DynamoDB's HTTP API (docs/dax-protocol.md section 14)."""

from typing import Final, Protocol

from paceline.dax.methods import Method
from paceline.dax.request_types import RawRequest
from paceline.errors import DynamoDBError, PacelineError
from paceline.types import Params, Result


class Passthrough(Protocol):
    """Writes and reads the JSON of such requests."""

    def encode(self, operation: str, params: Params) -> RawRequest:
        """``params``: validated, in boto3's low-level form."""
        ...

    def decode(self, operation: str, body: bytes) -> Result:
        """The result of a reply's body without an error."""
        ...

    def error_of(self, body: bytes) -> PacelineError | None:
        """The error that a reply's body says. ProtocolError."""
        ...


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


def needs_passthrough(operation: str, params: Params) -> bool:
    """True if DAX's own methods cannot carry the call."""
    carried = CARRIED_PARAMETERS.get(operation)
    if carried is None:
        return True
    return not carried.issuperset(params) and (
        params.get(ON_FAILURE, "NONE") != "NONE" or not params.keys() <= {*carried, ON_FAILURE}
    )


def is_unknown_method(error: PacelineError) -> bool:
    """True if the node says so that it does not know raw requests. Then it has done nothing."""
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
