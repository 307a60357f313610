"""Waiters on asyncio: botocore's models, with ``await``."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from paceline.types import Result


class AsyncWaiter:
    """``await waiter.wait(TableName=...)``; parameters and errors as botocore's waiters have."""

    def __init__(self, name: str, config: Any, method: Callable[..., Awaitable[Result]]) -> None:
        self.name = name
        self.config = config
        self._method = method

    async def wait(self, **params: Any) -> None:
        limits = params.pop("WaiterConfig", {})
        delay_s = limits.get("Delay", self.config.delay)
        attempts_max = limits.get("MaxAttempts", self.config.max_attempts)
        seen = ""
        for attempt in itertools.count(1):
            response = await self._ask(params)
            acceptor = self._accepted(response)
            if acceptor is not None:
                seen = acceptor.explanation
                if acceptor.state == "success":
                    return
                if acceptor.state == "failure":
                    raise self._error(
                        f"Waiter encountered a terminal failure state: {seen}", response
                    )
            elif error := response.get("Error"):
                code, message = error.get("Code", "Unknown"), error.get("Message", "Unknown")
                raise self._error(f"An error occurred ({code}): {message}", response)
            if attempt >= attempts_max:
                more = f". Previously accepted state: {seen}" if seen else ""
                raise self._error(f"Max attempts exceeded{more}", response)
            await asyncio.sleep(delay_s)

    async def _ask(self, params: dict[str, Any]) -> Result:
        try:
            return await self._method(**params)
        except ClientError as error:
            response: Any = error.response
            found: Result = response
            return found

    def _accepted(self, response: Result) -> Any:
        return next((a for a in self.config.acceptors if a.matcher_func(response)), None)

    def _error(self, reason: str, response: Result) -> Exception:
        make: Any = WaiterError
        error: Exception = make(name=self.name, reason=reason, last_response=response)
        return error
