"""The asyncio driver: carries out what ``Core`` decides, on one event loop."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Final, Protocol

from paceline.client.connection import Connection
from paceline.client.core import Broken, Command, Core, Exchange, Outcome, Refused, kind_of
from paceline.client.endpoints import Seed
from paceline.client.feed import RosterFeed
from paceline.client.plain import PlainGet
from paceline.client.pool import Pool
from paceline.client.retry import Call, Wait
from paceline.client.roster import Node, Roster
from paceline.client.settings import IDLE_S
from paceline.client.signing import RENEW_S, Signer
from paceline.dax.connection import Failure, Reply
from paceline.dax.request_types import Request
from paceline.errors import Unavailable
from paceline.types import Params, Result

FIRST_ROSTER_S: Final = 1.5
"""The first calls wait so long for a roster before they go on without one."""
HOUSEKEEPING_S: Final = 5.0


class AsyncFallback(Protocol):
    """DynamoDB itself, for when no node is left."""

    async def call(self, operation: str, params: Params) -> Result | Refused: ...
    async def close(self) -> None: ...


class Engine:
    """Belongs to one event loop; the first call starts it."""

    def __init__(
        self,
        core: Core,
        seeds: Sequence[Seed],
        *,
        listener: str | None = None,
        signer: Signer | None = None,
        fallback: AsyncFallback | None = None,
        find_zone: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        self.core = core
        self._seeds = seeds
        self._listener = listener
        self._signer = signer
        self._fallback = fallback
        self._find_zone = find_zone
        self._pools: dict[int, Pool] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._feed: RosterFeed | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    # -- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Waits for a roster, but only for a moment: the calls themselves go on waiting."""
        if self._closed:
            raise Unavailable("the client was closed")
        if self._feed is None:
            self._loop = asyncio.get_running_loop()
            self._feed = RosterFeed(
                self._seeds,
                self._follow,
                self.core.complain,
                poll_s=self.core.settings.poll_s,
                listener=self._listener,
            )
            self._tasks = [
                asyncio.create_task(self._feed.run(), name="paceline roster"),
                asyncio.create_task(self._keep_house(), name="paceline housekeeping"),
            ]
            if self._find_zone is not None:
                self._tasks.append(asyncio.create_task(self._look_for_zone(), name="paceline zone"))
        if not self.core.started:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_ROSTER_S):
                    await self._feed.known.wait()
            self.core.started = True

    async def close(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        pools = list(self._pools.values())
        self._pools.clear()
        await asyncio.gather(*(pool.close() for pool in pools))
        if self._fallback is not None:
            await self._fallback.close()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            for pool in self._pools.values():
                pool.close_idle(self.core.clock() - IDLE_S)

    async def _look_for_zone(self) -> None:
        assert self._find_zone is not None
        zone = await self._find_zone()
        if zone is not None:
            self.core.router.set_zone(zone)

    def _follow(self, roster: Roster) -> None:
        for node in self.core.follow(roster):
            pool = self._pools.pop(node.number, None)
            if pool is not None:
                pool.retire()

    # -- calls ------------------------------------------------------------------------------

    async def call(
        self, operation: str, params: Params, deadline_s: float, plain: PlainGet | None = None
    ) -> tuple[Result, Call]:
        """The result, and how it was come by. The exceptions are the application's."""
        core = self.core
        if not core.started or self._closed:
            await self.start()
        began = core.clock()
        core.counters.requests += 1
        call = core.call(kind_of(operation), began, began + deadline_s)
        way = core.perform(operation, params, call, plain)
        try:
            result = await self._drive(way, operation, params)
        except BaseException as error:
            raised = core.translated(error, operation)
            core.tell(operation, params, call, began, raised)
            if raised is error:
                raise
            raise raised from None
        finally:
            way.close()
        core.tell(operation, params, call, began, None)
        return result, call

    async def _drive(
        self, way: Generator[Command, Outcome, Result], operation: str, params: Params
    ) -> Result:
        outcome: Outcome = None
        try:
            while True:
                command = way.send(outcome)
                if type(command) is Exchange:
                    if command.read and self.core.settings.hedge_after_s is not None:
                        outcome = await self._hedged(command, self.core.settings.hedge_after_s)
                    else:
                        outcome = await self._exchange(
                            command.node, command.request, command.timeout_s
                        )
                elif type(command) is Wait:
                    await asyncio.sleep(command.seconds)
                    outcome = None
                else:
                    outcome = await self._fall_back(operation, params)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _exchange(
        self, node: Node, request: Request | PlainGet, timeout_s: float
    ) -> Reply | Failure | Broken:
        pool = self._pools.get(node.number)
        if pool is None:
            settings = self.core.settings
            pool = Pool(node.host, node.port, settings.connections_max, settings.connect_s)
            self._pools[node.number] = pool
        connection: Connection | None = None
        timer: asyncio.TimerHandle | None = None
        assert self._loop is not None
        assert self._feed is not None
        try:
            connection = pool.take_idle() or await pool.take(timeout_s)
            waiter = connection.exchange(request, self._signature(connection))
            timer = self._loop.call_later(timeout_s, connection.expire, waiter, timeout_s)
            return await waiter
        except Broken as broken:
            if not broken.busy:
                self._feed.nudge()
            return broken
        finally:
            if timer is not None:
                timer.cancel()
            if connection is not None:
                pool.give_back(connection)

    def _signature(self, connection: Connection) -> bytes:
        if self._signer is None or self.core.clock() < connection.signed_until:
            return b""
        connection.signed_until = self.core.clock() + RENEW_S
        return self._signer.prefix()

    async def _hedged(self, command: Exchange, after_s: float) -> Reply | Failure | Broken:
        """The first good answer of two nodes, the second asked if the first takes its time."""

        def ask(node: Node) -> asyncio.Task[Reply | Failure | Broken]:
            return asyncio.create_task(self._exchange(node, command.request, command.timeout_s))

        first = ask(command.node)
        tasks = {first}
        try:
            await asyncio.wait(tasks, timeout=after_s)
            if first.done():
                return first.result()
            other = self.core.hedge(command.node, self.core.clock())
            if other is None:
                return await first
            tasks.add(ask(other))
            pending = set(tasks)
            outcome: Reply | Failure | Broken | None = None
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    outcome = task.result()
                    if type(outcome) is Reply:
                        return outcome
            assert outcome is not None
            return outcome
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _fall_back(self, operation: str, params: Params) -> Result | Refused:
        assert self._fallback is not None
        return await self._fallback.call(operation, params)
