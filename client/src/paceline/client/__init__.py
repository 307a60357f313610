"""The SDK: boto3's DynamoDB interface on a Paceline cluster.

``AsyncClient`` and ``Client`` have the methods, parameters, results and exceptions of boto3's
DynamoDB client, ``resource()`` those of ``boto3.resource("dynamodb")``. See docs/clients.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paceline.client.aio.client import AsyncClient
    from paceline.client.sync.client import Client, resource

__all__ = ["AsyncClient", "Client", "resource"]

_HOMES = {"AsyncClient": "aio.client", "Client": "sync.client", "resource": "sync.client"}


def __getattr__(name: str) -> Any:
    # Late, so that the core can be had without botocore.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module(f"{__name__}.boto")  # which says so if botocore is missing
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
