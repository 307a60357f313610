"""What both clients have in common: everything but the waiting."""

import copy
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any, Self

from paceline.client import interface
from paceline.client.core import Core
from paceline.client.legacy import LEGACY_OPERATIONS, modernize
from paceline.client.settings import OnRequest, Settings
from paceline.types import Params


def with_callbacks(settings: Settings, on_request: OnRequest | Iterable[OnRequest]) -> Settings:
    added = (on_request,) if callable(on_request) else tuple(on_request)
    return replace(settings, on_request=(*settings.on_request, *added)) if added else settings


class Interface:
    """The part of boto3's client that does not depend on how it waits."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._read_deadline_s = core.settings.read_deadline_s
        self._write_deadline_s = core.settings.write_deadline_s

    @property
    def exceptions(self) -> Any:
        """boto3's: ``client.exceptions.ConditionalCheckFailedException``; and two of our own."""
        return interface.exceptions()

    def with_options(self, *, deadline_s: float) -> Self:
        """The same client, connections included, with another deadline for its calls."""
        other = copy.copy(self)
        other._read_deadline_s = other._write_deadline_s = deadline_s
        return other

    def stats(self) -> dict[str, Any]:
        """Counters since the client was made, and the nodes as it knows them."""
        router = self._core.router
        return {
            **asdict(self._core.counters),
            "away": self._core.away,
            "zone": router.zone,
            "nodes": [
                {
                    "name": state.node.name,
                    "zone": state.node.zone,
                    "primary": state.node.primary,
                    "outstanding": state.outstanding,
                    "latency_s": state.latency_s,
                    "healthy": state.node.usable and state.breaker.closed,
                }
                for state in list(router.nodes.values())
            ],
        }

    def can_paginate(self, operation_name: str) -> bool:
        return operation_name in ("query", "scan")

    def _pageable(self, operation_name: str) -> tuple[dict[str, Any], Any]:
        if not self.can_paginate(operation_name):
            raise interface.OperationNotPageableError(operation_name=operation_name)
        operation = interface.OPERATIONS[operation_name]
        model = interface.service_model().operation_model(operation)
        return interface.paginator_config(operation), model

    def _deadline_s(self, operation: str) -> float:
        if operation in interface.READ_OPERATIONS:
            return self._read_deadline_s
        return self._write_deadline_s

    def _prepared(self, operation: str, params: Params) -> Params:
        """Validated as botocore does it; never the caller's own dictionary where it is changed."""
        interface.validate(operation, params)
        if operation in LEGACY_OPERATIONS:
            return modernize(operation, params)
        if operation == "TransactWriteItems" and "ClientRequestToken" not in params:
            return {**params, "ClientRequestToken": str(uuid.uuid4())}
        return params

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("_") and name in interface.other_operations():
            raise AttributeError(
                f"{name} is not one of DynamoDB's data operations, which are all that goes through "
                "the cluster: use boto3.client('dynamodb') for it"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
