"""Sends writes. They are repeated only when certainly nothing was changed, and are judged at the
end."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node.backend.batches import merge_write, writes_in
from node.backend.calls import Caller, Refusal, Silence, Success
from node.backend.retry import THROTTLING, Backoff, ErrorMeaning
from node.requests.reach import spoken_name
from paceline.errors import DynamoDBError, NotSent, OutcomeUnknown, PacelineError, RequestError
from paceline.types import Params, Result

CONNECTS_MAX = 3
"""The most attempts of one write that may end without a connection before it is given up as not
sent: as many as an AWS SDK makes. The fence on its keys should not be held longer for a dead
upstream."""

TRANSACTION_REPEATS_MAX = 3
"""The most repeats of a transaction after attempts without an answer. Its token makes them safe for
ten minutes, but each one may have to wait for a whole time-out."""


class SendForbidden(NotSent):
    """The write was not sent: ``may_send`` said no when the connection was in hand."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """How a write ended, for the caller and for the caches.

    Exactly one of ``result`` (DynamoDB did it) and ``error`` is set: what the caller may be told.
    ``ambiguous``: the keys may have any value between the old and the new one, now or later. They
    must be settled *unknown*, even when there is a ``result`` (a transaction that was
    repeated under its token) or a ``DynamoDBError`` (a batch that was written in part).
    An ``error`` that is not ``ambiguous`` certainly changed nothing.
    """

    result: Result | None
    error: PacelineError | None
    ambiguous: bool

    def reply(self) -> Result:
        """Returns the result, or raises the error."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


ANSWER_S = 0.1
"""A write is not sent again with less time left: without an answer within it, what is known to have
been refused would be an unknown outcome."""


class Writes:
    def __init__(self, caller: Caller, now: Callable[[], float], rng: random.Random) -> None:
        self._caller = caller
        self._now = now
        self._rng = rng

    async def write(
        self,
        operation: str,
        params: Params,
        deadline: float,
        may_send: Callable[[], bool] | None,
    ) -> WriteResult:
        """Never raises but for a cancellation, after which the outcome is unknown.

        Errors in the result:
          DynamoDBError   its refusal; throttling that outlasted the deadline
          RequestError    the parameters cannot be put into a request
          NotSent         no connection, or no time left; ``SendForbidden``: the lease was gone
          OutcomeUnknown  sent, but not answered, or answered with 5xx (always ambiguous)
        """
        if operation == "BatchWriteItem":
            return await self._batch_write(params, deadline, may_send)
        if operation == "TransactWriteItems" and not params.get("ClientRequestToken"):
            params = {**params, "ClientRequestToken": str(uuid.uuid4())}
        return await self._until(operation, params, deadline, may_send)

    async def _until(
        self,
        operation: str,
        params: Params,
        deadline: float,
        may_send: Callable[[], bool] | None,
    ) -> WriteResult:
        round_ = _Round(operation, spoken_name(operation, params))
        backoff = Backoff(self._rng)
        latest = deadline
        while True:
            if self._now() >= latest:
                return round_.give_up()
            try:
                end = await self._caller.call(operation, params, deadline, may_send)
            except RequestError as error:
                return WriteResult(None, error, ambiguous=False)
            match end:
                case Success(result=result):
                    return WriteResult(result, None, round_.ambiguous)
                case Refusal():
                    again = round_.refused(end)
                case Silence():
                    again = round_.silent(end)
            pause_s = backoff.pause_s()
            latest = deadline - ANSWER_S
            if not again or self._now() + pause_s >= latest:
                return round_.give_up()
            await asyncio.sleep(pause_s)

    async def _batch_write(
        self, params: Params, deadline: float, may_send: Callable[[], bool] | None
    ) -> WriteResult:
        """Sends items that were left undone again until the deadline. If some are left then, the
        call fails: a DAX client would hand unprocessed puts to the application without their
        keys."""
        backoff = Backoff(self._rng)
        total: Result = {}
        left: dict[str, list[Any]] = params.get("RequestItems") or {}
        asked = writes_in(left)
        while True:
            before = writes_in(left)
            part = await self._until(
                "BatchWriteItem", {**params, "RequestItems": left}, deadline, may_send
            )
            if part.error is not None:
                return part if before == asked else _in_part(part.error, before, asked)
            assert part.result is not None
            total = merge_write(total, part.result)
            left = total["UnprocessedItems"]
            if not left:
                return WriteResult(total, None, ambiguous=False)
            pause_s = backoff.pause_s()
            if self._now() + pause_s >= deadline:
                error = DynamoDBError(
                    "ProvisionedThroughputExceededException",
                    "The level of configured provisioned throughput for the table was exceeded. "
                    "None of the items was written.",
                )
                if writes_in(left) == asked:
                    return WriteResult(None, error, ambiguous=False)
                return _in_part(error, writes_in(left), asked)
            await asyncio.sleep(pause_s)


class _Round:
    """What is known of one request so far. ``ambiguous`` stays True once it is set."""

    def __init__(self, operation: str, name: str) -> None:
        self._name = name
        self._has_token = operation == "TransactWriteItems"
        self._connects = 0
        self._repeats = 0
        self._error: PacelineError | None = None
        self._unanswered = False
        """True if an attempt of ours is open: from then on no refusal may be reported."""
        self.ambiguous = False

    def refused(self, end: Refusal) -> bool:
        """Notes DynamoDB's error answer; True if the write may be sent again."""
        if end.meaning.unchanged:
            if not self._unanswered:
                self._error = end.error
            return end.meaning is ErrorMeaning.THROTTLED
        if end.meaning is ErrorMeaning.IN_PROGRESS:
            # Of somebody who uses the same token, or an attempt of ours: what it will have
            # done to the keys is open.
            self.ambiguous = True
            if not self._unanswered:
                self._error = end.error
        else:
            self._unknown(str(end.error))
        return self._repeat()

    def silent(self, end: Silence) -> bool:
        """Notes that no answer came; True if the write may be sent again."""
        if end.sent:
            self._unknown(end.reason)
            return self._repeat()
        if not self._unanswered:
            kind = SendForbidden if end.forbidden else NotSent
            self._error = kind(
                f"{self._name} was not sent to DynamoDB ({end.reason}); nothing was "
                "changed and it is safe to try again"
            )
        self._connects += 1
        return not end.forbidden and self._connects < CONNECTS_MAX

    def give_up(self) -> WriteResult:
        error = self._error or NotSent(
            f"{self._name} was not sent: its deadline had passed; it is safe to try again"
        )
        return WriteResult(None, error, self.ambiguous)

    def _unknown(self, reason: str) -> None:
        self.ambiguous = self._unanswered = True
        self._error = OutcomeUnknown(
            f"{self._name} was sent to DynamoDB, but its outcome is not known ({reason}); "
            "read the item to see whether it happened"
        )

    def _repeat(self) -> bool:
        self._repeats += 1
        return self._has_token and self._repeats <= TRANSACTION_REPEATS_MAX


def _in_part(error: PacelineError, left: int, asked: int) -> WriteResult:
    """Returns the result of a batch of which some rounds succeeded before ``error``."""
    said = f"{asked - left} of {asked} writes of the batch were done"
    if isinstance(error, DynamoDBError) and error.name in THROTTLING:
        error = DynamoDBError(
            error.name,
            f"{said}, the other {left} were throttled until the deadline; send the batch again",
            error.status,
            request_id=error.request_id,
        )
    else:
        error = OutcomeUnknown(f"{said}; then: {error}; read the items to see which")
    return WriteResult(None, error, ambiguous=True)
