"""The node's way to DynamoDB."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

from cluster.settings import DynamoDBSettings
from cluster.transport.large_work import LargeWork
from node.backend.calls import Caller
from node.backend.reads import Reads
from node.backend.writes import SendForbidden, WriteResult, Writes
from node.requests.passthrough import RAW, raw_params
from node.requests.reach import goes_unfenced, may_change_data
from paceline import clock
from paceline.errors import DynamoDBError
from paceline.types import Params, Result

__all__ = ["Backend", "ErrorObserver", "SendForbidden", "WriteResult"]

CONTROL_TIMEOUT_S = 10.0
"""Control operations are answered within a second or two, and throttled at a few per second."""

DYNAMODB = "DynamoDB_20120810."
STREAMS = "DynamoDBStreams_20120810."
"""Targets with another host than DynamoDB's own. All of their operations read."""

ErrorObserver = Callable[[str, Params, DynamoDBError], None]
"""Told of every error answer that a data operation ends with: operation, parameters, error."""


class Backend:
    """Reads, writes and control operations, with their deadlines on ``paceline.clock``.

    Parameters and results are those of boto3's low-level client, without ``ResponseMetadata``.
    DynamoDB's error answers come out unchanged as ``DynamoDBError``. The caller's cancellation
    ends an attempt under way: shield what must be known to its end.
    """

    def __init__(
        self,
        settings: DynamoDBSettings,
        *,
        now: Callable[[], float] = clock.now,
        rng: random.Random | None = None,
        ca_file: Path | None = None,
        quarantine_s: float = math.inf,
        large_work: LargeWork | None = None,
    ) -> None:
        rng = rng or random.Random()
        self._now = now
        self._ca_file = ca_file
        self._large_work = large_work or LargeWork()
        self._caller = Caller(
            settings,
            now,
            ca_file=ca_file,
            quarantine_s=quarantine_s,
            large_work=self._large_work,
        )
        self._reads = Reads(self._caller, now, rng)
        self._writes = Writes(self._caller, now, rng)
        self._observer: ErrorObserver | None = None
        self._settings = settings
        self._rng = rng
        self._streams: Caller | None = None

    @property
    def endpoint(self) -> str:
        """For people: the URL, or which AWS region."""
        return self._caller.endpoint

    @property
    def region(self) -> str:
        return self._settings.region

    async def start(self) -> None:
        """Sets the client up without contacting DynamoDB; ConfigError."""
        await self._caller.start()

    async def stop(self) -> None:
        await self._caller.stop()
        if self._streams is not None:
            await self._streams.stop()

    def observe_errors(self, observer: ErrorObserver) -> None:
        self._observer = observer

    async def read(self, operation: str, params: Params, deadline: float) -> Result:
        """Repeated until ``deadline`` on throttling and trouble with the connection, and on 5xx
        as long as they are not always the same.

        DynamoDBError, Unavailable, RequestError. ``UnprocessedKeys`` are asked for again.
        """
        if may_change_data(operation):
            raise AssertionError(f"{operation} is no read")
        try:
            return await self._reads.read(operation, params, deadline)
        except DynamoDBError as error:
            self._observe(operation, params, error)
            raise

    async def write(
        self,
        operation: str,
        params: Params,
        deadline: float,
        may_send: Callable[[], bool],
    ) -> WriteResult:
        """Sends the write if ``may_send`` says yes when the connection is in hand.

        ``may_send`` is asked once per attempt, in the step that hands the bytes over. Raises
        nothing but the caller's cancellation; see ``Writes.write`` for the errors in the result.
        """
        ended = await self._writes.write(operation, params, deadline, may_send)
        if isinstance(ended.error, DynamoDBError):
            self._observe(operation, params, ended.error)
        return ended

    async def control(
        self, operation: str, params: Params, deadline: float | None = None
    ) -> Result:
        """An operation that is neither fenced nor cached, e.g. on tables; none that may write data.

        Describe and List are repeated like reads, others like writes. DynamoDBError,
        Unavailable, NotSent, OutcomeUnknown, RequestError.
        """
        if deadline is None:
            deadline = self._now() + CONTROL_TIMEOUT_S
        if may_change_data(operation):
            raise AssertionError(f"{operation} without a fence and a lease")
        if operation.startswith(("Describe", "List")):
            return await self._reads.read(operation, params, deadline)
        return (await self._writes.write(operation, params, deadline, None)).reply()

    async def raw(self, target: str, body: bytes, deadline: float, *, repeat: bool) -> Result:
        """A request passed on as it came (``node.requests.passthrough``), with no fence and no
        lease: nothing goes this way that may change data (``node.requests.reach``).

        ``repeat``: it changes nothing and is repeated like any read. Else DynamoDBError also for
        throttling, NotSent, OutcomeUnknown.
        """
        if not goes_unfenced(target, body):
            raise AssertionError(f"{target} without a fence and a lease")
        params = raw_params(target, body)
        if target.startswith(STREAMS):
            caller = await self._streams_caller()
            return await Reads(caller, self._now, self._rng).read(RAW, params, deadline)
        if repeat:
            try:
                return await self._reads.read(RAW, params, deadline)
            except DynamoDBError as error:
                asked = json.loads(body)
                if isinstance(asked, dict):
                    self._observe(target.rpartition(".")[2], asked, error)
                raise
        return (await self._writes.write(RAW, params, deadline, None)).reply()

    def knows(self, operation: str) -> bool:
        """Whether DynamoDB has the operation, to the knowledge of botocore."""
        return self._caller.knows(operation)

    async def show_signature(self, headers: Params, query: str, deadline: float) -> None:
        """Asks for next to nothing with somebody else's signature instead of this node's;
        DynamoDBError if DynamoDB does not like its form."""
        params = raw_params(f"{DYNAMODB}ListTables", b'{"Limit":1}')
        await self._reads.read(RAW, {**params, "Headers": headers, "Query": query}, deadline)

    async def _streams_caller(self) -> Caller:
        """Made when it is needed first: few nodes are asked for streams."""
        if self._streams is None:
            caller = Caller(
                self._settings,
                self._now,
                "dynamodbstreams",
                self._ca_file,
                large_work=self._large_work,
            )
            self._streams = caller
            await caller.start()
        return self._streams

    def _observe(self, operation: str, params: Params, error: DynamoDBError) -> None:
        if self._observer is not None:
            self._observer(operation, params, error)
