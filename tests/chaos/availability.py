"""How long writes stand still: single writes that begin at a steady rate, whatever becomes of
those before them, at the nodes that are not disturbed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError
from tests.support.protocol_client import WRITE_ATTEMPT_S, ClusterClient

EVERY_S = 0.025
"""Between two writes: how finely a gap is measured."""
OUTSTANDING_MAX = 600
"""A write may wait 10 s for a primary; one begins every 25 ms."""
STOP_S = 20.0


class WriteProbe:
    """Writes through these nodes from ``async with`` on; ``acknowledged`` has (begun, ended)."""

    def __init__(
        self,
        addresses: Mapping[str, tuple[str, int]],
        table: str,
        key: Mapping[str, Any],
        *,
        every_s: float = EVERY_S,
        attempt_s: float = WRITE_ATTEMPT_S,
    ) -> None:
        """``key``: of the one item that is written. ``attempt_s``: patience with a node."""
        self._every_s = every_s
        self._attempt_s = attempt_s
        self._addresses = dict(addresses)
        self._table = table
        self._key = key
        self._clients: list[ClusterClient] = []
        self._client = self._open(addresses)
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None
        self.acknowledged: list[tuple[float, float]] = []
        self.unknown = 0
        self.not_sent = 0

    def _open(self, addresses: Mapping[str, tuple[str, int]]) -> ClusterClient:
        client = ClusterClient(addresses, write_attempt_s=self._attempt_s)
        self._clients.append(client)
        return client

    def without(self, node_ids: Iterable[str]) -> None:
        """From now on begin no write at these nodes: what is measured is the others'."""
        left_out = set(node_ids)
        self._client = self._open(
            {node: address for node, address in self._addresses.items() if node not in left_out}
        )

    async def __aenter__(self) -> Self:
        self._driver = asyncio.create_task(self._drive())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._driver is not None
        self._driver.cancel()
        tasks = [self._driver, *self._tasks]
        await asyncio.wait(tasks, timeout=STOP_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self._clients:
            client.close()

    def recovery_s(self, since: float) -> float | None:
        """From ``since`` to the first acknowledgement of a write that began after it."""
        ended = [end for begun, end in self.acknowledged if begun >= since]
        return min(ended) - since if ended else None

    def longest_gap_s(self, since: float, until: float) -> float:
        """The longest time between two acknowledgements of writes that began after ``since``."""
        ended = sorted(end for begun, end in self.acknowledged if begun >= since and end <= until)
        times = [since, *ended, until]
        return max(after - before for before, after in itertools.pairwise(times))

    async def recovered(self, since: float, timeout_s: float) -> float | None:
        """``recovery_s``, waiting for it; None if there was none in time."""
        end = time.monotonic() + timeout_s
        while True:
            found = self.recovery_s(since)
            if found is not None or time.monotonic() >= end:
                return found
            await asyncio.sleep(0.005)

    def forget(self) -> None:
        """What was acknowledged until now."""
        self.acknowledged.clear()

    async def _drive(self) -> None:
        while True:
            if len(self._tasks) < OUTSTANDING_MAX:
                task = asyncio.create_task(self._write(self._client))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self._every_s)

    async def _write(self, client: ClusterClient) -> None:
        params: dict[str, Any] = {
            "TableName": self._table,
            "Item": {**self._key, "v": {"N": str(next(self._numbers))}},
        }
        begun = time.monotonic()
        try:
            await client.write("PutItem", **params)
        except OutcomeUnknown:
            self.unknown += 1
        except (DynamoDBError, PacelineError):
            self.not_sent += 1
        else:
            self.acknowledged.append((begun, time.monotonic()))
