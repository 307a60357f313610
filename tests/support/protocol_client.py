"""A DAX client of the tests' own, built on the codec's client role.

Unlike the official clients it says exactly what happened to a write, can be tied to one node, and
as ``ClusterClient`` turns to the next node at once: what it measures is the cluster, not a
client's roster poll.
"""

import asyncio
import itertools
import os
import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from paceline.dax.client.requests import to_request
from paceline.dax.client.results import decode_result
from paceline.dax.connection import NEED_DATA, ClientConnection, ErrorReply, Reply
from paceline.dax.errors import decode_reasons
from paceline.dax.request_types import (
    DefineAttributeList,
    DefineAttributeListId,
    DefineKeySchema,
    Endpoints,
    Request,
)
from paceline.dax.responses import (
    Endpoint,
    read_attribute_list,
    read_attribute_list_id,
    read_endpoints,
    read_key_schema,
)
from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError
from paceline.types import KeySchema, Result

_T = TypeVar("_T")

READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
USER_AGENT = "PacelineTestClient-1"
CONNECT_S = 0.5
WRITE_ATTEMPT_S = 12.0
"""A write may wait 10 s for a primary; an attempt that knows of no other node waits for that."""
READ_ATTEMPT_S = 1.0
"""After this a read turns to another node: on loopback only a paused node takes so long."""
PAUSE_S = 0.01
SUSPECT_S = 1.0
"""How long a node that failed is left alone while others are there."""
TRY_AGAIN = frozenset({"ThrottlingException", "InternalServerError"})


class Unreachable(PacelineError):
    """The connection failed before the request was handed over; nothing has happened."""


class Broken(PacelineError):
    """The connection ended, or the reply took too long, after the request was handed over."""


class _Missing(PacelineError):
    """Something has to be asked of the node first."""

    def __init__(self, request: Request) -> None:
        super().__init__(str(request))
        self.request = request


class Knowledge:
    """Key schemas and attribute lists, asked for once. A client's cache, kept for ever."""

    def __init__(self) -> None:
        self.schemas: dict[str, KeySchema] = {}
        self.ids: dict[tuple[str, ...], int] = {}
        self.names: dict[int, tuple[str, ...]] = {}

    def schema_of(self, table: str) -> KeySchema:
        if table not in self.schemas:
            raise _Missing(DefineKeySchema(table))
        return self.schemas[table]

    def list_id(self, names: tuple[str, ...]) -> int:
        if names not in self.ids:
            raise _Missing(DefineAttributeListId(names))
        return self.ids[names]

    def names_of(self, identifier: int) -> tuple[str, ...]:
        if identifier not in self.names:
            raise _Missing(DefineAttributeList(identifier))
        return self.names[identifier]

    def learn(self, request: Request, body: bytes) -> None:
        match request:
            case DefineKeySchema(table=table):
                self.schemas[table] = read_key_schema(body)
            case DefineAttributeListId(names=names):
                self.ids[names] = read_attribute_list_id(body)
            case DefineAttributeList(id=identifier):
                self.names[identifier] = read_attribute_list(body)
            case _:
                raise AssertionError(f"{request} teaches nothing")


class Connection:
    """One TCP connection: one request at a time, closed after any failure of transport."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = ClientConnection()
        self._preamble = self._protocol.preamble(USER_AGENT, os.urandom(16))

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        try:
            async with asyncio.timeout(CONNECT_S):
                return cls(*await asyncio.open_connection(host, port))
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{host}:{port}: {error}") from error

    def close(self) -> None:
        self._writer.close()

    async def exchange(self, request: Request, timeout_s: float) -> bytes:
        """The reply's body; the error that the node answered; Broken."""
        preamble, self._preamble = self._preamble, b""
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(preamble + self._protocol.send(request))
                while (event := self._protocol.next_event()) is NEED_DATA:
                    data = await self._reader.read(64 * 1024)
                    if not data:
                        raise Broken("the node closed the connection instead of answering")
                    self._protocol.receive_data(data)
        except (OSError, TimeoutError) as error:
            raise Broken(f"no reply: {type(error).__name__} {error}") from error
        match event:
            case Reply(body=body):
                return body
            case ErrorReply(error=answer):
                raise answer
        raise AssertionError(event)


