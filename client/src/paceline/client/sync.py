"""``Client``: boto3's DynamoDB client for threads."""

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from paceline.client import interface, methods, zones
from paceline.client.options import Options
from paceline.client.settings import OnRequest, Settings
from paceline.client.threads import ThreadEngine
from paceline.errors import ConfigError
from paceline.types import Result


class Client(methods.Interface):
    """boto3's DynamoDB data operations on a cluster; any number of threads may share it.

    Methods, parameters, results and exceptions are boto3's. The first call connects; ``with`` or
    ``close`` ends it. A process that is forked afterwards may go on using it. Arguments:
    docs/clients.md.
    """

    def __init__(
        self,
        endpoint_url: str | Iterable[str] | None = None,
        *,
        settings: Settings | None = None,
        on_request: OnRequest | Iterable[OnRequest] = (),
        **options: Any,
    ) -> None:
        chosen = Options(endpoint_url, **options)
        settings = methods.with_callbacks(settings or Settings(), on_request)
        if settings.hedge_after_s is not None:
            raise ConfigError("hedge_after_s is for AsyncClient only: a thread waits for one node")
        seeds = chosen.seeds()
        core = chosen.core(seeds, settings, threading.Lock())
        super().__init__(core)
        self._engine = ThreadEngine(
            core,
            seeds,
            listener=chosen.listener,
            signer=chosen.signer(),
            fallback=chosen.make_fallback(core),
            find_zone=zones.zone_of_instance if chosen.zone == zones.METADATA else None,
        )

    def __enter__(self) -> Self:
        self._engine.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every connection; those in use when their replies are there."""
        self._engine.close()

    def get_paginator(self, operation_name: str) -> Any:
        """botocore's own paginator."""
        config, model = self._pageable(operation_name)
        paginator: Any = interface.Paginator
        return paginator(getattr(self, operation_name), config, model)

    def _call(self, operation: str, params: dict[str, Any]) -> Result:
        plain = self._core.plain_gets.encode(params) if operation == "GetItem" else None
        if plain is None:
            params = self._prepared(operation, params)
        deadline_s = self._deadline_s(operation)
        result, call = self._engine.call(operation, params, deadline_s, plain)
        if "ResponseMetadata" not in result:
            result["ResponseMetadata"] = interface.metadata(call.attempts, 200)
        return result

    def get_item(self, **params: Any) -> Result:
        return self._call("GetItem", params)

    def batch_get_item(self, **params: Any) -> Result:
        return self._call("BatchGetItem", params)

    def query(self, **params: Any) -> Result:
        return self._call("Query", params)

    def scan(self, **params: Any) -> Result:
        return self._call("Scan", params)

    def transact_get_items(self, **params: Any) -> Result:
        return self._call("TransactGetItems", params)

    def put_item(self, **params: Any) -> Result:
        return self._call("PutItem", params)

    def update_item(self, **params: Any) -> Result:
        return self._call("UpdateItem", params)

    def delete_item(self, **params: Any) -> Result:
        return self._call("DeleteItem", params)

    def batch_write_item(self, **params: Any) -> Result:
        return self._call("BatchWriteItem", params)

    def transact_write_items(self, **params: Any) -> Result:
        return self._call("TransactWriteItems", params)
