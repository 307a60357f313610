"""The fallback on an event loop."""

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from paceline.client.core.commands import Refused
from paceline.client.core.retry import FallbackReservation
from paceline.client.fallback import PAUSE_S, Fallback
from paceline.types import Params, Result

THREADS_MAX: Final = 32
"""How many calls of an ``AsyncClient`` ask DynamoDB at a time. Calls that wait for a thread have
taken no tokens of the budget yet."""


class AsyncFallbackDriver:
    """Calls boto3's clients in threads, and awaits what aiobotocore's give."""

    def __init__(self, fallback: Fallback) -> None:
        self.fallback = fallback
        self._slots = asyncio.Semaphore(THREADS_MAX)
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="paceline fallback")

    async def call(
        self, operation: str, params: Params, reservation: FallbackReservation
    ) -> Result | Refused:
        try:
            async with asyncio.timeout(max(0.0, reservation.until - self.fallback.clock())):
                await self._slots.acquire()
        except TimeoutError:
            return Refused("no node answers, and DynamoDB takes its time", PAUSE_S)
        try:
            refusal = self.fallback.refusal(operation, params, reservation)
            return refusal or await self._begin(operation, params)
        finally:
            self._slots.release()

    async def _begin(self, operation: str, params: Params) -> Result | Refused:
        loop = asyncio.get_running_loop()
        outcome: Any = await loop.run_in_executor(
            self._threads, self.fallback.begin, operation, params
        )
        if inspect.isawaitable(outcome):
            outcome = await outcome
        result: Result | Refused = outcome
        return result

    async def close(self) -> None:
        """Leaves the client open, which belongs to the caller."""
        self._threads.shutdown(wait=False, cancel_futures=True)
