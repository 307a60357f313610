"""What is boto3's: the service model, its validation, its errors; all of it botocore's own."""

import itertools
import os
from functools import cache
from typing import Any, Final

from paceline.errors import ConfigError, DynamoDBError, OutcomeUnknown, Unavailable

try:
    from botocore import xform_name
    from botocore.client import BaseClient, ClientMeta
    from botocore.config import Config
    from botocore.errorfactory import ClientExceptionsFactory
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        HTTPClientError,
        OperationNotPageableError,
        ParamValidationError,
    )
    from botocore.hooks import HierarchicalEmitter, first_non_none_response
    from botocore.loaders import Loader
    from botocore.model import ServiceModel
    from botocore.paginate import Paginator
    from botocore.parsers import ResponseParserError
    from botocore.validate import ParamValidator
    from botocore.waiter import WaiterModel, create_waiter_with_client
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ConfigError(
        "the SDK needs botocore, for boto3's own errors and validation: "
        "pip install 'paceline[client]'"
    ) from error

__all__ = [
    "BaseClient",
    "BotoCoreError",
    "ClientError",
    "ClientMeta",
    "Config",
    "EndpointConnectionError",
    "HTTPClientError",
    "HierarchicalEmitter",
    "OperationNotPageableError",
    "Paginator",
    "ParamValidationError",
    "ResponseParserError",
    "create_waiter_with_client",
    "first_non_none_response",
]


@cache
def service_model() -> Any:
    return ServiceModel(Loader().load_service_model("dynamodb", "service-2"), "dynamodb")


@cache
def operations() -> dict[str, str]:
    """boto3's methods to operations, all of them."""
    return {xform_name(name): name for name in service_model().operation_names}


def method_of(operation: str) -> str:
    return str(xform_name(operation))


def token_of(operation: str) -> str | None:
    """The parameter with the token under which DynamoDB does it once, by botocore's model."""
    return next(iter(service_model().operation_model(operation).idempotent_members), None)


@cache
def paginator_configs() -> dict[str, dict[str, Any]]:
    found: Any = Loader().load_service_model("dynamodb", "paginators-1")
    configs: dict[str, dict[str, Any]] = found["pagination"]
    return configs


@cache
def waiter_model() -> Any:
    return WaiterModel(Loader().load_service_model("dynamodb", "waiters-2"))


@cache
def waiter_names() -> dict[str, str]:
    """Names as boto3's ``get_waiter`` takes them, to those of the model."""
    return {xform_name(name): name for name in waiter_model().waiter_names}


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


_validator: Final = ParamValidator()


@cache
def _input_shape(operation: str) -> Any:
    return service_model().operation_model(operation).input_shape


def validate(operation: str, params: dict[str, Any]) -> None:
    """ParamValidationError in botocore's words."""
    report = _validator.validate(params, _input_shape(operation))
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())


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


def client_error(error: DynamoDBError, operation: str, attempts: int) -> Exception:
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
