"""What becomes of requests that nobody signed, or not as AWS wants it."""

from __future__ import annotations

from node.backend.client import Backend
from node.frontends.http.preflight import is_signed, is_unsigned, signature
from node.frontends.json_api.replies import Reply, error_reply, reply_of
from node.frontends.json_api.request import HttpRequest
from paceline.errors import DynamoDBError


class Signatures:
    """Whole ones are not looked into. Others are shown to DynamoDB, which may not mind."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._takes_unsigned = False
        """DynamoDB has, once; local ones do."""

    def will_do(self, request: HttpRequest) -> bool:
        headers = request.headers
        return (
            headers is None
            or is_signed(request.path, headers)
            or (self._takes_unsigned and is_unsigned(request.path, headers))
        )

    async def refused(self, request: HttpRequest, deadline: float) -> Reply | None:
        """What DynamoDB says if it does not take requests that are signed so, or not at all."""
        assert request.headers is not None
        headers, query = signature(request.path, request.headers)
        try:
            await self._backend.show_signature(headers, query, deadline)
        except DynamoDBError as error:
            if self._backend.knows(request.operation):
                return reply_of(error)
            return error_reply("UnknownOperationException", None)  # that is looked at before
        if is_unsigned(request.path, request.headers):
            self._takes_unsigned = True
        return None
