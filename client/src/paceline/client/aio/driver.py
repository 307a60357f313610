"""The asyncio driver: executes the commands of ``Core`` on one event loop."""

import asyncio
import contextlib
from collections.abc import Generator
from typing import Final, Protocol

from paceline.client.aio.connection import Connection
from paceline.client.aio.pool import Pool
from paceline.client.core import fast_get
from paceline.client.core.commands import Broken, Command, Exchange, Refused, StepResult
from paceline.client.core.plain_get import PlainGet
from paceline.client.core.retry import AskDynamoDB, Call, FallbackReservation, NoAnswer, Wait
from paceline.client.core.roster import Node, Roster
from paceline.client.driver_parts import DriverParts
from paceline.client.roster.feed import RosterFeed
from paceline.client.settings import IDLE_S
from paceline.dax.connection import ErrorReply, Reply
from paceline.dax.request_types import Endpoints
from paceline.errors import Unavailable
from paceline.types import Params, Result

FIRST_ROSTER_S: Final = 1.5
"""The first calls wait so long for a roster before they go on without one."""
CLOSED: Final = "the client was closed"
HOUSEKEEPING_S: Final = 5.0
SWEEP_S: Final = 0.05
SWEPT_S_MIN: Final = 20 * SWEEP_S
"""Timeouts of at least this length may end as late as the next sweep."""


class AsyncFallback(Protocol):
    """Asks DynamoDB itself when no node is left."""

    async def call(
        self, operation: str, params: Params, reservation: FallbackReservation
    ) -> Result | Refused: ...
    async def close(self) -> None: ...


