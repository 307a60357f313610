"""``Client``: boto3's DynamoDB client for threads."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from botocore.paginate import Paginator
from botocore.waiter import create_waiter_with_client

from paceline.client.arguments import Endpoints, resolve_arguments
from paceline.client.base import BaseClient
from paceline.client.boto import errors, model
from paceline.client.boto.resource import resource_on
from paceline.client.core.plain_get import PlainGet
from paceline.client.settings import OnRequest, Settings
from paceline.client.sync.driver import ThreadDriver
from paceline.types import Params, Result


class Client(BaseClient):
    """boto3's DynamoDB client on a cluster; any number of threads may share it.

    Methods, parameters, results and exceptions are boto3's. The first call connects; ``with`` or
    ``close`` ends it. A process that is forked afterwards may go on using it. Arguments:
    docs/clients.md.
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
        self._driver = ThreadDriver(parts, asked.options.make_fallback(parts.core))

    @staticmethod
    def resource(*arguments: Any, **options: Any) -> Any:
        """``paceline.resource``, where Amazon's DAX client has it."""
        return resource(*arguments, **options)

    def __enter__(self) -> Self:
        self._driver.start()
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
        self._driver.close()

    def get_paginator(self, operation_name: str) -> Any:
        """botocore's own paginator."""
        config, model = self._pageable(operation_name)
        paginator: Any = Paginator
        return paginator(getattr(self, operation_name), config, model)

    def get_waiter(self, waiter_name: str) -> Any:
        """botocore's own waiter."""
        name = self._waiter_name(waiter_name)
        client: Any = self
        return create_waiter_with_client(name, model.waiter_model(), client)

    def _call(self, operation: str, params: Params) -> Result:
        if self._kinds:
            return self._with_events(operation, params)
        return self._performed(operation, self._prepared(operation, params))

    def _performed(self, operation: str, params: Params) -> Result:
        if operation == "GetItem":
            plain = self._core.plain_get_encoder.encode(params)
            if plain is not None:
                return self._plain(plain, params)
        result, call = self._driver.call(operation, params, self._deadline_s(operation, params))
        if "ResponseMetadata" not in result:
            result["ResponseMetadata"] = errors.metadata(call.attempts, 200)
        return result

    def _plain(self, plain: PlainGet, params: Params) -> Result:
        result, attempts = self._driver.get(plain, params, self._read_deadline_s)
        if "ResponseMetadata" not in result:
            result["ResponseMetadata"] = errors.metadata(attempts, 200)
        return result

    def _with_events(self, operation: str, params: Params) -> Result:
        hooks, context = self._hooks, self._context()
        params = hooks.before(operation, params, context)
        params = self._prepared(operation, params)
        try:
            result = hooks.instead(operation, params, context)
            if result is None:
                result = self._performed(operation, params)
        except Exception as error:
            hooks.failed(operation, error, context)
            raise
        hooks.after(operation, result, context)
        return result

    def get_item(self, **params: Any) -> Result:
        if not self._kinds:
            plain = self._core.plain_get_encoder.encode(params)
            if plain is not None:
                return self._plain(plain, params)
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


def resource(*arguments: Any, **options: Any) -> Any:
    """``boto3.resource("dynamodb")`` on a cluster; arguments as ``Client``'s.

    A context manager, with ``close()``; ``resource.meta.client`` is the client underneath.
    """
    return resource_on(lambda: Client(*arguments, **options))
