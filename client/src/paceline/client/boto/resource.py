"""boto3's own resource classes (``Table``, conditions, types, batch writer) on a client."""

from collections.abc import Callable
from typing import Any

from paceline.errors import ConfigError


def resource_on(make_client: Callable[[], Any]) -> Any:
    """``boto3.resource("dynamodb")`` on the client that ``make_client`` makes.

    A context manager, with ``close()``; ``resource.meta.client`` is the client underneath.
    """
    try:
        from boto3.session import Session  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "paceline.resource() needs boto3, whose resources it gives: "
            "pip install 'paceline[boto3]'"
        ) from error

    client = make_client()
    base: Any = Session

    class _Session(base):  # type: ignore[misc]
        def client(self, *_: Any, **__: Any) -> Any:
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
