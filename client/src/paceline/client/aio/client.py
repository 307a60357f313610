"""``AsyncClient``: boto3's DynamoDB client with awaitable methods."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from paceline.client.aio.driver import AsyncDriver
from paceline.client.aio.fallback import AsyncFallbackDriver
from paceline.client.aio.paging import AsyncPaginator
from paceline.client.aio.waiters import AsyncWaiter
from paceline.client.arguments import Endpoints, resolve_arguments
from paceline.client.base import BaseClient
from paceline.client.boto import errors, model
from paceline.client.core.plain_get import PlainGet
from paceline.client.settings import OnRequest, Settings
from paceline.types import Params, Result


class AsyncClient(BaseClient):
    """boto3's DynamoDB client on a cluster, for one event loop.

    Methods, parameters, results and exceptions are boto3's; ``await client.get_item(...)``. The
    first call connects; ``async with`` or ``close`` ends it. Arguments: docs/clients.md.
    """

    def __init__(
        self,
        endpoint: Any = None,
        /,
        *,
        endpoint_url: Endpoints = None,
        settings: Settings | None = None,
        on_request: OnRequest | Iterable[OnRequest] = (),
        **options: Any,
    ) -> None:
        asked = resolve_arguments(endpoint, endpoint_url, settings, on_request, options)
        parts = asked.options.driver_parts(asked.settings)
        super().__init__(parts.core, asked.config)
        fallback = asked.options.make_fallback(parts.core)
        self._driver = AsyncDriver(
            parts, None if fallback is None else AsyncFallbackDriver(fallback)
        )

    async def __aenter__(self) -> Self:
        await self._driver.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends every connection. Calls that are under way fail."""
        await self._driver.close()

    def get_paginator(self, operation_name: str) -> AsyncPaginator:
        """``async for page in client.get_paginator("query").paginate(...)``."""
        config, model = self._pageable(operation_name)
        return AsyncPaginator(getattr(self, operation_name), config, model)

    def get_waiter(self, waiter_name: str) -> AsyncWaiter:
        """``await client.get_waiter("table_exists").wait(TableName=...)``."""
        name = self._waiter_name(waiter_name)
        config = model.waiter_model().get_waiter(name)
        return AsyncWaiter(name, config, self._method(waiter_name, config.operation))

    async def _call(self, operation: str, params: Params) -> Result:
        if self._kinds:
            return await self._with_events(operation, params)
        return await self._performed(operation, self._prepared(operation, params))

    async def _performed(self, operation: str, params: Params) -> Result:
        if operation == "GetItem":
            plain = self._core.plain_get_encoder.encode(params)
            if plain is not None:
                return await self._plain(plain, params)
        result, call = await self._driver.call(
            operation, params, self._deadline_s(operation, params)
        )
        if "ResponseMetadata" not in result:
            result["ResponseMetadata"] = errors.metadata(call.attempts, 200)
        return result

    async def _plain(self, plain: PlainGet, params: Params) -> Result:
        result, attempts = await self._driver.get(plain, params, self._read_deadline_s)
        if "ResponseMetadata" not in result:
            result["ResponseMetadata"] = errors.metadata(attempts, 200)
        return result

    async def _with_events(self, operation: str, params: Params) -> Result:
        hooks, context = self._hooks, self._context()
        params = hooks.before(operation, params, context)
        params = self._prepared(operation, params)
        try:
            result = hooks.instead(operation, params, context)
            if result is None:
                result = await self._performed(operation, params)
        except Exception as error:
            hooks.failed(operation, error, context)
            raise
        hooks.after(operation, result, context)
        return result

    async def get_item(self, **params: Any) -> Result:
        if not self._kinds:
            plain = self._core.plain_get_encoder.encode(params)
            if plain is not None:
                return await self._plain(plain, params)
        return await self._call("GetItem", params)

    async def batch_get_item(self, **params: Any) -> Result:
        return await self._call("BatchGetItem", params)

    async def query(self, **params: Any) -> Result:
        return await self._call("Query", params)

    async def scan(self, **params: Any) -> Result:
        return await self._call("Scan", params)

    async def transact_get_items(self, **params: Any) -> Result:
        return await self._call("TransactGetItems", params)

    async def put_item(self, **params: Any) -> Result:
        return await self._call("PutItem", params)

    async def update_item(self, **params: Any) -> Result:
        return await self._call("UpdateItem", params)

    async def delete_item(self, **params: Any) -> Result:
        return await self._call("DeleteItem", params)

    async def batch_write_item(self, **params: Any) -> Result:
        return await self._call("BatchWriteItem", params)

    async def transact_write_items(self, **params: Any) -> Result:
        return await self._call("TransactWriteItems", params)
