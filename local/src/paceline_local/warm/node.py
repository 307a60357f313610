"""Reads at one node and nowhere else: each node's own cache is to be filled."""

from __future__ import annotations

import asyncio

from paceline.client.aio.pool import Pool
from paceline.client.core.commands import Broken
from paceline.client.core.definitions import Definitions, MissingDefinition
from paceline.client.signing import Signer
from paceline.clock import now
from paceline.dax.connection import ErrorReply
from paceline.dax.request_types import Request
from paceline.errors import Unavailable
from paceline.types import KeySchema, Params, Result

CONNECT_S = 1.0
CONNECTIONS_MAX = 64
REPLY_S = 15.0
"""The time for a reply. A node answers reads within ten seconds, if only by an error."""


class NodeClient:
    """``call`` may be used by several tasks at once, each with a connection of its own. ``signer``:
    for a cluster that wants to know who asks."""

    def __init__(self, node_id: str, host: str, port: int, signer: Signer | None = None) -> None:
        self._signer = signer
        self.node_id = node_id
        self._pool = Pool(host, port, CONNECTIONS_MAX, CONNECT_S)
        self._definitions = Definitions()

    async def close(self) -> None:
        await self._pool.close()

    async def schema(self, table: str) -> KeySchema:
        """Returns the table's schema. DynamoDBError if there is no such table; Unavailable."""
        while True:
            try:
                return self._definitions.schema_of(table)
            except MissingDefinition as missing:
                await self._define(missing.request)

    async def call(self, operation: str, params: Params) -> Result:
        """Sends a read once. Raises the node's error, or Unavailable without an answer."""
        while True:
            try:
                request = self._definitions.encode(operation, params)
                break
            except MissingDefinition as missing:
                await self._define(missing.request)
        body = await self._exchange(request)
        while True:
            try:
                return self._definitions.decode(operation, params, body)
            except MissingDefinition as missing:
                await self._define(missing.request)

    async def _define(self, request: Request) -> None:
        self._definitions.learn(request, await self._exchange(request))

    async def _exchange(self, request: Request) -> bytes:
        connection = None
        try:
            connection = await self._pool.take(CONNECT_S)
            async with asyncio.timeout(REPLY_S):
                signer = self._signer
                prefix = b"" if signer is None else signer.prefix_for(connection, now())
                event = await connection.exchange(request, prefix)
        except (Broken, TimeoutError) as error:
            reason = str(error) or "timed out"
            raise Unavailable(f"{self.node_id} does not answer: {reason}") from error
        finally:
            if connection is not None:
                self._pool.give_back(connection)
        if isinstance(event, ErrorReply):
            raise event.error
        return event.body
