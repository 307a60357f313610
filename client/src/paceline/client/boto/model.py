"""botocore's model of DynamoDB: its operations, its paginators and waiters, its validation."""

from functools import cache
from typing import Any, Final

from botocore import xform_name
from botocore.exceptions import ParamValidationError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from botocore.waiter import WaiterModel


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


_validator: Final = ParamValidator()


@cache
def _input_shape(operation: str) -> Any:
    return service_model().operation_model(operation).input_shape


def validate(operation: str, params: dict[str, Any]) -> None:
    """ParamValidationError in botocore's words."""
    report = _validator.validate(params, _input_shape(operation))
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())
