"""The node's way to DynamoDB. Reads change nothing, so they are repeated freely until the deadline;
writes have rules of their own (``writes``)."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from pathlib import Path

from cluster.settings import DynamoDBSettings
from cluster.transport.large_work import INLINE_BYTES_MAX, LargeWork
from node.backend.batches import keys_in, merge_get
from node.backend.caller_keys import CallerKeys
from node.backend.calls import Caller, End, Refusal, Silence, Success
from node.backend.retry import Backoff, ErrorMeaning
from node.backend.writes import SendForbidden, WriteResult, Writes
from node.requests.capacity import CapacityCounts
from node.requests.counts import Latencies
from node.requests.reach import (
    DYNAMODB,
    RAW,
    STREAMS,
    goes_unfenced,
    may_change_data,
    raw_params,
    spoken_name,
)
from node.tracing.spans import Spans
from node.values import json_slices
from paceline import clock
from paceline.errors import DynamoDBError, NotSent, PacelineError, Unavailable
from paceline.types import Params, Result

__all__ = ["Backend", "ErrorObserver", "SendForbidden", "WriteResult"]

CONTROL_TIMEOUT_S = 10.0
"""Control operations are answered within a second or two, and throttled at a few per second."""

BATCH_GET_ROUNDS_MAX = 10
"""Of a batch of which nothing at all came back. Then it is the caller's to repeat."""

SAME_ANSWERS_MAX = 6
"""A read ends after so many equal answers in a row that are 5xx or not DynamoDB's: after half a
second of them, more of the same is to be expected. Throttling is repeated for longer, since tables
refill every second, and so is silence."""

ErrorObserver = Callable[[str, Params, DynamoDBError], None]
"""Called with every error answer that ends a data operation: operation, parameters, error."""


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
        caller_keys: CallerKeys | None = None,
    ) -> None:
        """``caller_keys``: everything that goes this way goes with the credentials of whoever it is
        done for (``acting``)."""
        self._caller_keys = caller_keys
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
            caller_keys=caller_keys,
        )
        self._reads = Reads(self._caller, now, rng)
        self._writes = Writes(self._caller, now, rng)
        self._observer: ErrorObserver | None = None
        self._settings = settings
        self._rng = rng
        self._streams: Caller | None = None

    @property
    def endpoint(self) -> str:
        """The URL, or the AWS region, for people."""
        return self._caller.endpoint

    @property
    def latencies(self) -> Latencies:
        """Of all attempts, by operation and how they ended."""
        return self._caller.latencies

    @property
    def capacity(self) -> CapacityCounts:
        """What all requests but those of streams consumed."""
        return self._caller.capacity

    @property
    def region(self) -> str:
        return self._settings.region

    async def start(self) -> None:
        """Sets the client up without contacting DynamoDB. Raises ConfigError."""
        await self._caller.start()

    async def stop(self) -> None:
        await self._caller.stop()
        if self._streams is not None:
            await self._streams.stop()

    def trace(self, spans: Spans | None) -> None:
        """Attempts that are made for requests have spans from now on."""
        self._caller.spans = spans

    def observe_errors(self, observer: ErrorObserver) -> None:
        self._observer = observer

    @property
    def is_full(self) -> bool:
        """True if a read that began now would wait for another request's connection."""
        return self._caller.is_full

    async def read(
        self,
        operation: str,
        params: Params,
        deadline: float,
        on_sent: Callable[[], None] | None = None,
    ) -> Result:
        """Reads, repeating until ``deadline`` on throttling and trouble with the connection, and on
        5xx as long as they are not always the same. ``UnprocessedKeys`` are asked for again.
        ``on_sent`` is told whenever the connection of an attempt is in hand.

        Raises DynamoDBError, Unavailable or RequestError.
        """
        if may_change_data(operation):
            raise AssertionError(f"{operation} is no read")
        try:
            return await self._reads.read(operation, params, deadline, on_sent)
        except DynamoDBError as error:
            self._observe(operation, params, error)
            raise

    async def attempt(
        self,
        operation: str,
        params: Params,
        deadline: float,
        on_sent: Callable[[], None] | None = None,
    ) -> Result:
        """A read that is neither repeated nor told to whom observes errors: its caller has another
        way, which tells them. Raises as ``read``, and ReadRefused."""
        if may_change_data(operation):
            raise AssertionError(f"{operation} is no read")
        end = await self._caller.call(operation, params, deadline, on_sent=on_sent)
        match end:
            case Success(result=result):
                return result
            case Refusal(error=error):
                raise error
            case Silence(reason=reason):
                raise Unavailable(reason)

    async def prepare(self, deadline: float) -> None:
        """Fetches the credentials of whoever a write is made for, so that no fence waits for them.
        DynamoDBError, NotSent: it would not be sent."""
        match await self._caller.without_keys(deadline):
            case Refusal(error=error):
                raise error
            case Silence(reason=reason):
                raise NotSent(f"nothing was sent to DynamoDB ({reason}); it is safe to try again")

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
        """A request passed on as it came (``node.requests.reach``), with no fence and no
        lease: nothing goes this way that may change data (``node.requests.reach``).

        ``repeat``: it changes nothing and is repeated like any read. Else DynamoDBError also for
        throttling, NotSent, OutcomeUnknown.
        """
        run_if, large = self._large_work.run_if, len(body) > INLINE_BYTES_MAX
        if not await run_if(large, lambda: goes_unfenced(target, body, json_slices.loads)):
            raise AssertionError(f"{target} without a fence and a lease")
        params = raw_params(target, body)
        if target.startswith(f"{STREAMS}."):
            # Their host is not DynamoDB's own. All of their operations read.
            caller = await self._streams_caller()
            return await Reads(caller, self._now, self._rng).read(RAW, params, deadline)
        if repeat:
            try:
                return await self._reads.read(RAW, params, deadline)
            except DynamoDBError as error:
                asked = await run_if(large, lambda: json_slices.loads(body))
                if isinstance(asked, dict):
                    self._observe(target.rpartition(".")[2], asked, error)
                raise
        return (await self._writes.write(RAW, params, deadline, None)).reply()

    def knows(self, operation: str) -> bool:
        """True if botocore knows the operation."""
        return self._caller.knows(operation)

    async def show_signature(self, headers: Params, query: str, deadline: float) -> None:
        """Sends a tiny read with somebody else's signature instead of this node's. Raises
        DynamoDBError if DynamoDB rejects the signature's form."""
        params = raw_params(f"{DYNAMODB}.ListTables", b'{"Limit":1}')
        await self._reads.read(RAW, {**params, "Headers": headers, "Query": query}, deadline)

    async def _streams_caller(self) -> Caller:
        """Made when it is first needed, because few nodes are asked for streams."""
        if self._streams is None:
            caller = Caller(
                self._settings,
                self._now,
                "dynamodbstreams",
                self._ca_file,
                large_work=self._large_work,
                caller_keys=self._caller_keys,
            )
            self._streams = caller
            await caller.start()
        return self._streams

    def _observe(self, operation: str, params: Params, error: DynamoDBError) -> None:
        if self._observer is not None:
            self._observer(operation, params, error)


