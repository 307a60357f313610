"""Reads keys through every node at a bounded rate, and knows a position before which all is
done."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from paceline.dynamodb_operations import BATCH_GET_KEYS_MAX, THROTTLING_ERRORS
from paceline.errors import OutcomeUnknown, PacelineError, ServiceError, Unavailable
from paceline.types import Item, KeySchema, Params, Result
from paceline_local.warm.sources import Chunk
from paceline_local.warm.state import SourcePosition

IN_FLIGHT_MAX = 4
"""The most batches under way. Each is at all nodes at once; more would only keep readers of hits
waiting."""
ATTEMPTS_MAX = 6
BACKOFF_S = 0.1
"""The pause before the second attempt, then twice as long each time: 3 s in all, longer than a
failover."""
LOST_S = 5.0
"""How long a node that could not be reached is left out."""
PROBLEMS_MAX = 20
"""The most different messages kept; errors are counted whatever they say."""
BURST_S = 0.1
"""How much of the rate may be used at once, after a time without reads."""

_AGAIN = frozenset({*THROTTLING_ERRORS, "InternalServerError"})
"""The errors after which a read may succeed the next time."""


class Node(Protocol):
    node_id: str

    async def call(self, operation: str, params: Params) -> Result: ...


class RateLimit:
    """A token bucket: ``take`` gives the seconds to wait before so many reads may go out."""

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._free_at = now

    def take(self, count: int, now: float) -> float:
        begin = max(self._free_at, now - BURST_S)
        self._free_at = begin + count / self._per_s
        return max(0.0, begin - now)


@dataclass
class Counts:
    """``records`` of the source, good or not; ``reads`` that a node answered; ``found`` items of
    them. ``problems``: message to how often."""

    records: int = 0
    reads: int = 0
    found: int = 0
    errors: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def failed(self, message: str, count: int) -> None:
        self.errors += count
        if message in self.problems or len(self.problems) < PROBLEMS_MAX:
            self.problems[message] += count


class Warmer:
    """One run. ``checkpoint`` gets each position when everything before it is done."""

    def __init__(
        self,
        table: str,
        schema: KeySchema,
        nodes: Sequence[Node],
        clock: Callable[[], float],
        *,
        per_s: float | None = None,
        checkpoint: Callable[[SourcePosition], None] = lambda position: None,
    ) -> None:
        """``per_s``: reads a second of all nodes together, since the table pays for each."""
        self.counts = Counts()
        self._table = table
        self._schema = schema
        self._nodes = nodes
        self._clock = clock
        self._checkpoint = checkpoint
        self._rate = None if per_s is None else RateLimit(per_s, clock())
        self._lost: dict[str, tuple[float, str]] = {}

    @staticmethod
    def batch_size(nodes: int, per_s: float | None) -> int:
        """The keys per batch: so few that a low rate is even, and Ctrl-C need not wait for a large
        one."""
        if per_s is None:
            return BATCH_GET_KEYS_MAX
        return max(1, min(BATCH_GET_KEYS_MAX, int(per_s / nodes / 4)))

    async def run(self, chunks: AsyncGenerator[Chunk], stop: asyncio.Event) -> bool:
        """Whether the source was read to its end; not, if ``stop`` was set before. What was begun
        is finished either way. Unavailable if no node can be reached."""
        under_way: deque[tuple[asyncio.Task[None], Chunk]] = deque()
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    await self._wait_turn(len(chunk.keys) * len(self._nodes), stop)
                    if stop.is_set():
                        break
                    under_way.append((asyncio.create_task(self._warm(chunk)), chunk))
                    while len(under_way) >= IN_FLIGHT_MAX:
                        await self._finish(*under_way.popleft())
            while under_way:
                await self._finish(*under_way.popleft())
        finally:
            for task, _ in under_way:
                task.cancel()
            await asyncio.gather(*(task for task, _ in under_way), return_exceptions=True)
        return not stop.is_set()

    async def read(self, operation: str, params: Params) -> Result:
        """A read by the first node that answers it: where the keys come from."""
        problem: PacelineError = Unavailable("there is no node to read from")
        for attempt in range(ATTEMPTS_MAX):
            await self._back_off(attempt)
            for node in self._nodes:
                try:
                    return await node.call(operation, params)
                except (ServiceError, OutcomeUnknown, Unavailable) as error:
                    if not _may_repeat(error):
                        raise
                    problem = error
        raise problem

    async def _finish(self, task: asyncio.Task[None], chunk: Chunk) -> None:
        await task
        self._checkpoint(chunk.position)

    async def _wait_turn(self, count: int, stop: asyncio.Event) -> None:
        wait_s = 0.0 if self._rate is None else self._rate.take(count, self._clock())
        if wait_s <= 0.0:
            # A file is never waited for: without this nothing else would get a turn.
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(wait_s):
                await stop.wait()
        except TimeoutError:
            pass

    async def _warm(self, chunk: Chunk) -> None:
        for reason in chunk.bad:
            self.counts.failed(reason, 1)
        # A batch that names a key twice is refused as a whole.
        unique = list({repr(key): key for key in chunk.keys}.values())
        if unique:
            await asyncio.gather(*(self._read_by(node, unique) for node in self._nodes))
        self.counts.records += len(chunk.keys) + len(chunk.bad)
        if len(self._lost) == len(self._nodes):
            raise Unavailable("no node can be reached: " + next(iter(self._lost.values()))[1])

    async def _read_by(self, node: Node, keys: list[Item]) -> None:
        """All of ``keys``, in as many attempts as it takes; what is left in the end are errors."""
        lost = self._lost.get(node.node_id)
        if lost is not None and self._clock() < lost[0]:
            self.counts.failed(lost[1], len(keys))
            return
        problem = "DynamoDB did not process all keys, again and again"
        for attempt in range(ATTEMPTS_MAX):
            await self._back_off(attempt)
            try:
                result = await node.call("BatchGetItem", self._request(keys))
            except (ServiceError, OutcomeUnknown) as error:
                problem = f"{node.node_id}: {error}"
                if _is_refusal(error) and len(keys) > 1:
                    # One key may have spoilt it for the others.
                    half = len(keys) // 2
                    await self._read_by(node, keys[:half])
                    await self._read_by(node, keys[half:])
                    return
                if not _may_repeat(error):
                    break
            except Unavailable as error:
                problem = str(error)
                if attempt == ATTEMPTS_MAX - 1:
                    self._lost[node.node_id] = (self._clock() + LOST_S, problem)
            else:
                self._lost.pop(node.node_id, None)
                left = result.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
                self.counts.reads += len(keys) - len(left)
                self.counts.found += len(result["Responses"].get(self._table, []))
                keys = left
                if not keys:
                    return
        self.counts.failed(problem, len(keys))

    def _request(self, keys: list[Item]) -> Params:
        # The node fetches and keeps whole items; only their keys need come here.
        return {
            "RequestItems": {
                self._table: {
                    "Keys": keys,
                    "ProjectionExpression": "#k",
                    "ExpressionAttributeNames": {"#k": self._schema.hash.name},
                }
            }
        }

    async def _back_off(self, attempt: int) -> None:
        if attempt:
            await asyncio.sleep(BACKOFF_S * 2 ** (attempt - 1))


def _is_refusal(error: PacelineError) -> bool:
    return isinstance(error, ServiceError) and error.name == "ValidationException"


def _may_repeat(error: PacelineError) -> bool:
    """True if a read that ended so may be repeated. One without any sensible answer
    (OutcomeUnknown) may be."""
    return not isinstance(error, ServiceError) or error.name in _AGAIN
