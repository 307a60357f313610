"""A whole node behind its three front ends, over a DynamoDB of which a test sees every request."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cluster.access.counting import Refusals
from cluster.coherence.guard import Fill, Guard
from cluster.coherence.messages import WHOLE, Image
from cluster.roster.endpoints import AddressFamily
from cluster.settings import CacheSettings, DynamoDBSettings, LeaseSettings
from cluster.transport.dax_protocol import ConnectionInfo
from cluster.transport.large_work import LargeWork
from node.access.authorizer import Authorizer
from node.access.places import Place
from node.backend.calls import End, Refusal, Silence, Success
from node.backend.client import Backend, Reads
from node.backend.retry import meaning_of
from node.backend.writes import Writes
from node.cache.caches import Caches
from node.cache.query_cache import QueryKey
from node.frontends.dax.handler import DaxHandler
from node.frontends.dax.json_requests import raw_requests
from node.frontends.grpc.servicer import DataServicer
from node.frontends.http.messages import HttpRequest
from node.frontends.json_api.handler import JsonHandler
from node.frontends.json_api.replies import HttpReply
from node.operations import Operations
from node.reads.batch_get import BatchGet
from node.reads.items import ItemFlights, ReadPath
from node.reads.queries import Queries, QueryAnswer
from node.reads.reading import ReadOperations
from node.reads.single_flight import SingleFlight
from node.replication.coordinator import Here
from node.replication.primary_driver import PrimaryDriver
from node.requests.capacity import CapacityCounts
from node.requests.counts import Latencies
from node.requests.reach import RAW, spoken_name
from node.tables.attribute_lists import AttributeLists
from node.tables.schemas import Cause, Tables, Upstream
from node.writes.effects import Effects
from node.writes.fencing import PrimaryAccess
from node.writes.path import WritePath
from paceline.clock import now, wall_time
from paceline.errors import DynamoDBError
from paceline.types import Key, Params
from tests.unit.node.fakes import FakeAgent

SIGNED = {
    b"authorization": b"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c",
    b"x-amz-date": b"20260101T000000Z",
}

Q = 10.0
LEASE_S = 3600.0
READS = frozenset({"DescribeTable", "GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})


def description(table: str, key: str = "id", kind: str = "S") -> Params:
    return {
        "Table": {
            "TableName": table,
            "TableId": f"{table}-{key}",
            "TableStatus": "ACTIVE",
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind}],
        }
    }


def refused(name: str, status: int = 400) -> Refusal:
    error = DynamoDBError(name, "because", status)
    return Refusal(error, meaning_of(name, status))


@dataclass
class Sent:
    """A request as it went out. ``fenced``: the tables that were fenced whole at that moment;
    ``leased``: it was asked whether the lease is valid."""

    operation: str
    params: Params
    leased: bool
    fenced: frozenset[str]
    keys: frozenset[Key]

    @property
    def body(self) -> Params:
        """Of a raw request too."""
        return dict(json.loads(self.params["Body"])) if "Body" in self.params else self.params


class DynamoDB:
    """In the place of ``Caller``. ``describe`` and ``answer`` say how requests end."""

    endpoint = "fake"

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.sent: list[Sent] = []
        self.latencies, self.capacity = Latencies(), CapacityCounts()
        self.describe: Callable[[str], End | None] = lambda table: Success(description(table))
        self.answer: Callable[[str, Params], End | None] = lambda operation, params: Success({})
        """None: as if it never came. The result of a raw request is its JSON."""

    is_full = False

    def of(self, operation: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.operation == operation]

    @property
    def writes(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.operation not in READS]

    async def call(
        self,
        operation: str,
        params: Params,
        deadline: float,
        may_send: Callable[[], bool] | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> End:
        await asyncio.sleep(0)
        if may_send is not None and not may_send():
            return Silence("the lease to write had run out", sent=False, forbidden=True)
        keys = frozenset(key for fence in self._guard.open_fences() for key in fence.keys)
        whole = frozenset(table for table, key in keys if key == WHOLE)
        name = spoken_name(operation, params)
        sent = Sent(name, params, may_send is not None, whole, keys)
        self.sent.append(sent)
        if name == "DescribeTable":
            end = self.describe(sent.body["TableName"])
        else:
            end = self.answer(name, sent.body)
        if end is None:
            await asyncio.sleep(max(deadline - now(), 0.0))
            return Silence("no complete answer in time", sent=True)
        if operation == RAW and isinstance(end, Success):
            return Success({"Body": json.dumps(end.result).encode(), "RequestId": "R"})
        return end

    def knows(self, operation: str) -> bool:
        return True


class Alone:
    """A coordinator of the only node there is."""

    def __init__(self, driver: PrimaryDriver) -> None:
        self._driver = driver

    def route(self) -> Here | None:
        return None if self._driver.primary is None else Here(self._driver.primary)

    async def changed(self, timeout_s: float) -> None:
        await asyncio.sleep(min(timeout_s, 0.01))


class _Aborted(Exception):
    pass


@dataclass
class Call:
    """A gRPC context."""

    code: Any = None
    message: str = ""
    initial: dict[str, Any] = field(default_factory=dict)
    trailing: dict[str, Any] = field(default_factory=dict)

    ended: list[Callable[[Any], None]] = field(default_factory=list)

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[Any, ...]:
        return ()

    def time_remaining(self) -> float | None:
        return None

    def add_done_callback(self, ended: Callable[[Any], None]) -> None:
        self.ended.append(ended)

    async def send_initial_metadata(self, metadata: Any) -> None:
        self.initial = dict(metadata)

    async def abort(self, code: Any, message: str, trailing_metadata: Any) -> None:
        self.code, self.message = code, message
        self.trailing = dict(trailing_metadata)
        raise _Aborted


class Node:
    """Primary of one, with a lease, around ``dynamodb``."""

    def __init__(
        self,
        work: LargeWork | None = None,
        *,
        policies_count: bool = False,
        refusals: Refusals | None = None,
    ) -> None:
        """``policies_count``: what those of ``calling.call`` do not allow is denied."""
        self._refusals = refusals
        self._policies_count = policies_count
        self.work = work = work or LargeWork()
        self.caches = Caches.from_settings(CacheSettings())
        self.guard = Guard(self.caches, Q)
        self.dynamodb = DynamoDB(self.guard)
        backend = Backend(
            DynamoDBSettings(endpoint="http://127.0.0.1:1"), rng=random.Random(1), large_work=work
        )
        caller: Any = self.dynamodb
        backend._caller = caller
        backend._reads = Reads(caller, now, random.Random(1))
        backend._writes = Writes(caller, now, random.Random(1))
        self.backend = backend
        self.changed: list[tuple[str, Cause]] = []
        self.tables = Tables(
            backend, check_s=60.0, on_changed=lambda *change: self.changed.append(change)
        )
        self.caches.on_clear = self.tables.forget
        agent: Any = FakeAgent()
        self.agent = agent
        self.lists = AttributeLists(agent, work)
        self.upstream = Upstream(backend, self.tables, self.lists, work)
        self.driver = PrimaryDriver("n1", self.guard, LeaseSettings(), now)
        self.driver.begin_epoch(1, frozenset({"n1"}), reset=False, lease_until=now() + LEASE_S)
        coordinator: Any = Alone(self.driver)
        nobody: Any = None
        access = PrimaryAccess(coordinator, self.driver, nobody, now)
        effects = Effects(self.tables, self.caches, self.guard, self.lists.names_of, now)
        self.writes = WritePath(self.upstream, access, effects)
        self.operations = self._operations()
        self.http = JsonHandler(self.operations, now, work)
        self.dax = DaxHandler(
            self.operations,
            self.caches.items,
            self.guard,
            lambda peer: b"",
            now,
            raw_requests(self.operations, work),
            work,
        )
        self.grpc = DataServicer(self.operations, now, work)
        self.peer = ConnectionInfo("dax", AddressFamily.IPV4, False, "peer")

    def _operations(self) -> Operations:
        items = ItemFlights(100)
        pages: SingleFlight[QueryKey, Fill, QueryAnswer] = SingleFlight(100)
        guard, caches, upstream = self.guard, self.caches, self.upstream
        path = ReadPath(upstream, guard, caches, items, now)
        work = self.work
        queries = Queries(self.backend, guard, caches, pages, path.counters, now, large_work=work)
        batches = BatchGet(upstream, path, guard, now)
        reads = ReadOperations(upstream, path, batches, queries)
        authorizer = None
        if self._policies_count:
            place = Place("us-east-1", "000000000000")
            authorizer = Authorizer(place, self.tables.peek, wall_time, self._refusals)
        return Operations(upstream, reads, self.writes, 100, authorizer)

    async def post(self, operation: str, body: Any) -> HttpReply:
        """By the HTTP API, as the protocol calls it."""
        target = operation if "." in operation else f"DynamoDB_20120810.{operation}"
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = HttpRequest(target, text, headers=SIGNED)
        return self.http.fast(request) or await self.http.handle(request)

    async def call(self, operation: str, request: Any) -> tuple[Any, Call]:
        """By gRPC: the response or None, and the context."""
        context = Call()
        try:
            return await getattr(self.grpc, operation)(request, context), context
        except _Aborted:
            return None, context

    def keep(self, table: str, key: bytes) -> None:
        self.caches.install((table, key), Image(None), now())

    def is_kept(self, table: str, key: bytes) -> bool:
        return self.caches.items.lookup(table, key, now()) is not None


def type_of(reply: HttpReply) -> str:
    """The name of the error in a reply."""
    return str(json.loads(reply.body)["__type"]).rpartition("#")[2]
