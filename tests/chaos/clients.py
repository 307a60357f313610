"""The clients of a chaos run: calls in a loop, and what each client knows of their outcome.

What an error says is in ``docs/dax-protocol.md``, section 6. Whatever does not surely say that
nothing happened leaves a write's outcome unknown.
"""

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import botocore.session
from amazondax import AmazonDaxClient
from amazondax.DaxError import DaxErrorCode, DaxValidationError
from botocore.config import Config
from botocore.exceptions import ClientError

from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError
from paceline_local.testing.linearizability import Operation
from tests.chaos import records
from tests.chaos.records import Tally
from tests.chaos.workload import Call, Workload
from tests.support.protocol_client import (
    Broken,
    ClusterClient,
    Knowledge,
    NodeClient,
    Unreachable,
)

Outcome = Literal["refused", "failed", "unknown"]
"""Of a call that raised: its condition did not hold, it surely did nothing, or nobody knows."""

TASKS = 5
READERS = 2
THREADS = 3
READER_PAUSE_S = 0.05
TASK_PAUSE_S = 0.02
"""Between two calls of one task, so that a small machine keeps up."""
THREAD_PAUSE_S = 0.02
WRITE_ATTEMPT_S = 3.0
"""The protocol client's patience with a node: longer than a failover. A paused node keeps those
connected that it had, so its clients have to give up by themselves."""
CONNECT_S = 1.0
READ_S = 5.0
"""The official client's; by default it waits a minute, and most scenarios do not last that long."""
FAILURES_MAX = 5
"""Texts that are kept of failed reads and of surprises."""

