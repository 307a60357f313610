"""Paceline for applications: ``Client``, ``AsyncClient``, ``resource()`` (docs/clients.md)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paceline.client.aio.client import AsyncClient
    from paceline.client.sync.client import Client, resource

__all__ = ["AsyncClient", "Client", "resource"]


def __getattr__(name: str) -> Any:
    # Late: the servers and the command line need neither these nor botocore.
    if name in __all__:
        return getattr(import_module("paceline.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
