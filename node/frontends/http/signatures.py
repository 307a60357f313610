"""Which requests are signed well enough, and what DynamoDB says of the others."""

from __future__ import annotations

from node.backend.client import Backend
from node.frontends.http.messages import HttpRequest, is_signed, is_unsigned, signature
from node.frontends.json_api.handler import is_served
from node.frontends.json_api.replies import HttpReply, error_reply, reply_of
from paceline.errors import DynamoDBError, PacelineError


class Signatures:
    """Complete signatures are accepted unchecked. Incomplete or missing ones are forwarded to
    DynamoDB, to learn whether it rejects them; once it has taken a request without any, such
    requests are accepted."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._takes_unsigned = False
        """True once DynamoDB has taken an unsigned request; local ones do."""

    def accepts(self, request: HttpRequest) -> bool:
        path, headers = request.path, request.headers
        return is_signed(path, headers) or (self._takes_unsigned and is_unsigned(path, headers))

    async def refused(self, request: HttpRequest, deadline: float) -> HttpReply | None:
        """Returns DynamoDB's reply if it does not take requests that are signed so, or not at all.
        Returns None if it does, and for operations that do not exist."""
        if not is_served(request.target) or self.accepts(request):
            return None
        headers, query = signature(request.path, request.headers)
        try:
            await self._backend.show_signature(headers, query, deadline)
        except DynamoDBError as error:
            if self._backend.knows(request.operation):
                return reply_of(error)
            return error_reply("UnknownOperationException", None)  # that is looked at before
        except PacelineError as error:
            return reply_of(error)
        if is_unsigned(request.path, request.headers):
            self._takes_unsigned = True
        return None
