"""``resource()``: boto3's own resource classes (``Table``, conditions, types, batch writer) on a
``Client``."""

from typing import Any

from paceline.client import interface
from paceline.client.sync import Client
from paceline.errors import ConfigError
from paceline.types import Result

REGION = "us-east-1"
"""boto3 wants one; the cluster does not ask for it."""


class _Meta:
    """What boto3's resources ask of a client."""

    def __init__(self, region: str) -> None:
        self.events = interface.HierarchicalEmitter()
        self.service_model = interface.service_model()
        self.region_name = region
        self.partition = "aws"
        self.method_to_api_mapping = dict(interface.OPERATIONS)


class ResourceClient(Client):
    """A ``Client`` that boto3's resources can hook into: they turn Python values and conditions
    into DynamoDB's and back by botocore's events."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.meta = _Meta(options.get("region_name") or REGION)

    def _call(self, operation: str, params: dict[str, Any]) -> Result:
        events = self.meta.events
        model = self.meta.service_model.operation_model(operation)
        replies = events.emit(
            f"provide-client-params.dynamodb.{operation}", params=params, model=model, context={}
        )
        for _, given in replies:
            if given is not None:
                params = given
        events.emit(
            f"before-parameter-build.dynamodb.{operation}", params=params, model=model, context={}
        )
        result = super()._call(operation, params)
        events.emit(
            f"after-call.dynamodb.{operation}",
            http_response=None,
            parsed=result,
            model=model,
            context={},
        )
        return result


def resource(*arguments: Any, **options: Any) -> Any:
    """``boto3.resource("dynamodb")`` on a cluster; arguments as ``Client``'s.

    A context manager, with ``close()``; ``resource.meta.client`` is the client underneath.
    What creates or describes tables is not for the cluster: use boto3 for it.
    """
    try:
        from boto3.session import Session  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "paceline.resource() needs boto3, whose resources it gives: "
            "pip install 'paceline[boto3]'"
        ) from error

    client = ResourceClient(*arguments, **options)
    base: Any = Session

    class _Session(base):  # type: ignore[misc]
        def client(self, *_: Any, **__: Any) -> ResourceClient:
            return client

    session = _Session(region_name=client.meta.region_name)
    made = session.resource("dynamodb")
    made.__class__ = type("PacelineServiceResource", (type(made), _Closing), {})
    return made


class _Closing:
    meta: Any

    def __enter__(self) -> Any:
        self.meta.client.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self.meta.client.__exit__(*details)

    def close(self) -> None:
        self.meta.client.close()
