"""A DAX client of one node, which goes nowhere else: what counts is each node's own cache."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from paceline.dax.connection import NEED_DATA, ClientConnection, Failure, Reply
from paceline.dax.request_types import DefineKeySchema, Request
from paceline.dax.responses import read_key_schema
from paceline.dax.translate_params import to_request
from paceline.dax.translate_results import decode_result
from paceline.errors import ProtocolError, Unavailable
from paceline.types import KeySchema, Params, Result

CONNECT_S = 1.0
REPLY_S = 15.0
"""A node answers reads within ten seconds, if only by saying that it cannot."""
READ_BYTES = 256 * 1024
USER_AGENT = "PacelineWarm-1"


class NodeClient:
    """``call`` may be used by several tasks at once, each with a connection of its own."""

    def __init__(self, node_id: str, host: str, port: int) -> None:
        self.node_id = node_id
        self._host = host
        self._port = port
        self._schemas: dict[str, KeySchema] = {}
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def schema(self, table: str) -> KeySchema:
        """DynamoDBError if there is no such table; Unavailable."""
        if table not in self._schemas:
            self._schemas[table] = read_key_schema(await self._exchange(DefineKeySchema(table)))
        return self._schemas[table]

    async def call(self, operation: str, params: Params) -> Result:
        """A read, once. The error that the node answered; Unavailable without an answer.

        It must project on attributes, so that the answer needs no attribute lists.
        """
        for table in [params["TableName"]] if "TableName" in params else params["RequestItems"]:
            await self.schema(table)
        request = to_request(operation, params, self._schemas.__getitem__, _no_list)
        body = await self._exchange(request)
        return decode_result(operation, params, body, self._schemas.__getitem__, _no_names)

    async def _exchange(self, request: Request) -> bytes:
        connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = await self._connect()
        try:
            event = await connection.exchange(request)
        except (OSError, TimeoutError, ProtocolError) as error:
            raise Unavailable(f"{self.node_id} does not answer: {_reason(error)}") from error
        finally:
            if connection.usable:
                self._idle.append(connection)
            else:
                await connection.close()
        if isinstance(event, Failure):
            raise event.error
        return event.body

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_S):
                return _Connection(*await asyncio.open_connection(self._host, self._port))
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                f"{self.node_id} at {self._host}:{self._port} cannot be reached: {_reason(error)}"
            ) from error


class _Connection:
    """``usable``: not in the middle of an exchange, which leaves the rest of a reply behind."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._codec = ClientConnection()
        self._unsent = self._codec.preamble(USER_AGENT, os.urandom(16))
        self.usable = True

    async def exchange(self, request: Request) -> Reply | Failure:
        self.usable = False
        data, self._unsent = self._unsent + self._codec.send(request), b""
        async with asyncio.timeout(REPLY_S):
            self._writer.write(data)
            while (event := self._codec.next_event()) is NEED_DATA:
                piece = await self._reader.read(READ_BYTES)
                if not piece:
                    raise ConnectionResetError("it closed the connection")
                self._codec.receive_data(piece)
        assert isinstance(event, Reply | Failure)
        self.usable = True
        return event

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _no_list(names: tuple[str, ...]) -> int:
    raise AssertionError(f"a read needs no attribute list, but asks for {names}")


def _no_names(identifier: int) -> tuple[Any, ...]:
    raise AssertionError("the answer of a projected read has no attribute lists")