SURELY_NOT = frozenset(
    {
        "ValidationException",
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestLimitExceededException",
        "LimitExceededException",
        "ItemCollectionSizeLimitExceededException",
        "TransactionCanceledException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Errors with which a node or DynamoDB says that it changed nothing."""
PLAIN_TROUBLE = SURELY_NOT - {"ValidationException"} | {
    "InternalServerError",
    "InternalServerErrorException",
    "InternalFailure",
    "ServiceUnavailable",
}
"""What faults explain. Anything else is a surprise, which a scenario does not forgive."""


class Load:
    """What both kinds of clients record."""

    def __init__(self, name: str, table: str, seed: str) -> None:
        self.name = name
        self.tally = Tally()
        self.operations: list[Operation] = []
        self.repeats: list[Operation] = []
        self._table = table
        self._seed = seed
        self._lock = threading.Lock()

    def workload(self, process: str, *, reads_only: bool = False) -> Workload:
        rng = random.Random(f"{self._seed}/{process}")
        return Workload(process, self._table, rng, reads_only=reads_only)

    def succeeded(
        self, process: str, workload: Workload, call: Call, result: Any, begun: float, ended: float
    ) -> None:
        found = records.succeeded(process, call, result, begun, ended)
        for one in found:
            if one.kind == records.READS:
                workload.saw(str(one.key), one.result)  # type: ignore[arg-type]
        with self._lock:
            self.operations += found
            if call.writes:
                self.tally.writes += 1
                self.tally.last_write_begun = max(self.tally.last_write_begun, begun)
            else:
                self.tally.reads += 1
                self.tally.read_longest_s = max(self.tally.read_longest_s, ended - begun)

    def raised(
        self,
        process: str,
        call: Call,
        error: Exception,
        outcome: Outcome,
        begun: float,
        ended: float,
        *,
        repeated: bool = False,
    ) -> None:
        """``repeated``: the client made up for this attempt by another one."""
        text = f"{call.operation}: {type(error).__name__}: {error}"
        with self._lock:
            if not call.writes and not repeated:
                self.tally.reads += 1
                self.tally.read_longest_s = max(self.tally.read_longest_s, ended - begun)
                self.tally.read_failed += 1
                if len(self.tally.read_failures) < FAILURES_MAX:
                    self.tally.read_failures.append(text)
                return
            match outcome:
                case "refused":
                    found = records.refused(process, call, begun, ended)
                case "failed":
                    self.tally.not_sent += not repeated
                    found = records.failed(process, call, begun, ended)
                case "unknown":
                    self.tally.unknown += not repeated
                    found = records.unknown(process, call, begun)
            (self.repeats if repeated else self.operations).extend(found)

    def surprise(self, call: Call, error: Exception) -> None:
        with self._lock:
            if len(self.tally.surprises) < FAILURES_MAX:
                self.tally.surprises.append(
                    f"{self.name}: {call.operation}: {type(error).__name__}: {error}"
                )


def judged(name: str, call: Call) -> tuple[Outcome, bool]:
    """(outcome, whether it is a surprise) of an error of this name, answered by a node."""
    if name == "ConditionalCheckFailedException":
        return "refused", call.effects[0].action != "compare"
    if name in SURELY_NOT:
        return "failed", name not in PLAIN_TROUBLE
    return "unknown", name not in PLAIN_TROUBLE


class ProtocolLoad(Load):
    """Tasks on a client that tries the nodes in turn, and says what happened to a write.

    Some of them read only: the others may all be waiting with their writes. Besides, one reader
    per node asks no other: a node that is cut off and would answer from its cache must not get
    away with it because clients have turned to others.
    """

    def __init__(
        self, addresses: Mapping[str, tuple[str, int]], name: str, table: str, seed: str
    ) -> None:
        super().__init__(name, table, seed)
        self._client = ClusterClient(addresses, write_attempt_s=WRITE_ATTEMPT_S)
        knowledge = Knowledge()
        self._nodes = {
            node_id: NodeClient(host, port, knowledge)
            for node_id, (host, port) in addresses.items()
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``; every call that was begun is recorded."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(TASKS + READERS):
                    process, reads_only = f"{self.name}{number}", number >= TASKS
                    group.create_task(self._calls(process, stop, reads_only=reads_only))
                for node_id, node in self._nodes.items():
                    group.create_task(self._reads(f"{self.name} at {node_id}", node, stop))
        finally:
            self._client.close()
            for node in self._nodes.values():
                node.close()

    async def _reads(self, process: str, node: NodeClient, stop: asyncio.Event) -> None:
        """What a node answers; that it does not answer is nothing to record."""
        workload = self.workload(process, reads_only=True)
        while not stop.is_set():
            call = workload.next()
            begun = time.monotonic()
            try:
                result = await node.call(call.operation, **call.params)
            except PacelineError:
                node.close()
            else:
                ended = time.monotonic()
                self.operations += records.succeeded(process, call, result, begun, ended)
                self.tally.node_reads += 1
            await asyncio.sleep(READER_PAUSE_S)

    async def _calls(self, process: str, stop: asyncio.Event, *, reads_only: bool) -> None:
        workload = self.workload(process, reads_only=reads_only)
        while not stop.is_set():
            await self._one(process, workload, workload.next())
            await asyncio.sleep(TASK_PAUSE_S)

    async def _one(self, process: str, workload: Workload, call: Call) -> None:
        work = self._client.write if call.writes else self._client.read
        begun = time.monotonic()
        try:
            result = await work(call.operation, **call.params)
        except PacelineError as error:
            outcome, surprise = self._outcome(call, error)
            if surprise:
                self.surprise(call, error)
            self.raised(process, call, error, outcome, begun, time.monotonic())
        else:
            self.succeeded(process, workload, call, result, begun, time.monotonic())

    @staticmethod
    def _outcome(call: Call, error: PacelineError) -> tuple[Outcome, bool]:
        match error:
            case DynamoDBError():
                return judged(error.name, call)
            case Unreachable():
                return "failed", False
            case OutcomeUnknown() | Broken():
                return "unknown", False
        return "unknown", True


class _Attempts(AmazonDaxClient):  # type: ignore[misc]
    """The official client, observed: each attempt of a call is told, whether or not it repeats it.

    It repeats a write whose connection ended, which may then happen twice; so it is the attempts
    that are judged, not the calls.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        self.told = threading.local()
        super().__init__(*args, **more)

    def _do_request(self, action: Any, op_name: str, **params: Any) -> Any:
        begun = time.monotonic()
        try:
            return super()._do_request(action, op_name, **params)
        except Exception as error:
            self.told.attempts.append((begun, time.monotonic(), error))
            raise


class OfficialLoad(Load):
    """Threads on one client of AWS's, as an application runs it."""

    def __init__(self, dax: str, name: str, table: str, seed: str) -> None:
        super().__init__(name, table, seed)
        self._client = _Attempts(
            botocore.session.get_session(),
            endpoint_url=dax,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(connect_timeout=CONNECT_S, read_timeout=READ_S),
        )
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._calls, args=(f"{name}{number}",))
            for number in range(THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout_s)
        self._client.close()
        assert not any(thread.is_alive() for thread in self._threads), "a call never ended"

    def _calls(self, process: str) -> None:
        workload = self.workload(process)
        while not self._stop.wait(THREAD_PAUSE_S):
            self._one(process, workload, workload.next())

    def _one(self, process: str, workload: Workload, call: Call) -> None:
        method: Callable[..., Any] = getattr(self._client, _METHODS[call.operation])
        attempts = self._client.told.attempts = []
        begun = time.monotonic()
        try:
            result = method(**call.params)
        except (ClientError, OSError) as error:
            if not attempts:  # no connection was had
                attempts.append((begun, time.monotonic(), error))
            last = attempts.pop()
            self._attempted(process, call, attempts)
            outcome, surprise = official_outcome(call, last[2])
            if surprise:
                self.surprise(call, last[2])
            self.raised(process, call, last[2], outcome, last[0], last[1])
        else:
            ended = time.monotonic()
            self._attempted(process, call, attempts)
            if attempts:
                begun = attempts[-1][1]  # the last attempt began when the one before it had failed
            self.succeeded(process, workload, call, result, begun, ended)

    def _attempted(
        self, process: str, call: Call, attempts: list[tuple[float, float, Exception]]
    ) -> None:
        for begun, ended, error in attempts:
            outcome, surprise = official_outcome(call, error)
            if surprise:
                self.surprise(call, error)
            self.raised(process, call, error, outcome, begun, ended, repeated=True)


_METHODS = {
    "GetItem": "get_item",
    "Query": "query",
    "BatchGetItem": "batch_get_item",
    "TransactGetItems": "transact_get_items",
    "PutItem": "put_item",
    "UpdateItem": "update_item",
    "DeleteItem": "delete_item",
    "BatchWriteItem": "batch_write_item",
    "TransactWriteItems": "transact_write_items",
}

_BROKEN = frozenset(
    {DaxErrorCode.EndOfStream, DaxErrorCode.ConnectionException, DaxErrorCode.Decoder}
)


def official_outcome(call: Call, error: Exception) -> tuple[Outcome, bool]:
    """(outcome, whether it is a surprise) of one attempt of the official client."""
    if isinstance(error, ConnectionRefusedError):
        return "failed", False
    if isinstance(error, OSError | socket.timeout):
        return "unknown", False
    codes = getattr(error, "codes", None) or ()
    code = str(getattr(error, "code", ""))
    if code == DaxErrorCode.NoRoute:
        return "failed", False
    if code in _BROKEN:
        return "unknown", False
    if isinstance(error, DaxValidationError) and call.operation == "BatchWriteItem":
        # Its first attempt leaves its own entries in the parameters, which the second refuses.
        return "failed", False
    if codes and codes[0] in (2, 3):
        # 2: the connection ended; 3: the node says that it does not know.
        return "unknown", False
    return judged(code, call)
