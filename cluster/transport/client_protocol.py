"""What connections of clients have in common: flow control, what they owe, and their end."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from cluster.transport.large_work import LargeWork
from cluster.transport.memory import MemoryBudget

WRITE_BYTES_HIGH = 256 * 1024
"""Unsent reply bytes from which on a connection gets no further work."""
WRITE_STALL_S = 30.0
"""A peer that takes nothing of a reply for so long is gone or means harm: its reply may hold
many megabytes."""
LINGER_S = 2.0
"""After our FIN, bytes of the peer are read and dropped for so long. Closing with unread bytes
would send RST, which can destroy a reply that the peer has not read yet, and which Python
clients, unlike FIN, do not retry."""

_log = structlog.get_logger()


class Host(Protocol):
    """What a connection needs of the server that it belongs to."""

    large_work: LargeWork
    memory: MemoryBudget

    def admit(self, connection: Any) -> bool:
        """Whether there is room; if not, the connection ends itself."""

    def account(self, connection: Any) -> bool:
        """Counts what the connection holds now; False if that is too much for all together."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a request; the server owns the task."""

    def forget(self, connection: Any) -> None:
        """The connection is gone."""

    def spoke(self, connection: Any) -> None:
        """A connection that owes its first request has sent something."""

    def began(self, connection: Any) -> None:
        """A part of a request has come; from now on the connection owes the rest."""

    def settled(self, connection: Any) -> None:
        """The request that the connection owed is whole."""


class ClientProtocol(asyncio.Protocol):
    """``owes``: a whole request is expected of it, by a deadline that the server keeps.
    ``newcomer``: none has come yet."""

    __slots__ = (
        "_closing",
        "_eof",
        "_host",
        "_linger",
        "_loop",
        "_reading_paused",
        "_stall",
        "_task",
        "_transport",
        "_write_paused",
        "address",
        "held_bytes",
        "newcomer",
        "owes",
        "peer",
    )

    def __init__(self, host: Any) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._reading_paused = self._write_paused = False
        self._closing = self._eof = False
        self._linger: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.held_bytes = 0
        self.newcomer = self.owes = True
        self.address = ""
        """The peer's, without its port; ``peer`` is with it."""
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._transport.set_write_buffer_limits(high=WRITE_BYTES_HIGH)
        peer = transport.get_extra_info("peername")
        if peer:
            self.address = peer[0]
            self.peer = f"{peer[0]}:{peer[1]}"

    # -- what it owes -----------------------------------------------------------------------

    def _spoke(self) -> None:
        if self.newcomer:
            self._host.spoke(self)

    def _request_began(self) -> None:
        if not self.owes:
            self.owes = True
            self._host.began(self)

    def _request_is_whole(self) -> None:
        if self.owes:
            self.owes = self.newcomer = False
            self._host.settled(self)

    @property
    def waits_for_us(self) -> bool:
        """Whether it is this side that keeps the peer from sending the rest of a request."""
        return self._task is not None or self._reading_paused

    @abstractmethod
    def time_out(self) -> None:
        """A whole request was expected by now: ends the connection."""

    # -- flow -------------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    @abstractmethod
    def _advance(self) -> None:
        """Goes on with what has been received, now that nothing forbids it."""

    def pause_writing(self) -> None:
        self._write_paused = True
        self._pause_reading()
        self._watch_stall(self.unsent_bytes)
        self._account_unsent()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._host.account(self)
        if self._task is None and not self._closing:
            self._advance()

    def _account_unsent(self) -> None:
        """Replies that nobody takes must not fill the memory: those of whom waits longest for
        nothing else are given up, when there is no room."""
        if not self._host.account(self):
            _log.warning("the peer reads its replies too slowly for the memory there is, aborting")
            self._transport.abort()

    def _pause_reading(self) -> None:
        if not (self._reading_paused or self._closing or self._eof):
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._eof:
            self._reading_paused = False
            self._transport.resume_reading()

    def _watch_stall(self, unsent_bytes: int) -> None:
        def check() -> None:
            left = self.unsent_bytes
            if left >= unsent_bytes:
                _log.warning("the peer reads no replies, aborting", peer=self.peer)
                self._transport.abort()
            else:
                self._watch_stall(left)

        self._stall = self._loop.call_later(WRITE_STALL_S, check)

    def _stop_timers(self) -> None:
        for timer in (self._linger, self._stall):
            if timer is not None:
                timer.cancel()
