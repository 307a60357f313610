"""An open loop of calls by the SDK, and what became of each of them.

Calls begin at a fixed rate, whatever becomes of those before: what stands still is seen at once,
and by all. An item is named PARTITION/SORT KEY, and queries read whole partitions:

* ``p…/…``: registers, put with values that no other call writes;
* ``n-NAME/…``: counters, which only the client NAME raises, so that each must end between its
  acknowledged increments and those of unknown outcome besides.
"""

import asyncio
import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import paceline
from paceline.client.settings import RequestEvent
from paceline.clock import now
from paceline.errors import OutcomeUnknown, Unavailable
from paceline_local.testing.linearizability import Operation

TABLE_KEYS: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ],
}
PARTITIONS = {f"p{part}": tuple(f"p{part}/{number}" for number in range(4)) for part in range(12)}
REGISTERS = tuple(name for part in PARTITIONS.values() for name in part)
COUNTERS_EACH = 4
BATCH = 4
GET_SHARE, QUERY_SHARE, BATCH_SHARE, PUT_SHARE = 0.72, 0.04, 0.04, 0.10
"""Of the calls; what is left are increments: a fifth are writes."""
THREADS_MAX = 400
"""Calls under way when everything stands still for some seconds."""
UNDER_WAY_MAX = 2000
STOP_S = 30.0
"""A call has a deadline of its own, of 15 s at most."""
FAILURES_MAX = 5
SURELY_NOT = frozenset({"ThrottlingException"})

Value = str | int | None


def counters(client: str) -> tuple[str, ...]:
    return tuple(f"n-{client}/{number}" for number in range(COUNTERS_EACH))


def item_key(name: str) -> dict[str, Any]:
    partition, _, rest = name.partition("/")
    return {"pk": {"S": partition}, "sk": {"S": rest}}


def name_of(key: Mapping[str, Any]) -> str:
    return f"{key['pk']['S']}/{key['sk']['S']}"


def value_of(item: Mapping[str, Any] | None) -> Value:
    if item is None:
        return None
    return int(item["v"]["N"]) if "N" in item["v"] else str(item["v"]["S"])


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    params: dict[str, Any]
    keys: tuple[str, ...]
    value: Value = None
    """What a put writes."""

    @property
    def writes(self) -> bool:
        return self.method in ("put_item", "update_item")

    def results(self, answer: Mapping[str, Any]) -> dict[str, Value]:
        """What was found at each key, or made of it. A batch may leave keys out."""
        match self.method:
            case "get_item":
                return {self.keys[0]: value_of(answer.get("Item"))}
            case "put_item":
                return {self.keys[0]: self.value}
            case "update_item":
                return {self.keys[0]: value_of(answer["Attributes"])}
            case "query":
                items = answer["Items"]
        if self.method == "batch_get_item":
            (items,) = answer["Responses"].values() or [[]]
        found = {name_of(item): value_of(item) for item in items}
        left = {
            name_of(key)
            for table in answer.get("UnprocessedKeys", {}).values()
            for key in table["Keys"]
        }
        return {key: found.get(key) for key in self.keys if key not in left}


class Menu:
    """One client's calls. ``all_counters``: of every client, which are read too."""

    def __init__(
        self, name: str, table: str, rng: random.Random, all_counters: Sequence[str]
    ) -> None:
        self._name = name
        self._table = table
        self._rng = rng
        self._keys = (*REGISTERS, *all_counters)
        self._count = 0

    def next(self) -> Call:
        self._count += 1
        table, rng, lot = {"TableName": self._table}, self._rng, self._rng.random()
        if lot < GET_SHARE:
            name = rng.choice(self._keys)
            return Call("get_item", {**table, "Key": item_key(name)}, (name,))
        lot -= GET_SHARE
        if lot < QUERY_SHARE:
            partition = rng.choice(tuple(PARTITIONS))
            asked = {
                "KeyConditionExpression": "pk = :p",
                "ExpressionAttributeValues": {":p": {"S": partition}},
            }
            return Call("query", {**table, **asked}, PARTITIONS[partition])
        lot -= QUERY_SHARE
        if lot < BATCH_SHARE:
            keys = tuple(rng.sample(self._keys, BATCH))
            wanted = {self._table: {"Keys": [item_key(name) for name in keys]}}
            return Call("batch_get_item", {"RequestItems": wanted}, keys)
        lot -= BATCH_SHARE
        if lot < PUT_SHARE:
            name, value = rng.choice(REGISTERS), f"{self._name} {self._count}"
            item = {**item_key(name), "v": {"S": value}}
            return Call("put_item", {**table, "Item": item}, (name,), value)
        name = rng.choice(counters(self._name))
        raised = {
            "Key": item_key(name),
            "UpdateExpression": "ADD v :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "UPDATED_NEW",
        }
        return Call("update_item", {**table, **raised}, (name,))


