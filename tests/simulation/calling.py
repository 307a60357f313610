"""What every client does: chooses a node, a door and keys, calls, and has the checker judge."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from node.backend.retry import THROTTLING
from paceline.dax.family import Family
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    RequestError,
    ServiceError,
    Unavailable,
)
from paceline.types import Item, Key, KeySchema, Params, Result
from tests.simulation import doors
from tests.simulation.check import Checker
from tests.simulation.dynamodb import Store
from tests.simulation.expressions import literal_of
from tests.simulation.loop import Owner, VirtualLoop
from tests.simulation.node import SimulatedNode
from tests.simulation.options import Options
from tests.simulation.rights import REFUSALS, Asked, RightsWatch
from tests.simulation.rights_changes import RightsChanges
from tests.simulation.tables import HASHED, NUMBERED, RANGED
from tests.simulation.upstream import OWN_WORDS
from tests.simulation.versions import VALUE

GROUPS = ("g0", "g1")


NEW_KEY, NEW_CONNECTION = 0.3, 0.1
"""Chances, at each request, that a client takes its principal's latest key, and that it comes by a
new connection."""

CARRIED_OUT = frozenset({"ConditionalCheckFailedException", "TransactionCanceledException"})
"""Errors that tell something of items."""


class NoAnswer(Exception):
    """The node died, or the client's patience ended."""


class Scene(Protocol):
    """What clients need of the simulation."""

    loop: VirtualLoop
    store: Store
    checker: Checker
    options: Options
    rights: RightsWatch | None
    changes: RightsChanges | None

    def serving(self) -> list[SimulatedNode]: ...
    def quiet(self) -> bool: ...
    def take_turn(self) -> bool:
        """False: no more operations are wanted."""

    def count(self, what: str) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Write:
    """One item that a request writes, if it succeeds."""

    key: Key
    value: str | None
    """None: it is deleted."""


