"""The JSON API behind HTTP: requests have to be signed, and load balancers ask how a node is."""

from __future__ import annotations

from collections.abc import Callable

from cluster.transport.large_work import LargeWork
from node.frontends.http.messages import HttpRequest, is_signed
from node.frontends.http.signatures import Signatures
from node.frontends.json_api.handler import JsonHandler, is_served
from node.frontends.json_api.replies import Reply, reply_of
from node.operations import REQUEST_TIMEOUT_S, Operations
from paceline.errors import PacelineError


class HttpHandler:
    """One per node, shared by all connections."""

    def __init__(
        self,
        operations: Operations,
        clock: Callable[[], float],
        large_work: LargeWork | None = None,
    ) -> None:
        self._api = JsonHandler(operations, clock, large_work)
        self._backend = operations.backend
        self._clock = clock
        self._signatures = Signatures(operations.backend)
        self.read = self._api.read
        self.failed = self._api.failed

    @property
    def healthy(self) -> bytes:
        """DynamoDB's words, of the region behind."""
        return f"healthy: dynamodb.{self._backend.region}.amazonaws.com ".encode()

    def fast(self, request: HttpRequest) -> Reply | None:
        """The answer to a plain GetItem that hits; None for all else."""
        if is_signed(request.path, request.headers) or self._signatures.accepts(request):
            return self._api.fast(request)
        return None

    async def handle(self, request: HttpRequest) -> Reply:
        if is_served(request.target) and not self._signatures.accepts(request):
            deadline = self._clock() + REQUEST_TIMEOUT_S
            try:
                refusal = await self._signatures.refused(request, deadline)
            except PacelineError as error:
                return reply_of(error)
            if refusal is not None:
                return refusal
        return await self._api.handle(request)
