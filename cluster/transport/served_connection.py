"""What connections of clients have in common: flow control, what they owe, and their end.

Their end is a state machine with a table of its own, ``connection_state``.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from cluster.transport.connection_state import DRAINING, ENDED, TRANSITIONS, Event, State
from cluster.transport.large_work import LargeWork
from cluster.transport.memory import MemoryBudget
from cluster.transport.restraint import Restraint

WRITE_BYTES_HIGH = 256 * 1024
"""With this many unsent reply bytes, a connection gets no further work."""
WRITE_STALL_S = 30.0
"""A peer that takes nothing of a reply for so long is gone or means harm: its reply may hold
many megabytes."""
LINGER_S = 2.0
"""After our FIN, bytes of the peer are read and dropped for so long. Closing with unread bytes
would send RST, which can destroy a reply that the peer has not read yet, and which Python
clients, unlike FIN, do not retry."""

_log = structlog.get_logger()


class Host(Protocol):
    """The server as a connection needs it."""

    large_work: LargeWork
    memory: MemoryBudget
    restraint: Restraint | None

    def admit(self, connection: Any) -> bool:
        """False if there is no room; the connection then ends itself."""

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


_PEER_SENDS = frozenset({State.OPEN, State.DRAINING, State.LINGERING})


class ServedConnection(asyncio.Protocol):
    """``owes``: a whole request is expected of it, by a deadline that the server keeps.
    ``newcomer``: none has come yet."""

    __slots__ = (
        "_ended",
        "_host",
        "_linger",
        "_loop",
        "_reading_paused",
        "_stall",
        "_state",
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
        self._state = State.OPEN
        self._ended = False
        """The state is one of ``ENDED``; kept beside it, for it is asked at every request."""
        self._linger: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.held_bytes = 0
        self.newcomer = self.owes = True
        self.address = ""
        """The peer's address without its port; ``peer`` has both."""
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
        """True if this side keeps the peer from sending the rest of a request."""
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
        """Continues with what was received, now that nothing forbids it."""

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
        if self._task is None and not self._ended:
            self._advance()

    def _account_unsent(self) -> None:
        """Replies that nobody takes must not fill the memory: those of whom waits longest for
        nothing else are given up, when there is no room."""
        if not self._host.account(self):
            _log.warning("the peer reads its replies too slowly for the memory there is, aborting")
            self._transport.abort()

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._state in (State.OPEN, State.DRAINING):
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._state in _PEER_SENDS:
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

    # -- the end ----------------------------------------------------------------------------

    @property
    def _draining(self) -> bool:
        return self._state is not State.OPEN and self._state in DRAINING

    def _move(self, event: Event) -> None:
        self._state = TRANSITIONS[self._state][event]
        self._ended = self._state in ENDED

    @abstractmethod
    def _drop_input(self) -> None:
        """Forgets what was received and has not been started."""

    def _say_goodbye(self) -> None:
        """Ends a connection that has no request under way, since the server stops."""
        self.finish()

    def _peer_ended(self) -> None:
        """The peer sent FIN, and our direction stays open."""

    def drain(self) -> None:
        """Ends the connection after the reply under way; at once if there is none."""
        self._move(Event.DRAIN)
        if self._task is None:
            self._say_goodbye()

    def eof_received(self) -> bool:
        """The peer sends no more: it left, or waits for the reply under way. True keeps the
        sending side open, which is impossible with TLS."""
        self._move(Event.PEER_ENDS)
        if not self._transport.can_write_eof():
            return False
        self._peer_ended()
        if self._state is State.CLOSING:
            self._close()
        elif self._task is None:
            self.finish()
        return True

    def finish(self) -> None:
        """FIN after what was written; then lingers until the peer closes, too."""
        if self._ended:
            return
        self._move(Event.END if self._transport.can_write_eof() else Event.END_BOTH)
        self._drop_input()
        self._host.account(self)
        if self._state is State.CLOSING:
            self._close()
            return
        self._transport.write_eof()
        self._resume_reading()
        self._linger = self._loop.call_later(LINGER_S, self._close)

    def _close(self) -> None:
        """Closes once everything is written, or the peer does not take it."""
        if self._linger is not None:
            self._linger.cancel()
        self._transport.close()
        self._linger = self._loop.call_later(WRITE_STALL_S, self._transport.abort)

    def abort(self) -> None:
        self._move(Event.LOST)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._move(Event.LOST)
        self._stop_timers()
        self._drop_input()
        self._host.forget(self)

    def _stop_timers(self) -> None:
        for timer in (self._linger, self._stall):
            if timer is not None:
                timer.cancel()