class Caller:
    """One caller with one operation at a time."""

    def __init__(self, scene: Scene, number: int, seed: int) -> None:
        self.scene = scene
        self.number = number
        self.rng = random.Random(seed)
        self.owner = Owner(scene.loop, f"client-{number}")
        self._writes = 0
        self._last: dict[Key, str | None] = {}
        options = scene.options
        self._attributes: dict[tuple[str, KeySchema], list[Item]] = {}
        self._doors = list(options.doors)
        self._door_weights = list(accumulate(options.doors.values()))
        family = self.rng.choice(list(Family))
        complaints = scene.loop.complaints
        self._visitor = doors.Visitor(
            random.Random(f"{seed} visitor"),
            family,
            lambda text: complaints.append(f"{scene.loop.t:.3f} client-{number}: {text}"),
            scene.store.schemas,
        )

    # -- calling ------------------------------------------------------------------------------

    def _door(self, operation: str, params: Params) -> str:
        """One that can say it, as often as the options want."""
        able = doors.doors_for(operation, params)
        door = chosen(self.rng, self._doors, self._door_weights)
        if door in able:
            return door
        return next((name for name in self._doors if name in able), "http")

    async def _call(
        self, node: SimulatedNode, operation: str, params: Params, door: str | None = None
    ) -> Result:
        """PacelineError, or NoAnswer."""
        loop, options, rng = self.scene.loop, self.scene.options, self.rng
        door = door or self._door(operation, params)
        self._visitor.deadline_s = rng.choice(options.deadline_s)
        future: asyncio.Future[asyncio.Task[Result] | None] = loop.create_future()
        node.callers[future] = None
        visitor, begun = self._signing(node), loop.t
        task = node.owner.spawn(doors.call(door, node, visitor, operation, params))
        task.add_done_callback(lambda done: _resolve(future, done))
        patience_s = options.patience_s if rng.random() > 0.01 else rng.random() * 0.05
        timer = loop.call_later(patience_s, _resolve, future, None)
        try:
            answer = await future
        finally:
            timer.cancel()
            node.callers.pop(future, None)
        if answer is None or answer.cancelled():
            if rng.random() < 0.5:
                task.cancel()
            raise NoAnswer
        self._judge_rights(answer.exception(), operation, params, begun)
        return answer.result()

    def _signing(self, node: SimulatedNode) -> doors.Visitor:
        """Sometimes with a key that is new, and by a connection that is."""
        visitor, changes = self._visitor, self.scene.changes
        if changes is None:
            return visitor
        identity = visitor.identity
        if identity is None:
            identity = visitor.identity = changes.identity(self.number)
        if self.rng.random() < NEW_KEY:
            identity.key = changes.key_of(identity.name)
        if self.rng.random() < NEW_CONNECTION:
            identity.leave(node)
        return visitor

    def _judge_rights(
        self, error: BaseException | None, operation: str, params: Params, begun: float
    ) -> None:
        rights, identity = self.scene.rights, self._visitor.identity
        if rights is None or identity is None or not identity.used:
            return
        asked = Asked(identity.name, identity.used, operation, params)
        name = error.name if isinstance(error, ServiceError) else ""
        if name in REFUSALS and isinstance(error, ServiceError) and error.message == OWN_WORDS:
            # DynamoDB denies the node's own credentials something, which says nothing of callers.
            self.scene.count("denied by DynamoDB")
        elif name in REFUSALS:
            self.scene.count("refused")
            rights.refused(asked, begun, str(error))
        elif error is None or name in CARRIED_OUT:
            rights.answered(asked, begun, hit=self._visitor.hit)

    async def _read(self, node: SimulatedNode, operation: str, params: Params) -> Result | None:
        try:
            return await self._call(node, operation, params)
        except (PacelineError, NoAnswer) as error:
            self.scene.note(f"client-{self.number}: {operation} at {node.name}: {error!r}")
            return None

    async def _write(
        self,
        node: SimulatedNode,
        operation: str,
        params: Params,
        writes: Sequence[Write],
        door: str | None = None,
    ) -> Result | None:
        """The result, None without one."""
        begun = self.scene.loop.t
        floors = self.scene.checker.floors(write.key for write in writes)
        said = "done"
        result: Result | None = None
        failed: frozenset[int] = frozenset()
        try:
            result = await self._call(node, operation, params, door)
        except (PacelineError, NoAnswer) as error:
            said = repr(error)
            self.scene.count(type(error).__name__)
            self._see_refusal(error, writes, floors, f"{operation} at {node.name}")
            if surely_failed(operation, error):
                failed = frozenset(range(len(writes)))
        else:
            failed = _failed_parts(operation, result)
        self._judge(writes, begun, said, failed, done=result is not None)
        self.scene.note(
            f"client-{self.number}: {operation} of {[w.value for w in writes]} at {node.name}"
            f" since {begun:.3f}: {said}"
        )
        return result

    def _judge(
        self, writes: Sequence[Write], begun: float, said: str, failed: Iterable[int], *, done: bool
    ) -> None:
        checker = self.scene.checker
        ended = self.scene.loop.t if done else None
        for index, write in enumerate(writes):
            if index in failed:
                if write.value is not None:
                    checker.failed(write.value, said)
                continue
            if done:
                checker.acknowledged(write.key, write.value, begun)
            checker.recorded(
                write.key, self.number, write=True, value=write.value, begun=begun, ended=ended
            )

    def _see_refusal(
        self, error: Exception, writes: Sequence[Write], floors: dict[Key, int], how: str
    ) -> None:
        """Items that come with failed conditions are read, too."""
        if not isinstance(error, DynamoDBError):
            return
        if error.item is not None and len(writes) == 1:
            self.scene.checker.seen(writes[0].key, error.item, floors[writes[0].key], how)
        if error.reasons and len(error.reasons) == len(writes):
            for write, reason in zip(writes, error.reasons, strict=True):
                if reason.get("Item"):
                    self.scene.checker.seen(write.key, reason["Item"], floors[write.key], how)

    # -- parts of requests ----------------------------------------------------------------------

    def _keys_of(self, table: str) -> list[Item]:
        """All keys of the workload, as the table is now."""
        schema = self.scene.store.schemas[table]
        made = self._attributes.get((table, schema))
        if made is None:
            options = self.scene.options
            if table == RANGED:
                made = [
                    {"p": {"S": f"p{p}"}, "s": literal_of(schema.range, s)}
                    for p in range(options.partitions)
                    for s in range(options.ranges)
                ]
            else:
                made = [
                    {schema.hash.name: literal_of(schema.hash, n)} for n in range(options.hash_keys)
                ]
            self._attributes[table, schema] = made
        return made

    def _table(self) -> str:
        chance = self.rng.random()
        return RANGED if chance < 0.5 else HASHED if chance < 0.85 else NUMBERED

    def _key(self) -> tuple[str, Item, Key]:
        """Table, key attributes, and the key."""
        table = self._table()
        attributes = self.rng.choice(self._keys_of(table))
        return table, attributes, self._key_of(table, attributes)

    def _key_of(self, table: str, attributes: Item) -> Key:
        return self.scene.store.key(table, attributes)

    def _keys(self, count: int) -> dict[Key, tuple[str, Item]]:
        chosen = {}
        for _ in range(count):
            table, attributes, key = self._key()
            chosen[key] = (table, attributes)
        return chosen

    def _value(self) -> str:
        self._writes += 1
        return f"{self.number}.{self._writes}"

    def _item(self, table: str, attributes: Item, value: str) -> Item:
        item = {**attributes, VALUE: {"S": value}}
        if table == RANGED:
            item["g"] = {"S": self.rng.choice(GROUPS)}
        if self.rng.random() < 0.2:
            item["x"] = {"N": "7"}
        return item

    def _saw(
        self,
        key: Key,
        item: Item | None,
        floors: dict[Key, int],
        how: str,
        begun: float,
        projection: Params | None = None,
    ) -> None:
        self.scene.checker.seen(key, item, floors[key], how, projection)
        value = None if item is None else item[VALUE]["S"]
        self._last[key] = value
        self.scene.checker.recorded(
            key, self.number, write=False, value=value, begun=begun, ended=self.scene.loop.t
        )

    def _by_key(self, responses: dict[str, list[Item]]) -> dict[Key, Item]:
        return {
            self._key_of(table, item): item for table, items in responses.items() for item in items
        }


