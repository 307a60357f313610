"""The exceptions that an application of boto3 knows: botocore's own, and two of Paceline's that are
botocore's, too. The module is the ``Errors`` of a core."""

import itertools
import os
from typing import Any, Final

from botocore.errorfactory import ClientExceptionsFactory
from botocore.exceptions import ClientError, EndpointConnectionError

from paceline.client.boto.model import service_model
from paceline.errors import DynamoDBError, OutcomeUnknown, Unavailable

_made: Final[dict[str, Any]] = {}


def exceptions() -> Any:
    """boto3's ``client.exceptions``; besides, ``OutcomeUnknownException`` and
    ``ClusterUnavailable``."""
    found: Any = _made.get("exceptions")
    if found is None:
        found = ClientExceptionsFactory().create_client_exceptions(service_model())
        found.OutcomeUnknownException = OutcomeUnknownException
        found.ClusterUnavailable = ClusterUnavailable
        # Whoever is first: what one thread raises is what another one catches.
        found = _made.setdefault("exceptions", found)
    return found


class OutcomeUnknownException(OutcomeUnknown, ClientError):
    """A write that may or may not have been made: both ``paceline.errors.OutcomeUnknown`` and
    botocore's ``ClientError``, with a code of its own, so that nothing repeats it by its code."""

    def __init__(self, message: str, operation: str, attempts: int) -> None:
        response: Any = {
            "Error": {"Code": "OutcomeUnknownException", "Message": message},
            "ResponseMetadata": metadata(attempts, None),
        }
        ClientError.__init__(self, response, operation)

    def __reduce__(self) -> Any:
        # botocore's makes a plain ClientError of it, since its own classes have no module.
        return _again, (self.response, self.operation_name)


def _again(response: Any, operation: str) -> OutcomeUnknownException:
    made = OutcomeUnknownException("", operation, 1)
    ClientError.__init__(made, response, operation)
    return made


class ClusterUnavailable(Unavailable, EndpointConnectionError):
    """No node answered in time, and nothing was changed: ``paceline.errors.Unavailable`` and what
    boto3 raises when it cannot connect."""

    fmt = "No answer from the cluster at {endpoint_url}: {error}"


class ParsedError(DynamoDBError):
    """An error answer of the HTTP API; ``response``: as botocore has parsed it."""

    def __init__(self, response: dict[str, Any], status: int) -> None:
        error = response.get("Error", {})
        super().__init__(error.get("Code", ""), error.get("Message", ""), status)
        self.response = response


_ID_PREFIX: Final = os.urandom(10).hex().upper()
_ids = itertools.count(1)


def metadata(attempts: int, status: int | None, request_id: str | None = None) -> dict[str, Any]:
    """boto3's ResponseMetadata. The protocol has no request ids on success: they count here."""
    found: dict[str, Any] = {
        "RequestId": request_id or f"{_ID_PREFIX}{next(_ids):012X}",
        "HTTPHeaders": {},
        "RetryAttempts": max(0, attempts - 1),
    }
    if status is not None:
        found["HTTPStatusCode"] = status
    return found


def outcome_unknown(message: str, operation: str, attempts: int) -> Exception:
    return OutcomeUnknownException(message, operation, attempts)


def unavailable(endpoint: str, reason: str) -> Exception:
    return ClusterUnavailable(endpoint_url=endpoint, error=reason)


def refused(error: DynamoDBError, operation: str, attempts: int) -> Exception:
    """DynamoDB's answer as botocore's ``ClientError`` of the modelled class."""
    if isinstance(error, ParsedError):
        error.response["ResponseMetadata"]["RetryAttempts"] = max(0, attempts - 1)
        parsed: Exception = exceptions().from_code(error.name)(error.response, operation)
        return parsed
    response: dict[str, Any] = {
        "Error": {"Message": error.message, "Code": error.name},
        "ResponseMetadata": metadata(attempts, error.status, error.request_id),
    }
    if _modelled(error.name):
        # botocore gives a modelled error's members beside its code.
        response["message"] = error.message
    if error.reasons is not None:
        response["CancellationReasons"] = error.reasons
        response["Message"] = response.pop("message", error.message)
    if error.item is not None:
        response["Item"] = error.item
    raised: Exception = exceptions().from_code(error.name)(response, operation)
    return raised


def _modelled(name: str) -> bool:
    return service_model().shape_for_error_code(name) is not None
