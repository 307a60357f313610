"""Load that knows what it may see: every read is checked against all that was acknowledged.

The values of a key only grow. A read must return at least what was acknowledged, and at least
what any reader had seen, before it began; at most what was ever sent. One process runs all
clients, so 'before' is this process's clock.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

import botocore.session
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError

from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError
from tests.support.protocol_client import WRITE_ATTEMPT_S, ClusterClient
from tests.support.waiting import Background, until

VIOLATIONS_MAX = 50
"""More say nothing more."""
PAUSED_ATTEMPT_S = 3.0
"""How long a write waits where a node may be paused: a little longer than a failover."""
STOP_S = 30.0
"""Longer than any single call waits."""


class Freshness:
    """What each key's readers may still see. Safe to use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._issued: dict[str, int] = {}
        self._floor: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}
        self.reads_checked = 0
        self.violations: list[str] = []

    def issue(self, key: str) -> int:
        """The next value to write under ``key``."""
        with self._lock:
            self._issued[key] = self._issued.get(key, 0) + 1
            return self._issued[key]

    def acknowledge(self, key: str, value: int) -> None:
        """A write of ``value`` was reported as done."""
        with self._lock:
            self.acknowledged[key] = max(self.acknowledged.get(key, 0), value)
            self._floor[key] = max(self._floor.get(key, 0), value)

    def begin_read(self, key: str) -> int:
        """The least value that a read beginning now may return."""
        with self._lock:
            return self._floor.get(key, 0)

    def end_read(self, key: str, floor: int, value: int, where: str) -> None:
        """``value``: 0 for a missing item. ``floor``: as ``begin_read`` gave it."""
        with self._lock:
            self.reads_checked += 1
            if value < floor:
                self._violation(f"stale: {where} returned {key}={value} after {floor} was known")
            if value > self._issued.get(key, 0):
                self._violation(f"invented: {where} returned {key}={value}, never written")
            self._floor[key] = max(self._floor.get(key, 0), value)

    def end_state(self, key: str, value: int) -> None:
        """``value`` is what DynamoDB has when all is over."""
        with self._lock:
            if value < self.acknowledged.get(key, 0):
                self._violation(
                    f"lost: DynamoDB has {key}={value}, {self.acknowledged[key]} was acknowledged"
                )

    def violation(self, text: str) -> None:
        with self._lock:
            self._violation(text)

    def _violation(self, text: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(text)


@dataclass
class Seen:
    """What became of the calls of one load. Times are ``time.monotonic``."""

    writes: list[tuple[float, float]] = field(default_factory=list)
    """(begun, acknowledged) of every write that was reported as done."""
    unknown: int = 0
    not_sent: int = 0
    reads: int = 0
    read_failures: list[str] = field(default_factory=list)
    read_longest_s: float = 0.0

    def recovery_s(self, since: float) -> float | None:
        """From ``since`` to the first acknowledgement of a write that began after it."""
        ended = [end for begun, end in self.writes if begun >= since]
        return min(ended) - since if ended else None


class Load:
    """Writers and readers on a table with the hash key ``id`` (S)."""

    def __init__(
        self,
        freshness: Freshness,
        table: str,
        *,
        prefix: str,
        keys: int = 12,
        seed: int = 0,
        guarded: bool = False,
    ) -> None:
        """``prefix`` tells this load's keys from another's: each key has one writer.

        ``guarded``: a write may only raise the value. For tests that pause a node: one that wakes
        may still execute the requests in its sockets, whose senders gave up on them long ago.
        """
        self.freshness = freshness
        self.table = table
        self.keys = [f"{prefix}{number}" for number in range(keys)]
        self.seen = Seen()
        self._seed = seed
        self._guarded = guarded

    def write_params(self, key: str, value: int) -> dict[str, Any]:
        params: dict[str, Any] = {
            "TableName": self.table,
            "Key": {"id": {"S": key}},
            "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": {":v": {"N": str(value)}},
        }
        if self._guarded:
            params["ConditionExpression"] = "attribute_not_exists(v) OR v < :v"
        return params

    def read_params(self, key: str) -> dict[str, Any]:
        return {"TableName": self.table, "Key": {"id": {"S": key}}}

    def checked(self, key: str, floor: int, result: Mapping[str, Any], where: str) -> None:
        value = int(result["Item"]["v"]["N"]) if "Item" in result else 0
        self.freshness.end_read(key, floor, value, where)

    def check_end_state(self, plain: Any) -> None:
        """``plain``: boto3 straight on the DynamoDB."""
        for key in self.keys:
            found = plain.get_item(**self.read_params(key), ConsistentRead=True)
            value = int(found["Item"]["v"]["N"]) if "Item" in found else 0
            self.freshness.end_state(key, value)


class ProtocolLoad(Load):
    """Tasks on a client that tries the surviving nodes in turn."""

    def __init__(
        self,
        addresses: Mapping[str, tuple[str, int]],
        freshness: Freshness,
        table: str,
        *,
        writers: int = 3,
        readers: int = 3,
        pause_s: float = 0.005,
        **more: Any,
    ) -> None:
        """``pause_s``: between two calls of one task, so that a small machine keeps up."""
        super().__init__(freshness, table, **more)
        attempt_s = PAUSED_ATTEMPT_S if self._guarded else WRITE_ATTEMPT_S
        self._client = ClusterClient(addresses, write_attempt_s=attempt_s)
        self._writers = writers
        self._readers = readers
        self._pause_s = pause_s
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for number in range(self._writers):
            mine = self.keys[number :: self._writers]
            self._tasks.append(asyncio.create_task(self._write(mine)))
        for number in range(self._readers):
            rng = random.Random(f"{self._seed}/{number}")
            self._tasks.append(asyncio.create_task(self._read(rng)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            self._client.close()

    async def until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Let the load run until ``condition`` holds; AssertionError when it never does."""

        def raise_errors() -> None:
            for task in self._tasks:
                if task.done():
                    task.result()

        await until(condition, what, timeout_s, meanwhile=raise_errors)

    async def progress(self, writes: int = 30, timeout_s: float = 20.0) -> None:
        """Let the load run until that many more writes were acknowledged."""
        wanted = len(self.seen.writes) + writes
        await self.until(lambda: len(self.seen.writes) >= wanted, "writes go on", timeout_s)

    async def recovery(self, since: float, timeout_s: float = 20.0) -> float:
        """Seconds from ``since`` to the first write again."""
        await self.until(
            lambda: self.seen.recovery_s(since) is not None, "a write succeeds again", timeout_s
        )
        found = self.seen.recovery_s(since)
        assert found is not None
        return found

    async def _write(self, keys: list[str]) -> None:
        while not self._stopping:
            for key in keys:
                value = self.freshness.issue(key)
                begun = time.monotonic()
                try:
                    await self._client.write("UpdateItem", **self.write_params(key, value))
                except OutcomeUnknown:
                    self.seen.unknown += 1
                except DynamoDBError as error:
                    if error.name == "ConditionalCheckFailedException":
                        self.freshness.violation(f"twice: {key}={value} met itself or a later one")
                    self.seen.not_sent += 1
                except PacelineError:
                    self.seen.not_sent += 1
                else:
                    self.seen.writes.append((begun, time.monotonic()))
                    self.freshness.acknowledge(key, value)
                await asyncio.sleep(self._pause_s)

    async def _read(self, rng: random.Random) -> None:
        while not self._stopping:
            key = rng.choice(self.keys)
            floor = self.freshness.begin_read(key)
            begun = time.monotonic()
            self.seen.reads += 1
            try:
                result = await self._client.read("GetItem", **self.read_params(key))
            except PacelineError as error:
                self.seen.read_failures.append(f"{type(error).__name__}: {error}")
            else:
                self.checked(key, floor, result, "a node")
            self.seen.read_longest_s = max(self.seen.read_longest_s, time.monotonic() - begun)
            await asyncio.sleep(self._pause_s)


class OfficialLoad(Load, Background):
    """Threads on one official Python client, as an application runs it."""

    def __init__(
        self,
        dax: str,
        freshness: Freshness,
        table: str,
        *,
        writers: int = 2,
        readers: int = 2,
        pause_s: float = 0.01,
        **more: Any,
    ) -> None:
        Load.__init__(self, freshness, table, **more)
        self._client = AmazonDaxClient(
            botocore.session.get_session(),
            endpoint_url=dax,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        self._pause_s = pause_s
        works = [partial(self._write, self.keys[number::writers]) for number in range(writers)]
        works += [
            partial(self._read, random.Random(f"{self._seed}/t{number}"))
            for number in range(readers)
        ]
        Background.__init__(self, works, STOP_S)

    def close(self) -> None:
        self._client.close()

    def _write(self, keys: list[str]) -> None:
        while True:
            for key in keys:
                value = self.freshness.issue(key)
                begun = time.monotonic()
                try:
                    self._client.update_item(**self.write_params(key, value))
                except (ClientError, OSError):
                    # What this client raises does not tell 'not sent' from 'unknown'.
                    self.seen.unknown += 1
                else:
                    self.seen.writes.append((begun, time.monotonic()))
                    self.freshness.acknowledge(key, value)
                if self.ended.wait(self._pause_s):
                    return

    def _read(self, rng: random.Random) -> None:
        while not self.ended.wait(self._pause_s):
            key = rng.choice(self.keys)
            floor = self.freshness.begin_read(key)
            begun = time.monotonic()
            self.seen.reads += 1
            try:
                result = self._client.get_item(**self.read_params(key))
            except (ClientError, OSError) as error:
                self.seen.read_failures.append(f"{type(error).__name__}: {error}")
            else:
                self.checked(key, floor, result, "the official client")
            self.seen.read_longest_s = max(self.seen.read_longest_s, time.monotonic() - begun)


class LeaseWatch(Background):
    """Looks at every node's claim to the primary lease while a test runs.

    A claim of ``remaining`` seconds, answered to a question asked at ``t``, means that nobody else
    may hold the lease before ``t + remaining``, whatever happens to that node meanwhile. (A planned
    hand-over gives the lease up earlier: not for tests that stop a node gently.)
    """

    def __init__(self, status: Callable[[str], dict[str, Any] | None], node_ids: list[str]) -> None:
        self._status = status
        self._until: dict[str, tuple[int, float]] = {}
        super().__init__((partial(self._watch, node_id) for node_id in node_ids), STOP_S)
        self._lock = threading.Lock()
        self.claims = 0
        self.violations: list[str] = []

    def claimed(self, node_id: str, epoch: int, asked: float, answered: float, left: float) -> None:
        """``node_id`` said between ``asked`` and ``answered`` that it holds the lease."""
        with self._lock:
            self.claims += 1
            for other, (other_epoch, until) in self._until.items():
                if other != node_id and answered < until:
                    self.violations.append(
                        f"{node_id} holds epoch {epoch} {until - answered:.3f} s before the lease "
                        f"of {other} (epoch {other_epoch}) runs out"
                    )
            self._until[node_id] = (epoch, asked + left)

    def _watch(self, node_id: str) -> None:
        while not self.ended.wait(0.1):
            asked = time.monotonic()
            status = self._status(node_id)
            answered = time.monotonic()
            if status is not None and status["role"] == "primary":
                left = float(status["replication"]["lease_remaining_s"])
                if left > 0:
                    self.claimed(node_id, int(status["epoch"]), asked, answered, left)