def chosen(rng: random.Random, names: Sequence[str], weights: Sequence[float]) -> str:
    """As ``rng.choices`` chooses one by ``weights``, which are cumulative."""
    return names[bisect_right(weights, rng.random() * weights[-1], 0, len(weights) - 1)]


def _resolve(
    future: asyncio.Future[asyncio.Task[Result] | None], done: asyncio.Task[Result] | None
) -> None:
    if done is not None and not done.cancelled():
        done.exception()
    if not future.done():
        future.set_result(done)


def surely_failed(operation: str, error: Exception) -> bool:
    """What the error promises: nothing happened, and nothing will."""
    if isinstance(error, NotSent | RequestError | Unavailable):
        return True
    if isinstance(error, DynamoDBError):
        # A batch may have been done in part; its error then says so.
        return operation != "BatchWriteItem" or error.name not in THROTTLING
    assert isinstance(error, OutcomeUnknown | NoAnswer), repr(error)
    return False


def _failed_parts(operation: str, result: Result) -> frozenset[int]:
    """Of a batch of statements, each of which has an answer of its own."""
    if operation != "BatchExecuteStatement":
        return frozenset()
    return frozenset(i for i, one in enumerate(result["Responses"]) if "Error" in one)


__all__ = ["GROUPS", "Caller", "NoAnswer", "Scene", "Write", "chosen"]
