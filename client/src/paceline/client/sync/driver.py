"""The threads' driver: executes the commands of ``Core`` in the threads that call; one thread of
its own follows the roster on an event loop."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from time import sleep
from typing import Final

from paceline.client.aio.driver import CLOSED, FIRST_ROSTER_S, HOUSEKEEPING_S
from paceline.client.core import fast_get
from paceline.client.core.commands import Broken, Command, Exchange, StepResult
from paceline.client.core.plain_get import PlainGet
from paceline.client.core.retry import AskDynamoDB, Call, Wait
from paceline.client.core.roster import Node, Roster
from paceline.client.driver_parts import DriverParts
from paceline.client.fallback import Fallback
from paceline.client.roster.feed import RosterFeed
from paceline.client.settings import IDLE_S
from paceline.client.sync.connection import BlockingConnection
from paceline.client.sync.hedging import Flight, Hedge
from paceline.client.sync.pool import BlockingPool
from paceline.dax.connection import ErrorReply, Reply
from paceline.dax.request_types import Request
from paceline.errors import Unavailable
from paceline.types import Params, Result

JOIN_S: Final = 2.0
_FORKED: Final = threading.Lock()
"""Held while a client is initialised again in a forked process."""


class RosterThread:
    """A daemon thread with an event loop of its own, for everything that is not a call."""

    def __init__(
        self,
        feed: Callable[[], RosterFeed],
        housekeeping: Callable[[], None],
        look_for_zone: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._make_feed = feed
        self._housekeeping = housekeeping
        self._look_for_zone = look_for_zone
        self._loop: asyncio.AbstractEventLoop | None = None
        self._feed: RosterFeed | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="paceline roster", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._work())

    async def _work(self) -> None:
        self._feed = self._make_feed()
        self._main = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed.run())
            if self._look_for_zone is not None:
                group.create_task(self._zone(self._look_for_zone))
            while True:
                await asyncio.sleep(HOUSEKEEPING_S)
                self._housekeeping()

    @staticmethod
    async def _zone(look: Callable[[], Awaitable[None]]) -> None:
        await look()

    def nudge(self) -> None:
        loop, feed = self._loop, self._feed
        if loop is not None and feed is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(feed.nudge)

    def stop(self) -> None:
        loop, main = self._loop, self._main
        if loop is not None and main is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(main.cancel)
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)


class ThreadDriver:
    """Any number of threads may call it, also in a forked process."""

    def __init__(self, parts: DriverParts, fallback: Fallback | None = None) -> None:
        self.core = parts.core
        self._parts = parts
        self._fallback = fallback
        self._pools: dict[int, BlockingPool] = {}
        self._starting = threading.Lock()
        self._known = threading.Event()
        self._roster_thread: RosterThread | None = None
        self._pid = os.getpid()
        self._forked = False
        self._closed = False
        self._has_fast_path = parts.has_fast_path

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Waits a moment for the first roster. Without one, the calls go on waiting."""
        if self._closed:
            raise Unavailable(CLOSED)
        if os.getpid() != self._pid:
            with _FORKED:
                self._reinit_after_fork()
        with self._starting:
            if self._roster_thread is None:
                self._roster_thread = RosterThread(
                    self._feed,
                    self._housekeeping,
                    self._parts.look_for_zone if self._parts.find_zone is not None else None,
                )
        if not self.core.started:
            self._known.wait(FIRST_ROSTER_S)
            self.core.started = True

    def _feed(self) -> RosterFeed:
        # gRPC's own threads do not survive a fork.
        return self._parts.feed(self._follow, watch=not self._forked)

    def _reinit_after_fork(self) -> None:
        """Drops the locks, threads and connections of the parent process, which are not usable
        here."""
        if os.getpid() == self._pid:
            return
        self._forked = "grpc" in sys.modules
        self._starting = threading.Lock()
        self.core.lock = threading.Lock()
        self._roster_thread = None
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.forget()
        self._pid = os.getpid()  # last: other threads go on when they see it

    def close(self) -> None:
        self._closed = True
        if self._roster_thread is not None and os.getpid() == self._pid:
            self._roster_thread.stop()
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def _follow(self, roster: Roster) -> None:
        for node in self.core.follow(roster):
            pool = self._pools.pop(node.number, None)
            if pool is not None:
                pool.close()
        self._known.set()

    def _housekeeping(self) -> None:
        for pool in list(self._pools.values()):
            pool.close_idle(self.core.clock() - IDLE_S)

    # -- calls ------------------------------------------------------------------------------

    def call(self, operation: str, params: Params, deadline_s: float) -> tuple[Result, Call]:
        """Returns (result, call state). The exceptions are the application's."""
        core = self.core
        if not core.started or self._closed or os.getpid() != self._pid:
            self.start()
        began = core.clock()
        call = core.begin(operation, params, began, deadline_s)
        way = core.perform(operation, params, call)
        return self._carried(way, operation, params, call, began), call

    def _carried(
        self,
        way: Generator[Command, StepResult, Result],
        operation: str,
        params: Params,
        call: Call,
        began: float,
    ) -> Result:
        core = self.core
        outcome: StepResult = None
        try:
            while True:
                command = way.send(outcome)
                if self._closed:
                    raise core.raised(call.give_up(CLOSED), operation, params, call)
                if type(command) is Exchange:
                    outcome = self._exchange(command)
                elif type(command) is Wait:
                    sleep(command.seconds)
                    outcome = None
                else:
                    assert isinstance(command, AskDynamoDB)
                    assert self._fallback is not None
                    outcome = self._fallback.call(operation, params, command.reservation)
        except StopIteration as end:
            result: Result = end.value
        except BaseException as error:
            raised = core.failed(error, operation, params, call, began)
            if raised is error:
                raise
            raise raised from None
        finally:
            way.close()
        core.report(operation, params, call, began, None)
        return result

    def get(self, plain: PlainGet, params: Params, deadline_s: float) -> tuple[Result, int]:
        """Fast path for a plain GetItem. Returns (result, attempts); anything unusual falls back to
        the general path."""
        core = self.core
        if not core.started or self._closed or os.getpid() != self._pid:
            self.start()
        began = core.clock()
        if self._has_fast_path:
            node = core.first_read(began)
            pool = None if node is None else self._pools.get(node.number)
            if node is not None and pool is not None:
                timeout_s = min(core.attempt_s, deadline_s)
                core.attempt_started(node, began, timeout_s)
                try:
                    outcome = self._asked(pool, plain, timeout_s)
                except BaseException:
                    core.withdrawn(node)
                    raise
                result = fast_get.result_of(core, plain, node, outcome, began)
                if result is not None:
                    return result, 1
                way, call = fast_get.resumed(core, plain, params, node, outcome, began, deadline_s)
                return self._carried(way, "GetItem", params, call, began), call.attempts
        call = core.begin("GetItem", params, began, deadline_s)
        way = core.perform("GetItem", params, call, plain)
        return self._carried(way, "GetItem", params, call, began), call.attempts

    def _exchange(self, command: Exchange) -> Reply | ErrorReply | Broken:
        after_s = self.core.settings.hedge_after_s
        if command.read and after_s is not None:
            return Hedge(self.core, command, self._flight).outcome(after_s)
        return self._asked(self._pool(command.node), command.request, command.timeout_s, command)

    def _asked(
        self,
        pool: BlockingPool,
        request: Request | PlainGet,
        timeout_s: float,
        command: Exchange | None = None,
    ) -> Reply | ErrorReply | Broken:
        """Makes one exchange. ``command``: None on the fast path."""
        attempt_s = min(timeout_s, self.core.settings.attempt_s)
        connection: BlockingConnection | None = None
        try:
            connection = pool.take(attempt_s)
            prefix = self._parts.signature(connection)
            if command is not None:
                if command.once and not connection.proven:
                    connection.prove(attempt_s, prefix)
                    prefix = b""
                timeout_s = command.left_s(self.core.clock())
            event = connection.exchange(request, timeout_s, prefix)
        except BaseException as error:
            if connection is not None:
                pool.drop(connection)
            if not isinstance(error, Broken):
                raise
            self._lost(error)
            return error
        pool.give_back(connection)
        return event

    def _lost(self, broken: Broken) -> None:
        if not broken.busy and self._roster_thread is not None:
            self._roster_thread.nudge()

    def _flight(self, node: Node, request: Request | PlainGet, timeout_s: float) -> Flight | Broken:
        """Sends a request for ``Hedge``, which waits for the reply."""
        pool = self._pool(node)
        connection: BlockingConnection | None = None
        try:
            connection = pool.take(timeout_s)
            prefix = self._parts.signature(connection)
            connection.send(request, timeout_s, prefix)
        except BaseException as error:
            if connection is not None:
                pool.drop(connection)
            if not isinstance(error, Broken):
                raise
            self._lost(error)
            return error
        return Flight(node, pool, connection)

    def _pool(self, node: Node) -> BlockingPool:
        return self._pools.get(node.number) or self._make_pool(node)

    def _make_pool(self, node: Node) -> BlockingPool:
        settings = self.core.settings
        made = BlockingPool(
            node.host,
            node.port,
            settings.connections_max,
            settings.connect_s,
            self.core.clock,
            self._parts.tls,
        )
        return self._pools.setdefault(node.number, made)
