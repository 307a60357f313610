"""Reads: repeated freely until the deadline; they change nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from node.backend.backoff import Backoff
from node.backend.batches import keys_in, merge_get
from node.backend.calls import Caller, Refusal, Reply, Silence
from paceline.errors import DynamoDBError, PacelineError, Unavailable
from paceline.types import Params, Result

BATCH_GET_ROUNDS_MAX = 10
"""DynamoDB leaves keys out of an answer of more than 16 MB, or when a partition is throttled. A
batch of 100 items of 400 KB needs three rounds; after ten the rest is the caller's to ask for."""


class Reads:
    def __init__(self, caller: Caller, now: Callable[[], float], rng: random.Random) -> None:
        self._caller = caller
        self._now = now
        self._rng = rng

    async def read(self, operation: str, params: Params, deadline: float) -> Result:
        """The result, or DynamoDBError (throttling and 5xx: only when they outlast the
        deadline), Unavailable when DynamoDB cannot be reached, RequestError."""
        if operation == "BatchGetItem":
            return await self._batch_get(params, deadline)
        return await self._until(operation, params, deadline)

    async def _until(self, operation: str, params: Params, deadline: float) -> Result:
        backoff = Backoff(self._rng)
        last: PacelineError | None = None
        while True:
            match await self._caller.call(operation, params, deadline):
                case Reply(result=result):
                    return result
                case Refusal(error=error, verdict=verdict):
                    if not verdict.repeat_read:
                        raise error
                    last = error
                case Silence(reason=reason):
                    # An attempt that our own deadline cut off says less than the one before.
                    if last is None or self._now() < deadline:
                        last = Unavailable(
                            f"{operation} got no answer from DynamoDB ({self._caller.endpoint}): "
                            f"{reason}; try again"
                        )
            pause_s = backoff.pause_s()
            if self._now() + pause_s >= deadline:
                raise last
            await asyncio.sleep(pause_s)

    async def _batch_get(self, params: Params, deadline: float) -> Result:
        """Keys left out are asked for again; those still missing at the end, or when a later
        round fails for lack of capacity, are returned as ``UnprocessedKeys``."""
        backoff = Backoff(self._rng)
        total: Result | None = None
        wanted = params.get("RequestItems") or {}
        for _ in range(BATCH_GET_ROUNDS_MAX):
            try:
                part = await self._until(
                    "BatchGetItem", {**params, "RequestItems": wanted}, deadline
                )
            except (DynamoDBError, Unavailable):
                if total is None or not total["Responses"]:
                    raise
                return total
            total = part if total is None else merge_get(total, part)
            left = total.get("UnprocessedKeys") or {}
            if keys_in(left) == 0:
                break
            wanted = left
            pause_s = backoff.pause_s()
            if self._now() + pause_s >= deadline:
                break
            await asyncio.sleep(pause_s)
        assert total is not None
        return total
