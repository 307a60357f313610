"""``resource()``: boto3's own resource classes (``Table``, conditions, types, batch writer) on a
``Client``."""

from typing import Any

from paceline.client.sync.client import Client
from paceline.errors import ConfigError


def resource(*arguments: Any, **options: Any) -> Any:
    """``boto3.resource("dynamodb")`` on a cluster; arguments as ``Client``'s.

    A context manager, with ``close()``; ``resource.meta.client`` is the client underneath.
    """
    try:
        from boto3.session import Session  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "paceline.resource() needs boto3, whose resources it gives: "
            "pip install 'paceline[boto3]'"
        ) from error

    client = Client(*arguments, **options)
    base: Any = Session

    class _Session(base):  # type: ignore[misc]
        def client(self, *_: Any, **__: Any) -> Client:
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