class NodeClient:
    """A client of one node, with as many connections as calls at a time."""

    def __init__(
        self,
        host: str,
        port: int,
        knowledge: Knowledge | None = None,
        *,
        write_attempt_s: float = WRITE_ATTEMPT_S,
    ) -> None:
        """``write_attempt_s``: how long a write waits for its reply."""
        self.host = host
        self.port = port
        self.knowledge = knowledge or Knowledge()
        self._write_attempt_s = write_attempt_s
        self._idle: list[Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def endpoints(self) -> list[Endpoint]:
        return read_endpoints(await self._exchange(Endpoints(), READ_ATTEMPT_S))

    async def call(self, operation: str, **params: Any) -> Result:
        """The result as boto3's low-level client has it.

        DynamoDBError and OutcomeUnknown as the node answered; Unreachable, or Broken after the
        request was handed over. A connection that had been closed while it was idle counts as
        broken: whether the node had read the request is not known.
        """
        timeout_s = READ_ATTEMPT_S if operation in READS else self._write_attempt_s
        if operation == "TransactWriteItems":
            params.setdefault("ClientRequestToken", str(uuid.uuid4()))
        known = self.knowledge
        request = await self._knowing(
            lambda: to_request(operation, params, known.schema_of, known.list_id)
        )
        try:
            body = await self._exchange(request, timeout_s)
        except DynamoDBError as error:
            caught = error
            await self._knowing(
                lambda: decode_reasons(caught, request, known.schema_of, known.names_of)
            )
            raise
        return await self._knowing(
            lambda: decode_result(operation, params, body, known.schema_of, known.names_of)
        )

    async def _knowing(self, work: Callable[[], _T]) -> _T:
        """``work``, after asking the node for what it lacks."""
        while True:
            try:
                return work()
            except _Missing as missing:
                try:
                    body = await self._exchange(missing.request, READ_ATTEMPT_S)
                except Broken as error:
                    # Whatever was asked for, the operation itself was not sent (or is answered).
                    raise Unreachable(str(error)) from error
                self.knowledge.learn(missing.request, body)

    async def _exchange(self, request: Request, timeout_s: float) -> bytes:
        connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = await Connection.open(self.host, self.port)
        kept = False
        try:
            body = await connection.exchange(request, timeout_s)
            kept = True
            return body
        except (DynamoDBError, OutcomeUnknown):
            kept = True
            raise
        finally:
            if kept:
                self._idle.append(connection)
            else:
                connection.close()


class ClusterClient:
    """A client that tries the surviving nodes in turn."""

    def __init__(
        self,
        addresses: Mapping[str, tuple[str, int]],
        *,
        write_attempt_s: float = WRITE_ATTEMPT_S,
    ) -> None:
        knowledge = Knowledge()
        self.nodes = {
            node_id: NodeClient(host, port, knowledge, write_attempt_s=write_attempt_s)
            for node_id, (host, port) in addresses.items()
        }
        self._turns = itertools.count()
        self._suspect_until = dict.fromkeys(self.nodes, 0.0)
        self.failovers = 0
        """Attempts that ended without a result, and were made up for on another node."""

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()

    async def read(self, operation: str, *, deadline_s: float = 5.0, **params: Any) -> Result:
        """The result of the first node that gives one; the last error when time is up."""
        until = time.monotonic() + deadline_s
        while True:
            node_id = self._next()
            try:
                return await self.nodes[node_id].call(operation, **params)
            except (Unreachable, Broken, OutcomeUnknown) as error:
                last: PacelineError = error
            except DynamoDBError as error:
                if error.name not in TRY_AGAIN:
                    raise
                last = error
            await self._failed_over(node_id, last, until)

    async def write(self, operation: str, *, deadline_s: float = 15.0, **params: Any) -> Result:
        """As ``read``, but a write that may have happened is not repeated: OutcomeUnknown."""
        until = time.monotonic() + deadline_s
        while True:
            node_id = self._next()
            try:
                return await self.nodes[node_id].call(operation, **params)
            except Unreachable as error:
                last: PacelineError = error
            except Broken as error:
                self._suspect(node_id)
                raise OutcomeUnknown(str(error)) from error
            except DynamoDBError as error:
                if error.name != "ThrottlingException":
                    raise
                last = error
            await self._failed_over(node_id, last, until)

    async def _failed_over(self, node_id: str, error: PacelineError, until: float) -> None:
        self.failovers += 1
        if not isinstance(error, DynamoDBError):
            self._suspect(node_id)
        if time.monotonic() > until:
            raise error
        await asyncio.sleep(PAUSE_S)

    def _suspect(self, node_id: str) -> None:
        self._suspect_until[node_id] = time.monotonic() + SUSPECT_S
        self.nodes[node_id].close()

    def _next(self) -> str:
        now = time.monotonic()
        trusted = [node_id for node_id, until in self._suspect_until.items() if until <= now]
        candidates = trusted or list(self.nodes)
        return candidates[next(self._turns) % len(candidates)]
