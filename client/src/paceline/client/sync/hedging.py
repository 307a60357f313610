"""Hedged reads: one thread waits for two nodes' sockets, whichever answers first."""

from collections.abc import Callable
from dataclasses import dataclass

from paceline.client.core.call_flow import Core
from paceline.client.core.commands import Broken, Exchange
from paceline.client.core.plain_get import PlainGet
from paceline.client.core.retry import NoAnswer
from paceline.client.core.roster import Node
from paceline.client.sync.connection import BlockingConnection, wait_readable
from paceline.client.sync.pool import BlockingPool
from paceline.dax.connection import NEED_DATA, ErrorReply, NeedData, Reply
from paceline.dax.request_types import Request


@dataclass(slots=True)
class Flight:
    """A request that was sent and not answered yet."""

    node: Node
    pool: BlockingPool
    connection: BlockingConnection

    def receive(self) -> Reply | ErrorReply | Broken | NeedData:
        try:
            return self.connection.receive()
        except Broken as broken:
            return broken


Send = Callable[[Node, Request | PlainGet, float], Flight | Broken]


class Hedge:
    """``send``: sends a request to a node. Sets the command's winner if it is the second node."""

    def __init__(self, core: Core, command: Exchange, send: Send) -> None:
        self._core = core
        self._command = command
        self._send = send
        self._flights: list[Flight] = []

    def outcome(self, after_s: float) -> Reply | ErrorReply | Broken:
        """The first good answer, or else the last outcome."""
        command, core = self._command, self._core
        until = core.clock() + command.timeout_s
        last: Reply | ErrorReply | Broken | None
        last = self._fly(command.node, command.timeout_s)
        other: Node | None = None
        try:
            if self._flights:
                last = self._first(min(core.clock() + after_s, until))
                if self._flights:  # no answer yet
                    now = core.clock()
                    other = core.hedge(command.node, now) if now < until else None
                    if other is not None:
                        self._fly(other, until - now)
                    last = self._first(until)
            return last or Broken(
                NoAnswer.NO_REPLY, f"no reply within {command.timeout_s:.2g} s", slow=True
            )
        finally:
            for flight in self._flights:
                flight.pool.drop(flight.connection)
            if other is not None and command.winner is None:
                core.withdrawn(other)

    def _fly(self, node: Node, timeout_s: float) -> Broken | None:
        flight = self._send(node, self._command.request, timeout_s)
        if isinstance(flight, Broken):
            return flight
        self._flights.append(flight)
        return None

    def _first(self, until: float) -> Reply | ErrorReply | Broken | None:
        """The first good answer until ``until``, else the last other outcome, None without any.

        ``self._flights`` then has the requests that are still not answered.
        """
        last: Reply | ErrorReply | Broken | None = None
        while self._flights:
            left_s = until - self._core.clock()
            ready = wait_readable([flight.connection for flight in self._flights], left_s)
            if not ready and left_s <= 0:
                return last
            for flight in [one for one in self._flights if one.connection in ready]:
                event = flight.receive()
                if event is NEED_DATA:
                    continue
                last = event
                self._flights.remove(flight)
                if isinstance(event, Broken):
                    flight.pool.drop(flight.connection)
                    continue
                flight.pool.give_back(flight.connection)
                if type(event) is Reply:
                    if flight.node is not self._command.node:
                        self._command.winner = flight.node
                    return event
        return last
