"""The base of both clients: everything that does not wait."""

import copy
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import Any, Self

from botocore.client import ClientMeta
from botocore.exceptions import OperationNotPageableError

from paceline.client.boto import errors, model
from paceline.client.core.call_flow import Core
from paceline.client.events import Hooks
from paceline.dynamodb_operations import OPERATIONS, only_reads
from paceline.types import Params


class BaseClient:
    """The part of boto3's client that does not depend on how it waits.

    The data operations are methods of the two clients; all others of DynamoDB's are made here
    when they are asked for, as boto3 makes all of them.
    """

    def __init__(self, core: Core, config: Any) -> None:
        self._core = core
        self._config = config
        self._hooks = Hooks(core.name)
        self._kinds = self._hooks.events.kinds
        self._read_deadline_s = core.settings.read_deadline_s
        self._write_deadline_s = core.settings.write_deadline_s

    @property
    def exceptions(self) -> Any:
        """boto3's: ``client.exceptions.ConditionalCheckFailedException``; and two of our own."""
        return errors.exceptions()

    @cached_property
    def meta(self) -> Any:
        """boto3's: ``events``, ``config``, ``service_model``, ``region_name`` and the rest."""
        return ClientMeta(
            self._hooks.events,
            self._config,
            self._core.name,
            model.service_model(),
            dict(model.operations()),
            "aws",
        )

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
        return model.operations().get(operation_name) in model.paginator_configs()

    def _pageable(self, operation_name: str) -> tuple[dict[str, Any], Any]:
        if not self.can_paginate(operation_name):
            raise OperationNotPageableError(operation_name=operation_name)
        operation = model.operations()[operation_name]
        described = model.service_model().operation_model(operation)
        return model.paginator_configs()[operation], described

    @property
    def waiter_names(self) -> list[str]:
        return list(model.waiter_names())

    @staticmethod
    def _waiter_name(name: str) -> str:
        """The model's name of a waiter, for boto3's."""
        found = model.waiter_names().get(name)
        if found is None:
            raise ValueError(f"Waiter does not exist: {name}")
        return found

    def _deadline_s(self, operation: str, params: Params) -> float:
        if only_reads(operation, params):
            return self._read_deadline_s
        return self._write_deadline_s

    def _prepared(self, operation: str, params: Params) -> Params:
        """Validates as botocore does, and adds a token where the operation takes one, in a copy."""
        model.validate(operation, params)
        known = OPERATIONS.get(operation)
        token = model.token_of(operation) if known is None else known.token
        if token is not None and token not in params:
            params = {**params, token: str(uuid.uuid4())}
        return params

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("_"):
            operation = model.operations().get(name)
            if operation is not None:
                return self._method(name, operation)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _method(self, name: str, operation: str) -> Callable[..., Any]:
        def method(**params: Any) -> Any:
            return self._call(operation, params)

        method.__name__ = name
        method.__qualname__ = f"{type(self).__name__}.{name}"
        return method

    def _context(self) -> dict[str, Any]:
        """What botocore tells event handlers of a client; they may keep things of theirs in it."""
        return {"client_region": self.meta.region_name, "client_config": self.meta.config}

    def _call(self, operation: str, params: Params) -> Any:
        raise NotImplementedError

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *model.operations()})
