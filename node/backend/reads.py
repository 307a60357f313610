"""Reads: repeated freely until the deadline; they change nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from node.backend.batches import keys_in, merge_get
from node.backend.calls import Caller, End, Refusal, Silence, Success
from node.backend.retry import Backoff, ErrorMeaning
from node.requests.passthrough import spoken_name
from paceline.errors import PacelineError, Unavailable
from paceline.types import Params, Result

BATCH_GET_ROUNDS_MAX = 10
"""Of a batch of which nothing at all came back. Then it is the caller's to repeat."""

SAME_ANSWERS_MAX = 6
"""So many 5xx, or answers that are not DynamoDB's, in a row and without a difference end a read:
after half a second of them more of the same is to be expected. Throttling is another matter, since
tables refill every second, and so is silence."""


class Reads:
    def __init__(self, caller: Caller, now: Callable[[], float], rng: random.Random) -> None:
        self._caller = caller
        self._now = now
        self._rng = rng

    async def read(self, operation: str, params: Params, deadline: float) -> Result:
        """The result, or DynamoDBError (throttling: only when it outlasts the deadline; 5xx: also
        when they do not change), Unavailable when DynamoDB cannot be reached, RequestError."""
        if operation == "BatchGetItem":
            return await self._batch_get(params, deadline)
        return await self._until(operation, params, deadline)

    async def _until(self, operation: str, params: Params, deadline: float) -> Result:
        backoff = Backoff(self._rng)
        last: PacelineError | None = None
        same = _Same()
        while True:
            end = await self._caller.call(operation, params, deadline)
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
    """How many answers in a row said the same."""

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
