"""The way from a node to the simulated DynamoDB: delays, losses, errors, writes that land late."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cluster.settings import DynamoDBSettings
from node.backend.acting import acting
from node.backend.calls import Caller, End, Refusal, Silence, Success
from node.backend.client import Backend, Reads
from node.backend.retry import ErrorMeaning, meaning_of
from node.backend.writes import Writes
from node.requests.reach import RAW, spoken_name
from paceline.errors import DynamoDBError
from paceline.types import Params, Result
from tests.simulation.dynamodb import CREATING_S, DELETING_S, Store, error_body, only_reads
from tests.simulation.loop import Owner
from tests.simulation.network import DYNAMODB, Network

TABLE_OPERATIONS = frozenset({"CreateTable", "DeleteTable"})

CONNECT_S = 1.0

OWN_WORDS = "simulated"
"""What this DynamoDB says with its errors; nodes and stores say more."""


@dataclass(frozen=True)
class Upstream:
    """How DynamoDB behaves. Probabilities are per request."""

    delay_s: float = 0.002
    """Median of its own work."""
    slow: float = 0.0
    slow_s: float = 2.0
    slow_answers: float = 0.0
    """Answers that are long on their way."""
    unreachable: float = 0.0
    """No connection: surely not sent."""
    slow_connect: float = 0.0
    """The connection takes long, so that the lease may be gone when it is in hand."""
    lost: float = 0.0
    """The request, or the answer, never arrives."""
    broken: float = 0.0
    """The connection breaks after the request was sent; the write may land all the same."""
    late: float = 0.0
    """The write lands late, whatever the caller hears."""
    late_s: float = 0.0
    """So late at most; below the quarantine."""
    error_before: float = 0.0
    error_after: float = 0.0
    """A 5xx without, or with, the write."""
    throttled: float = 0.0
    unprocessed: float = 0.0
    """Batches that are done in part, and batches of keys that are answered in part."""
    busy: float = 0.0
    """All connections are in use for a while: who comes meanwhile waits."""
    busy_s: float = 0.0
    batches_denied: bool = False
    """The nodes have no right to BatchGetItem."""
    lagging: float = 0.0
    """Part of the eventually consistent reads that see the past."""
    lag_s: float = 0.0
    index_lag_s: float = 0.0
    describe_throttled: float = 0.0
    """DescribeTable has limits of its own, and rights of its own."""
    describe_failing: float = 0.0
    describe_denied: float = 0.0
    describe_slow: float = 0.0
    describe_slow_s: float = 2.0
    create_lag_s: float = 0.0
    """How long DescribeTable may not know a table that was just made."""


class SimulatedCaller(Caller):
    """One node's calls, in the place of those over HTTP."""

    def __init__(
        self,
        settings: DynamoDBSettings,
        owner: Owner,
        machine: str,
        network: Network,
        store: Store,
        weather: Upstream,
        rng: random.Random,
    ) -> None:
        super().__init__(settings, owner.clock)
        self._read_timeout_s = settings.read_timeout_s
        self._connect_timeout_s = settings.connect_timeout_s
        self._owner = owner
        self._machine = machine
        self._network = network
        self._store = store
        self._weather = weather
        self._rng = rng
        self.in_name: Literal["", "node", "caller"] = ""
        """In whose name the requests are, where that matters."""
        self._waiting = 0
        """Requests that have no connection yet."""

    @property
    def is_full(self) -> bool:
        return self._waiting > 0

    def _may_not(self, operation: str) -> bool:
        if self.in_name == "node":
            return operation != "DescribeTable"
        return self.in_name == "caller" and acting.get() is None

    @property
    def endpoint(self) -> str:
        return "simulated"

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def call(
        self,
        operation: str,
        params: Params,
        deadline: float,
        may_send: Callable[[], bool] | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> End:
        network, weather, clock = self._network, self._weather, self._owner.clock
        if clock() >= deadline:
            return Silence("no connection in time", sent=False)
        if self._may_not(operation):
            error = DynamoDBError("AccessDeniedException", f"{operation} in nobody's name", 400)
            return Refusal(error, ErrorMeaning.REFUSED)
        connect_s = 0.0
        if network.chance(weather.slow_connect):
            connect_s = self._rng.random() * self._connect_timeout_s
        elif network.chance(weather.busy):
            connect_s = self._rng.random() * weather.busy_s
        elif network.chance(weather.unreachable) or (
            not network.both_ways(self._machine, DYNAMODB) and self._rng.random() < 0.5
        ):
            connect_s = self._connect_timeout_s if self._rng.random() < 0.5 else 0.002
            await asyncio.sleep(min(connect_s, deadline - clock()))
            return Silence("cannot connect", sent=False)
        if connect_s:
            await self._wait(min(connect_s, deadline - clock()))
            if clock() >= deadline:
                return Silence("no connection in time", sent=False)
        if may_send is not None and not may_send():
            return Silence("the lease to write had run out", sent=False, forbidden=True)
        if on_sent is not None:
            on_sent()
        loop = self._owner.loop
        future: asyncio.Future[End] = loop.create_future()
        self._send(operation, params, future)
        timer = loop.call_later(
            min(self._read_timeout_s, deadline - clock()), _answer, future, _TIMED_OUT
        )
        try:
            return await future
        finally:
            timer.cancel()

    async def _wait(self, seconds: float) -> None:
        self._waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._waiting -= 1

    def _send(self, operation: str, params: Params, future: asyncio.Future[End]) -> None:
        network, weather, rng = self._network, self._weather, self._rng
        if not network.open(self._machine, DYNAMODB) or network.chance(weather.lost):
            return
        asked = Asked.of(operation, params)
        delay = network.delay(self._machine, DYNAMODB) + weather.delay_s * (0.5 + rng.random())
        if network.chance(weather.slow):
            delay += rng.random() * weather.slow_s
        if not asked.reads and network.chance(weather.late):
            delay = rng.random() * weather.late_s
        if asked.operation == "DescribeTable" and network.chance(weather.describe_slow):
            delay += rng.random() * weather.describe_slow_s
        if network.chance(weather.broken):
            network.loop.after(rng.random() * 0.1, _answer, future, _BROKEN)
            if rng.random() < 0.3:
                return
        network.loop.after(delay, self._land, asked, future)

    def _land(self, asked: Asked, future: asyncio.Future[End]) -> None:
        network, weather = self._network, self._weather
        end = self._outcome(asked)
        if not network.open(DYNAMODB, self._machine) or network.chance(weather.lost):
            return
        delay = network.delay(DYNAMODB, self._machine)
        if network.chance(weather.slow_answers):
            delay += self._rng.random() * weather.slow_s
        network.loop.after(delay, _answer, future, end)

    def _outcome(self, asked: Asked) -> End:
        chance, weather = self._network.chance, self._weather
        if chance(weather.throttled):
            return asked.refusal("ProvisionedThroughputExceededException", 400)
        if chance(weather.error_before):
            return asked.refusal("InternalServerError", 500)
        if asked.operation == "BatchGetItem" and weather.batches_denied:
            return asked.refusal("AccessDeniedException", 400)
        if asked.operation == "DescribeTable":
            if chance(weather.describe_throttled):
                return asked.refusal("ThrottlingException", 400)
            if chance(weather.describe_failing):
                return asked.refusal("InternalServerError", 500)
            if chance(weather.describe_denied):
                return asked.refusal("AccessDeniedException", 400)
        try:
            if asked.reads:
                result = self._read(asked.operation, asked.params)
            else:
                result = self._write(asked.operation, asked.params)
        except DynamoDBError as error:
            return asked.refused(error)
        if chance(weather.error_after):
            return asked.refusal("InternalServerError", 500)
        return asked.reply(result)

    def _read(self, operation: str, params: Params) -> Result:
        left: dict[str, Any] = {}
        if operation == "BatchGetItem" and self._network.chance(self._weather.unprocessed):
            params, left = _some_keys(params)
        result = self._store.read(operation, params, self._then(params))
        return {**result, "UnprocessedKeys": left} if left else result

    def _then(self, params: Params) -> float:
        weather, rng, t = self._weather, self._rng, self._network.loop.t
        if "IndexName" in params:
            return t - rng.random() * weather.index_lag_s
        if self._network.chance(weather.lagging):
            return t - rng.random() * weather.lag_s
        return t

    def _write(self, operation: str, params: Params) -> Result:
        if operation == "BatchWriteItem" and self._network.chance(self._weather.unprocessed):
            done, left = _halves(params["RequestItems"])
            result = self._store.write(operation, {"RequestItems": done})
            return {**result, "UnprocessedItems": left}
        if operation in TABLE_OPERATIONS:
            return change_table(self._store, self._network, self._weather, operation, params)
        return self._store.write(operation, params)


@dataclass(slots=True)
class Asked:
    """What DynamoDB is asked, and in which form it answers."""

    operation: str
    params: Params
    raw: bool
    reads: bool

    @classmethod
    def of(cls, operation: str, params: Params) -> Asked:
        raw = operation == RAW
        if raw:
            operation, params = spoken_name(operation, params), json.loads(params["Body"])
        return cls(operation, params, raw, only_reads(operation, params))

    def reply(self, result: Result) -> Success:
        if self.raw:
            return Success({"Body": json.dumps(result).encode(), "RequestId": None})
        return Success(result)

    def refused(self, error: DynamoDBError) -> Refusal:
        if self.raw:
            error.body = error_body(error)
        return Refusal(error, meaning_of(error.name, error.status))

    def refusal(self, name: str, status: int) -> Refusal:
        return self.refused(DynamoDBError(name, OWN_WORDS, status))


def backend(settings: DynamoDBSettings, caller: SimulatedCaller, rng: random.Random) -> Backend:
    """A real Backend, with its repeats and its reading of errors, over ``caller``."""
    clock = caller._owner.clock
    made = Backend(settings, now=clock, rng=rng)
    made._caller = caller
    made._reads = Reads(caller, clock, rng)
    made._writes = Writes(caller, clock, rng)
    return made


def _some_keys(params: Params) -> tuple[Params, dict[str, Any]]:
    """A BatchGetItem of the first half of each table's keys, and what it leaves undone."""
    parts: dict[str, Any] = params["RequestItems"]
    half = {name: -(-len(part["Keys"]) // 2) for name, part in parts.items()}
    done = {name: {**part, "Keys": part["Keys"][: half[name]]} for name, part in parts.items()}
    left = {
        name: {**part, "Keys": part["Keys"][half[name] :]}
        for name, part in parts.items()
        if len(part["Keys"]) > half[name]
    }
    return {**params, "RequestItems": done}, left


_TIMED_OUT = Silence("no complete answer in time", sent=True)
_BROKEN = Silence("the connection broke", sent=True)


def _answer(future: asyncio.Future[End], end: End) -> None:
    if not future.done():
        future.set_result(end)


def change_table(
    store: Store, network: Network, weather: Upstream, operation: str, params: Params
) -> Result:
    """CreateTable or DeleteTable; what they have begun takes its time."""
    result = store.write(operation, params)
    made = store.made[params["TableName"]]
    seconds = network.rng.random()
    if operation == "DeleteTable":
        network.loop.after(seconds * DELETING_S, store.deleted, made)
    else:
        made.described_from = network.loop.t + network.rng.random() * weather.create_lag_s
        network.loop.after(seconds * CREATING_S, store.active, made)
    return result


def _halves(items: dict[str, list[Any]]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    flat = [(table, request) for table, requests in items.items() for request in requests]
    parts: tuple[dict[str, list[Any]], dict[str, list[Any]]] = ({}, {})
    for index, (table, request) in enumerate(flat):
        parts[index * 2 >= len(flat)].setdefault(table, []).append(request)
    return parts