@dataclass
class Seen:
    """What one client saw. Times are of ``paceline.clock``. Lists are only appended to."""

    name: str
    read_ends: list[float] = field(default_factory=list)
    acks: list[tuple[float, float]] = field(default_factory=list)
    """(begun, ended) of acknowledged writes."""
    read_failures: list[tuple[float, str]] = field(default_factory=list)
    unknown: list[tuple[float, float, str]] = field(default_factory=list)
    not_sent: list[tuple[float, float, str]] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    """Errors that no fault explains, and what the load itself could not do."""
    left_out: int = 0
    """Calls that were not begun because too many were under way."""
    slowest_read_s: float = 0.0
    operations: list[Operation] = field(default_factory=list)
    answered: list[tuple[float, str | None]] = field(default_factory=list)
    """Reads: (end, node); None: by DynamoDB itself."""

    def told(self, event: RequestEvent) -> None:
        if event.error is None and event.operation in ("GetItem", "Query", "BatchGetItem"):
            self.answered.append((event.started_s + event.duration_s, event.node))

    def succeeded(self, call: Call, answer: Mapping[str, Any], begun: float) -> None:
        ended = now()
        if call.writes:
            self.acks.append((begun, ended))
        else:
            self.read_ends.append(ended)
            self.slowest_read_s = max(self.slowest_read_s, ended - begun)
        for key, value in call.results(answer).items():
            self.operations.append(self._operation(call, key, value, begun, ended))

    def failed(self, call: Call, error: Exception, begun: float) -> None:
        ended = now()
        text = f"{call.method}: {type(error).__name__}: {error}"
        if not call.writes:
            self.read_failures.append((ended, text))
            self.slowest_read_s = max(self.slowest_read_s, ended - begun)
            return
        ends: float | None = ended
        if isinstance(error, OutcomeUnknown):
            self.unknown.append((begun, ended, text))
            ends = None
        else:
            self.not_sent.append((begun, ended, text))
            response: Any = getattr(error, "response", {})
            code = response.get("Error", {}).get("Code")
            if not isinstance(error, Unavailable) and code not in SURELY_NOT:
                self.surprises.append(text)
        self.operations.append(self._operation(call, call.keys[0], None, begun, ends, failed=True))

    def _operation(
        self,
        call: Call,
        key: str,
        value: Value,
        begun: float,
        ended: float | None,
        *,
        failed: bool = False,
    ) -> Operation:
        kind: str = "read"
        argument: Value = None
        result: Value = value
        if call.method == "put_item":
            kind, argument, result = "write", call.value, None
        elif call.method == "update_item":
            kind, argument = "add_and_get", 1
        surely_not = failed and ended is not None
        return Operation(self.name, kind, key, argument, result, begun, ended, surely_not)


class AsyncLoad:
    """``async with``: an ``AsyncClient`` at work."""

    def __init__(self, client: paceline.AsyncClient, menu: Menu, rate: float, seen: Seen) -> None:
        self._client = client
        self._menu = menu
        self._every_s = 1.0 / rate
        self.seen = seen
        self._calls: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._driver = asyncio.create_task(self._drive())

    async def stop(self) -> None:
        """No new calls; those under way are waited for."""
        assert self._driver is not None
        self._driver.cancel()
        await asyncio.gather(self._driver, return_exceptions=True)
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=STOP_S)
            if late:
                self.seen.surprises.append(f"{len(late)} calls never ended")
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _drive(self) -> None:
        due = now()
        while True:
            due += self._every_s
            await asyncio.sleep(max(0.0, due - now()))
            if len(self._calls) >= UNDER_WAY_MAX:
                self.seen.left_out += 1
                continue
            task = asyncio.create_task(self._one(self._menu.next()))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def _one(self, call: Call) -> None:
        begun = now()
        try:
            answer = await getattr(self._client, call.method)(**call.params)
        except Exception as error:
            self.seen.failed(call, error, begun)
        else:
            self.seen.succeeded(call, answer, begun)


class ThreadLoad:
    """A ``Client`` that many threads share."""

    def __init__(self, client: paceline.Client, menu: Menu, rate: float, seen: Seen) -> None:
        self._client = client
        self._menu = menu
        self._every_s = 1.0 / rate
        self.seen = seen
        self._executor = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="load")
        self._ended = threading.Event()
        self._driver = threading.Thread(target=self._drive, name="load", daemon=True)

    def start(self) -> None:
        self._driver.start()

    async def stop(self) -> None:
        """No new calls; those under way are waited for."""
        self._ended.set()
        await asyncio.to_thread(self._driver.join)
        await asyncio.to_thread(self._executor.shutdown)

    def _drive(self) -> None:
        due = now()
        while not self._ended.is_set():
            due += self._every_s
            time.sleep(max(0.0, due - now()))
            self._executor.submit(self._one, self._menu.next())

    def _one(self, call: Call) -> None:
        begun = now()
        try:
            answer = getattr(self._client, call.method)(**call.params)
        except Exception as error:
            self.seen.failed(call, error, begun)
        else:
            self.seen.succeeded(call, answer, begun)