class Reads:
    def __init__(self, caller: Caller, now: Callable[[], float], rng: random.Random) -> None:
        self._caller = caller
        self._now = now
        self._rng = rng

    async def read(
        self,
        operation: str,
        params: Params,
        deadline: float,
        on_sent: Callable[[], None] | None = None,
    ) -> Result:
        """Returns the result. Raises DynamoDBError (for throttling only when it outlasts the
        deadline, for 5xx also when they do not change), Unavailable when DynamoDB cannot be
        reached, or RequestError."""
        if operation == "BatchGetItem":
            return await self._batch_get(params, deadline)
        return await self._until(operation, params, deadline, on_sent)

    async def _until(
        self,
        operation: str,
        params: Params,
        deadline: float,
        on_sent: Callable[[], None] | None = None,
    ) -> Result:
        backoff = Backoff(self._rng)
        last: PacelineError | None = None
        same = _Same()
        while True:
            end = await self._caller.call(operation, params, deadline, on_sent=on_sent)
            match end:
                case Success(result=result):
                    return result
                case Refusal(error=error, meaning=meaning):
                    if not meaning.repeat_read:
                        raise error
                    last = error
                case Silence(reason=reason):
                    # An attempt that our own deadline cut off says less than the one before.
                    if last is None or self._now() < deadline:
                        last = Unavailable(
                            f"{spoken_name(operation, params)} got no answer from DynamoDB "
                            f"({self._caller.endpoint}): {reason}; try again"
                        )
            pause_s = backoff.pause_s()
            if self._now() + pause_s >= deadline or same.count(end) >= SAME_ANSWERS_MAX:
                raise last
            await asyncio.sleep(pause_s)

    async def _batch_get(self, params: Params, deadline: float) -> Result:
        """Asked again as long as nothing comes back. The keys left out of an answer of some items
        are the caller's to ask for, as they are DynamoDB's to leave out: for more than 16 MB, or
        because a partition is throttled."""
        backoff = Backoff(self._rng)
        total: Result | None = None
        for _ in range(BATCH_GET_ROUNDS_MAX):
            part = await self._until("BatchGetItem", params, deadline)
            total = part if total is None else merge_get(total, part)
            left = keys_in(total.get("UnprocessedKeys") or {})
            if left < keys_in(params.get("RequestItems") or {}):
                break
            pause_s = backoff.pause_s()
            if self._now() + pause_s >= deadline:
                break
            await asyncio.sleep(pause_s)
        assert total is not None
        return total


class _Same:
    """Counts how many answers in a row were the same."""

    def __init__(self) -> None:
        self._said: object = None
        self._times = 0

    def count(self, end: End) -> int:
        said: object = None
        match end:
            case Refusal(error=error, meaning=ErrorMeaning.FAILED):
                said = (error.name, error.status, error.message)
            case Silence(foreign=True, reason=reason):
                said = reason
        self._times = self._times + 1 if said is not None and said == self._said else 1
        self._said = said
        return self._times
