"""``AsyncClient``: boto3's DynamoDB client with awaitable methods."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from paceline.client import interface, methods, zones
from paceline.client.engine import Engine
from paceline.client.fallback import AsyncFallbackDriver
from paceline.client.options import Options
from paceline.client.paging import AsyncPaginator
from paceline.client.settings import OnRequest, Settings
from paceline.types import Params, Result


class AsyncClient(methods.Interface):
    """boto3's DynamoDB data operations on a cluster, for one event loop.

    Methods, parameters, results and exceptions are boto3's; ``await client.get_item(...)``. The
    first call connects; ``async with`` or ``close`` ends it. Arguments: docs/clients.md.
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
        seeds = chosen.seeds()
        core = chosen.core(seeds, settings)
        fallback = chosen.make_fallback(core)
        super().__init__(core)
        self._engine = Engine(
            core,
            seeds,
            listener=chosen.listener,
            signer=chosen.signer(),
            fallback=AsyncFallbackDriver(fallback) if fallback is not None else None,
            find_zone=zones.zone_of_instance if chosen.zone == zones.METADATA else None,
        )

    async def __aenter__(self) -> Self:
        await self._engine.start()
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
        await self._engine.close()

    def get_paginator(self, operation_name: str) -> AsyncPaginator:
        """``async for page in client.get_paginator("query").paginate(...)``."""
        config, model = self._pageable(operation_name)
        return AsyncPaginator(getattr(self, operation_name), config, model)

    async def _call(self, operation: str, params: Params) -> Result:
        plain = self._core.plain_gets.encode(params) if operation == "GetItem" else None
        if plain is None:
            params = self._prepared(operation, params)
        deadline_s = self._deadline_s(operation)
        result, call = await self._engine.call(operation, params, deadline_s, plain)
        if "ResponseMetadata" not in result:
            result["ResponseMetadata"] = interface.metadata(call.attempts, 200)
        return result

    async def get_item(self, **params: Any) -> Result:
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
