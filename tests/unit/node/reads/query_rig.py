"""Two nodes' query caches under random writes, with every cached page compared with a fresh one.

A primary and a replica: the production Guard, caches, query path and effects of each. Between them
a queue that keeps its order and takes its time; behind them the model of a table, whose eventually
consistent reads and indexes lag. Tasks interleave by chance, time jumps by chance, all from one
seed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from cluster.coherence.guard import Fill, Guard
from cluster.coherence.messages import Fence, Image, Outcome, Position, Settle, Welcome
from cluster.settings import CacheSettings
from node.cache.caches import Caches
from node.cache.query_cache import QueryKey
from node.reads.items import Counters
from node.reads.queries import KeptResult, Queries, QueryAnswer, query_key
from node.reads.single_flight import SingleFlight
from node.replication import wire
from node.writes.effects import Effects
from node.writes.plan import WritePlan, plan_write
from paceline.dax.attribute_lists import attribute_names, encode_item, list_id
from paceline.types import Item, Key, KeySchema, Params, Result
from paceline.v1 import replication_pb2 as pb
from tests.unit.node.fakes import Clock
from tests.unit.node.reads.model_table import ModelTable
from tests.unit.node.reads.query_requests import TABLE, Query, Requests, Write, random_table

Q = 10.0
LAG_S = 0.95 * Q
FOREVER = 1e9


class Stale(AssertionError):
    pass


class _Tables:
    def __init__(self, table: ModelTable) -> None:
        self._table = table

    async def schema(self, table: str) -> Any:
        return self._table.info

    def peek(self, table: str) -> Any:
        return self._table.info


class Node:
    def __init__(self, rig: Rig, name: str) -> None:
        self.rig = rig
        self.name = name
        self.caches = Caches.from_settings(CacheSettings())
        self.guard = Guard(self.caches, Q)
        self.guard.extend(FOREVER, rig.clock.time)
        flights: SingleFlight[QueryKey, Fill, QueryAnswer] = SingleFlight(1000)
        self.flights = flights
        tables: Any = _Tables(rig.table)
        backend: Any = rig
        self.queries = Queries(backend, self.guard, self.caches, flights, Counters(), rig.clock)
        self.effects = Effects(tables, self.caches, self.guard, rig.names_of, rig.clock)
        self.asked: dict[QueryKey, tuple[Query, Item | None]] = {}
        self.pages: list[tuple[Query, Item]] = []


class Rig:
    """``run`` raises Stale when a node has a page that DynamoDB would not answer with now."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = Clock(0.0)
        self.table = ModelTable(random_table(self.rng))
        self.requests = Requests(self.rng, self.table.info)
        self.pool = [self.requests.query() for _ in range(12)]
        self.lists: dict[int, tuple[str, ...]] = {}
        self.primary = Node(self, "primary")
        self.replica = Node(self, "replica")
        self.counts: Counter[str] = Counter()
        self.trace: list[str] = []
        self._position = 0
        self._stream: list[tuple[Any, asyncio.Event]] = []
        self._landings: list[tuple[float, Write]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._fast = self.rng.random() < 0.3
        """Some worlds have time between writes, others have them overlap all the time."""
        self._writes = self.rng.choice([0.08, 0.15, 0.3])
        self._ambiguous = self.rng.choice([0.0, 0.1])

    def names_of(self, number: int) -> tuple[str, ...]:
        return () if number == 1 else self.lists[number]

    def encode(self, item: Item, schema: KeySchema) -> bytes:
        return encode_item(item, schema, self.list_id)

    def list_id(self, names: tuple[str, ...]) -> int:
        number = list_id(names)
        self.lists[number] = names
        return number

    # -- the course of events ---------------------------------------------------------------

    async def run(self, steps: int = 120) -> Counter[str]:
        try:
            for _ in range(steps):
                self._start(self._step())
                for _ in range(self.rng.randint(0, 12 if self._fast else 40)):
                    await asyncio.sleep(0)
                for task in [task for task in self._tasks if task.done()]:
                    self._tasks.discard(task)
                    task.result()
            while self._tasks:
                self._deliver()
                await asyncio.sleep(0)
                for task in [task for task in self._tasks if task.done()]:
                    self._tasks.discard(task)
                    task.result()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for node in (self.primary, self.replica):
                await node.flights.aclose()
        return self.counts

    def _start(self, work: Awaitable[None] | None) -> None:
        if work is not None:
            self._tasks.add(asyncio.ensure_future(work))

    def _step(self) -> Awaitable[None] | None:
        rng, kind = self.rng, self.rng.random()
        node = rng.choice([self.primary, self.replica])
        if kind < self._writes:
            return self._write(self.requests.write())
        kind = rng.random()
        if kind < 0.55:
            return self._query(node)
        if kind < 0.75:
            return self._read_item(self.primary)
        if kind < 0.82:
            self._deliver(1000)
        elif kind < 0.985:
            self._pass_time(rng.choice([0.1, 1.0, Q, 2 * Q, 2 * Q]) * rng.random() * 1.2)
        elif kind < 0.99:
            self._lose_a_write()
        elif kind < 0.997:
            self._welcome()
        else:
            self.note("the primary flushes")
            self.primary.guard.flush(TABLE, self.clock.time)
        return None

    def note(self, text: str) -> None:
        self.trace.append(f"{self.clock.time:8.2f} {text}")

    def _pass_time(self, seconds: float) -> None:
        until = self.clock.time + seconds
        while self._landings and self._landings[0][0] <= until:
            self.clock.time, write = self._landings.pop(0)
            self._land(write)
        self.clock.time = until
        for node in (self.primary, self.replica):
            node.guard.tick(until)

    async def _pause(self) -> None:
        for _ in range(self.rng.randint(0, 12)):
            if self.rng.random() < 0.5:
                self._deliver()
            await asyncio.sleep(0)

    # -- the stream -------------------------------------------------------------------------

    def _publish(self, message: Any) -> asyncio.Event:
        applied = asyncio.Event()
        data = wire.primary_message(message).SerializeToString()
        frame = pb.PrimaryMessage.FromString(data)
        self._stream.append((wire.primary_message_back(frame), applied))
        return applied

    def _deliver(self, count: int = 1) -> None:
        guard, now = self.replica.guard, self.clock.time
        for _ in range(min(count, len(self._stream))):
            message, applied = self._stream.pop(0)
            match message:
                case Fence():
                    guard.fence(message.position, message.keys, now, message.effects)
                case Settle():
                    guard.settle(message.fence, message.outcome, message.images, now)
                case Welcome(reset=True):
                    guard.reset(message.fences, message.unknown, message.all_unknown, now)
                case Welcome():
                    guard.join(message.fences, message.unknown, message.all_unknown, now)
            applied.set()

    def _welcome(self) -> None:
        guard, now = self.primary.guard, self.clock.time
        self.note("the replica subscribes anew")
        reset = self.rng.random() < 0.5
        self._publish(
            Welcome(
                self._next(),
                reset,
                guard.open_fences(),
                guard.unknown_keys(now),
                guard.all_unknown(now),
            )
        )

    def _next(self) -> Position:
        self._position += 1
        return Position(1, self._position)

    # -- writes -----------------------------------------------------------------------------

    async def _write(self, write: Write) -> None:
        schemas = {TABLE: self.table.info.schema}
        plan = plan_write(write.operation, write.params, schemas)
        for item, schema in plan.items(schemas):
            self.list_id(attribute_names(item, schema))
        effects = self.primary.effects.of(plan) if self.rng.random() < 0.9 else ()
        position, now = self._next(), self.clock.time
        self.note(f"fence {position.sequence}: {write.operation} {write.params} {effects}")
        self.primary.guard.fence(position, plan.keys, now, effects)
        self.count_effects(effects)
        await self._publish(Fence(position, plan.keys, effects)).wait()
        for _ in range(self.rng.choice([1, 1, 1, 30])):
            await self._pause()
        outcome, images = self._send(write, plan)
        await self._pause()
        guard, now = self.primary.guard, self.clock.time
        allowed = guard.images_allowed(position, images, now)
        self.note(f"settle {position.sequence} {outcome.value}")
        guard.settle(position, outcome, allowed, now)
        self._publish(Settle(self._next(), position, outcome, allowed))
        self.counts[outcome.value] += 1

    def count_effects(self, effects: Any) -> None:
        for effect in effects:
            exact = effect is not None and effect.touches is not None
            if exact and all(touch.partition is not None for touch in effect.touches):
                self.counts["effects known"] += 1
            else:
                self.counts["effects not known"] += 1

    def _send(self, write: Write, plan: WritePlan) -> tuple[Outcome, list[Image | None]]:
        nothing: list[Image | None] = [None] * len(plan.keys)
        fate = self.rng.random()
        if fate < 0.1:
            return Outcome.REJECTED, nothing
        if fate < 0.1 + self._ambiguous:
            if self.rng.random() < 0.7:
                at = self.clock.time + self.rng.random() * LAG_S
                self._landings.append((at, write))
                self._landings.sort(key=lambda landing: landing[0])
            return Outcome.UNKNOWN, nothing
        self._land(write)
        result: Result = {}
        if plan.asks_new:
            new = self.table.item(write.actions[0][1])
            result["Attributes"] = new
            self.list_id(attribute_names(new or {}, self.table.info.schema))
        if self.rng.random() < 0.3:
            return Outcome.SUCCESS, nothing
        return Outcome.SUCCESS, plan.images(result, {TABLE: self.table.info.schema}, self.encode)

    def _land(self, write: Write) -> None:
        self.note(f"lands: {write.operation} {write.params}")
        self.table.change(self.clock.time, write.changes(self.table))
        self.check()

    def _lose_a_write(self) -> None:
        """As after a takeover: a write of which only the keys are known may land within Q."""
        write = self.requests.write()
        keys = plan_write(write.operation, write.params, {TABLE: self.table.info.schema}).keys
        self.note(f"lost: {write.operation} {write.params}")
        self._deliver(1000)
        for node in (self.primary, self.replica):
            node.guard.quarantine(keys, self.clock.time)
        self._landings.append((self.clock.time + self.rng.random() * LAG_S, write))
        self._landings.sort(key=lambda landing: landing[0])

    # -- reads ------------------------------------------------------------------------------

    async def read(self, operation: str, params: Params, deadline: float) -> Result:
        """What the query path asks: Backend.read."""
        query, start = self._questions[query_key(operation, params)]
        await self._pause()
        index = query.asked.index
        is_global = index is not None and self.table.info.indexes[index].kind == "GSI"
        if params.get("ConsistentRead"):
            assert not is_global, "DynamoDB refuses a consistent read of a global index"
            state = self.table.state
        else:
            states = self.table.states_since(self.clock.time - LAG_S)
            state = self.rng.choice(states) if self.rng.random() < 0.6 else states[-1]
        result = self.table.answer(query.asked, start, state)
        await self._pause()
        return result

    @property
    def _questions(self) -> dict[QueryKey, tuple[Query, Item | None]]:
        return self.primary.asked | self.replica.asked

    async def _query(self, node: Node) -> None:
        start: Item | None = None
        query = self.rng.choice(self.pool)
        if node.pages and self.rng.random() < 0.4:
            query, start = self.rng.choice(node.pages)
        params = dict(query.params)
        if start is not None:
            params["ExclusiveStartKey"] = start
        key = query_key(query.operation, params)
        node.asked[key] = query, start
        answer = await node.queries.answer(query.operation, params, self.table.info, FOREVER)
        if answer.result is None:
            self.counts["hits"] += 1
        result = answer.result if answer.kept is None else answer.kept.result()
        assert result is not None
        if "LastEvaluatedKey" in result and len(node.pages) < 20:
            node.pages.append((query, result["LastEvaluatedKey"]))
        if answer.kept is not None:
            self.counts["kept"] += 1
            self._check_page(node, key)

    async def _read_item(self, node: Node) -> None:
        """Fills the item cache, which writes look into for the old item."""
        rng, attributes = self.rng, self.requests.key()
        if self.table.state and rng.random() < 0.8:
            item = rng.choice(list(self.table.state.values()))
            attributes = {name: item[name] for name in self.table.info.schema.names}
        key = self._key(attributes)
        fill = node.guard.begin_fill(key, self.clock.time)
        if fill is None:
            return
        state = self.table.state
        if not fill.consistent:
            state = rng.choice(self.table.states_since(self.clock.time - LAG_S))
        found = self.table.item(attributes, state)
        await self._pause()
        if node.guard.end_fill(fill, self.clock.time):
            image = None
            if found is not None:
                image = self.encode(found, self.table.info.schema)
            node.caches.install(key, Image(image), self.clock.time)

    def _key(self, attributes: Item) -> Key:
        plan = plan_write(
            "DeleteItem",
            {"TableName": TABLE, "Key": attributes},
            {TABLE: self.table.info.schema},
        )
        return plan.keys[0]

    # -- the promise ------------------------------------------------------------------------

    def check(self) -> None:
        for node in (self.primary, self.replica):
            for parameters in list(node.caches.queries._tables.get(TABLE.encode(), {})):
                self._check_page(node, (TABLE, parameters))

    def _check_page(self, node: Node, key: QueryKey) -> None:
        entry = node.caches.queries._tables.get(TABLE.encode(), {}).get(key[1])
        expires_at = node.caches.budget.entries.expires_at
        if entry is None or expires_at[entry.node] <= self.clock.time:
            return
        assert isinstance(entry.value, KeptResult)
        query, start = node.asked[key]
        held, fresh = entry.value.result(), self.table.answer(query.asked, start)
        self.counts["compared"] += 1
        if held != fresh:
            raise Stale(
                f"seed {self.seed}: {node.name} has of {query.params} from {start}\n"
                f"{held}\nbut it is\n{fresh}\nkept for {entry.dependency}\n"
                f"{self.table.info}\n" + "\n".join(self.trace[-60:])
            )


def run(seed: int, steps: int = 120) -> Counter[str]:
    """A whole world; the seed decides everything in it."""

    async def work() -> Counter[str]:
        return await Rig(seed).run(steps)

    with asyncio.Runner() as runner:
        return runner.run(work())


Check = Callable[[int], object]