class AsyncDriver:
    """Belongs to one event loop; the first call starts it."""

    def __init__(self, parts: DriverParts, fallback: AsyncFallback | None = None) -> None:
        self.core = parts.core
        self._parts = parts
        self._fallback = fallback
        self._pools: dict[int, Pool] = {}
        self._retired: list[Pool] = []
        """Pools of nodes that have left, until their last exchange has ended."""
        self._tasks: list[asyncio.Task[None]] = []
        self._feed: RosterFeed | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._has_fast_path = parts.has_fast_path

    # -- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Waits a moment for the first roster. Without one, the calls go on waiting."""
        if self._closed:
            raise Unavailable(CLOSED)
        if self._feed is None:
            self._loop = asyncio.get_running_loop()
            self._feed = self._parts.feed(self._follow)
            self._tasks = [
                asyncio.create_task(self._feed.run(), name="paceline roster"),
                asyncio.create_task(self._housekeeping(), name="paceline housekeeping"),
            ]
            if self._parts.find_zone is not None:
                looking = asyncio.create_task(self._parts.look_for_zone(), name="paceline zone")
                self._tasks.append(looking)
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
        if self._sweeper is not None:
            self._sweeper.cancel()
        pools = [*self._pools.values(), *self._retired]
        self._pools.clear()
        self._retired.clear()
        await asyncio.gather(*(pool.close() for pool in pools))
        if self._fallback is not None:
            await self._fallback.close()

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            for pool in self._pools.values():
                pool.close_idle(self.core.clock() - IDLE_S)

    def _follow(self, roster: Roster) -> None:
        for node in self.core.follow(roster):
            pool = self._pools.pop(node.number, None)
            if pool is not None:
                pool.retire()
                self._retired.append(pool)

    # -- calls ------------------------------------------------------------------------------

    async def call(self, operation: str, params: Params, deadline_s: float) -> tuple[Result, Call]:
        """Returns (result, call state). The exceptions are the application's."""
        core = self.core
        if not core.started or self._closed:
            await self.start()
        began = core.clock()
        call = core.begin(operation, params, began, deadline_s)
        result = await self._carried(
            core.perform(operation, params, call), operation, params, call, began
        )
        return result, call

    async def _carried(
        self,
        way: Generator[Command, StepResult, Result],
        operation: str,
        params: Params,
        call: Call,
        began: float,
    ) -> Result:
        core = self.core
        try:
            result = await self._drive(way, operation, params, call)
        except BaseException as error:
            raised = core.failed(error, operation, params, call, began)
            if raised is error:
                raise
            raise raised from None
        finally:
            way.close()
        core.report(operation, params, call, began, None)
        return result

    async def get(self, plain: PlainGet, params: Params, deadline_s: float) -> tuple[Result, int]:
        """Fast path for a plain GetItem. Returns (result, attempts); anything unusual falls back to
        the general path."""
        core = self.core
        if not core.started or self._closed:
            await self.start()
        began = core.clock()
        node = core.first_read(began) if self._has_fast_path else None
        pool = self._pools.get(node.number) if node is not None else None
        connection = pool.take_idle() if pool is not None else None
        if connection is None:
            call = core.begin("GetItem", params, began, deadline_s)
            way = core.perform("GetItem", params, call, plain)
            return await self._carried(way, "GetItem", params, call, began), call.attempts
        assert node is not None
        assert pool is not None
        outcome: Reply | ErrorReply | Broken
        timeout_s = min(core.attempt_s, deadline_s)
        core.attempt_started(node, began, timeout_s)
        try:
            waiter = connection.exchange(plain, self._parts.signature(connection))
            self._watch(connection, waiter, began, timeout_s)
            outcome = await waiter
        except Broken as broken:
            assert self._feed is not None
            self._feed.nudge()
            outcome = broken
        except BaseException:
            core.withdrawn(node)
            raise
        finally:
            pool.give_back(connection)
        result = fast_get.result_of(core, plain, node, outcome, began)
        if result is not None:
            return result, 1
        way, call = fast_get.resumed(core, plain, params, node, outcome, began, deadline_s)
        return await self._carried(way, "GetItem", params, call, began), call.attempts

    async def _drive(
        self,
        way: Generator[Command, StepResult, Result],
        operation: str,
        params: Params,
        call: Call,
    ) -> Result:
        outcome: StepResult = None
        try:
            while True:
                command = way.send(outcome)
                if self._closed:
                    end = call.give_up(CLOSED)
                    raise self.core.raised(end, operation, params, call)
                if type(command) is Exchange:
                    if command.read and self.core.settings.hedge_after_s is not None:
                        outcome = await self._hedged(command, self.core.settings.hedge_after_s)
                    else:
                        outcome = await self._exchange(command.node, command)
                elif type(command) is Wait:
                    await asyncio.sleep(command.seconds)
                    outcome = None
                else:
                    assert isinstance(command, AskDynamoDB)
                    outcome = await self._fall_back(operation, params, command.reservation)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _exchange(self, node: Node, command: Exchange) -> Reply | ErrorReply | Broken:
        """Executes the command at ``node``: the command's own, or the second one of a hedge."""
        pool = self._pools.get(node.number)
        if pool is None:
            settings = self.core.settings
            pool = Pool(
                node.host, node.port, settings.connections_max, settings.connect_s, self._parts.tls
            )
            self._pools[node.number] = pool
        connection: Connection | None = None
        assert self._feed is not None
        try:
            attempt_s = min(command.timeout_s, self.core.settings.attempt_s)
            connection = pool.take_idle() or await pool.take(attempt_s)
            if command.once and not connection.proven:
                await self._prove(connection, attempt_s)
            now = self.core.clock()
            timeout_s = command.left_s(now)
            waiter = connection.exchange(command.request, self._parts.signature(connection))
            self._watch(connection, waiter, now, timeout_s)
            return await waiter
        except Broken as broken:
            if not broken.busy:
                self._feed.nudge()
            return broken
        finally:
            if connection is not None:
                pool.give_back(connection)

    async def _prove(self, connection: Connection, timeout_s: float) -> None:
        """Makes sure that the node reads this connection: a write on one that it never reads would
        have an unknown outcome."""
        waiter = connection.exchange(Endpoints(), self._parts.signature(connection))
        self._watch(connection, waiter, self.core.clock(), timeout_s)
        try:
            event = await waiter
        except Broken as broken:
            raise Broken(NoAnswer.NOT_HANDED_OVER, str(broken)) from broken
        if type(event) is ErrorReply:
            raise Broken(NoAnswer.NOT_HANDED_OVER, str(event.error))

    # -- deadlines --------------------------------------------------------------------------

    def _watch(
        self,
        connection: Connection,
        waiter: asyncio.Future[Reply | ErrorReply],
        now: float,
        timeout_s: float,
    ) -> None:
        """Ends the exchange when its time is up. One timer sweeps over all exchanges, as a timer
        for each would cost more than the rest of a call's bookkeeping; short timeouts get their
        own."""
        assert self._loop is not None
        if timeout_s < SWEPT_S_MIN:
            connection.expires_at = float("inf")
            timer = self._loop.call_later(timeout_s, connection.expire, waiter, timeout_s)
            waiter.add_done_callback(lambda _: timer.cancel())
            return
        connection.expires_at = now + timeout_s
        connection.timeout_s = timeout_s
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Ends exchanges whose time is up; runs again as long as there are any."""
        self._sweeper = None
        now = self.core.clock()
        busy = False
        self._retired = [pool for pool in self._retired if pool.connections]
        for pool in (*self._pools.values(), *self._retired):
            for connection in pool.connections:
                if connection.busy:
                    busy = True
                    if connection.expires_at <= now:
                        connection.expire_now()
        if busy and self._loop is not None and not self._closed:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    async def _hedged(self, command: Exchange, after_s: float) -> Reply | ErrorReply | Broken:
        """The first good answer of two nodes; the second is asked if the first is slow."""

        def ask(node: Node) -> asyncio.Task[Reply | ErrorReply | Broken]:
            return asyncio.create_task(self._exchange(node, command))

        asked = {ask(command.node): command.node}
        other: Node | None = None
        try:
            await asyncio.wait(asked, timeout=after_s)
            [first] = asked
            if first.done():
                return first.result()
            other = self.core.hedge(command.node, self.core.clock())
            if other is None:
                return await first
            asked[ask(other)] = other
            pending = set(asked)
            outcome: Reply | ErrorReply | Broken | None = None
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    outcome = task.result()
                    if type(outcome) is Reply:
                        if asked[task] is other:
                            command.winner = other
                        return outcome
            assert outcome is not None
            return outcome
        finally:
            if other is not None and command.winner is None:
                self.core.withdrawn(other)
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _fall_back(
        self, operation: str, params: Params, reservation: FallbackReservation
    ) -> Result | Refused:
        assert self._fallback is not None
        return await self._fallback.call(operation, params, reservation)
