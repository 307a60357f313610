"""Listeners of a front end, their connections, and the limits on all of them together."""

from __future__ import annotations

import asyncio
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from cluster.settings import LimitsSettings, Listener
from cluster.transport.addresses import RESOLVE_S, bind_failure, split_host_port
from cluster.transport.descriptors import LINGERING_MAX
from cluster.transport.expected import Expected, ExpectedLimits, networks
from cluster.transport.large_work import LargeWork
from cluster.transport.memory import MemoryBudget
from cluster.transport.restraint import Restraint
from cluster.transport.tls_listener import TlsListener
from paceline.errors import ConfigError

BACKLOG = 1024
"""Clients reconnect all at once after a failover."""
REFUSED_MAX = LINGERING_MAX
"""Connections over the limit that linger at a time, at most as many as are served; any beyond are
aborted at once."""
HANDSHAKE_S = 5.0
"""The time for a TLS handshake; a client may send nothing, or speak no TLS."""
SWEEP_S = 0.5
"""The interval at which deadlines of connections are checked."""
SHUTDOWN_S = 2.0
"""The time for the peer's farewell of TLS, after ours."""
KEEPALIVE_IDLE_S = 60
KEEPALIVE_PROBE_S = 10
KEEPALIVE_PROBES = 6
"""The system's default of two hours would let vanished clients fill ``connections_max``."""
LOG_EVERY_S = 1.0
"""Refused connections come in storms; one line a second tells about them."""

_log = structlog.get_logger()


class AcceptedConnection(Protocol):
    """A connection as its server sees it."""

    held_bytes: int
    """The bytes that ``account`` counted last."""
    address: str
    """The peer's address."""

    @property
    def buffered_bytes(self) -> int:
        """The bytes that the connection holds: unfinished requests, requests in work, unsent
        replies."""

    @property
    def waits_for_us(self) -> bool:
        """True if the peer cannot send the rest of its request because this side reads nothing."""

    def drain(self) -> None:
        """Ends the connection after the reply under way, or at once if there is none."""

    def time_out(self) -> None:
        """Ends the connection: a whole request should have come by now."""

    def abort(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts that all servers of a program have in common."""

    memory: MemoryBudget = field(default_factory=MemoryBudget)
    large_work: LargeWork = field(default_factory=LargeWork)
    expected: ExpectedLimits = field(default_factory=ExpectedLimits)
    restraint: Restraint = field(default_factory=Restraint)

    @classmethod
    def of(cls, settings: LimitsSettings) -> Shared:
        return cls(
            MemoryBudget(settings.held_bytes_max),
            LargeWork(),
            ExpectedLimits(
                settings.first_byte_s,
                settings.first_request_s,
                settings.request_s,
                settings.newcomers_per_address,
                networks(settings.exempt_addresses),
            ),
            Restraint(settings),
        )


class ClientServer(ABC):
    """The listeners of one front end, their connections, and the limits on them.

    A connection that has completed a request is never closed because it is idle: clients pool
    them, and not all retry on a closed one. Until then it is a *newcomer*, which has deadlines and
    makes room for others when ``connections_max`` is reached, the oldest first. With no newcomer
    to close, a new connection is ended with FIN at once, which clients take as 'try another node';
    nothing of theirs is executed. So are those of an address with too many newcomers.
    """

    protocol = "dax"
    """As metrics call what is spoken here."""

    def __init__(self, *, connections_max: int, shared: Shared | None = None) -> None:
        shared = shared or Shared()
        self.memory = shared.memory
        self.large_work = shared.large_work
        self.restraint = shared.restraint if shared.restraint.limits_requests else None
        """None: everybody may ask as often as he wants."""
        self.connections_max = connections_max
        self.addresses: dict[str, tuple[str, int]] = {}
        """Listener name to bound (host, port)."""
        self._servers: list[asyncio.Server | TlsListener] = []
        self._connections: set[AcceptedConnection] = set()
        self._refused: set[AcceptedConnection] = set()
        self._shaking: dict[Any, AcceptedConnection] = {}
        """The handshakes under way, each of which holds a connection's place."""
        self._refused_count = 0
        self.rejected = {"full": 0, "newcomers": 0, "displaced": 0, "late": 0}
        """Connections that were ended unasked, by reason: no place among ``connections_max``; too
        many of one address; one that had completed no request made room; none came in time."""
        self._expected: Expected[AcceptedConnection] = Expected(shared.expected)
        self._sweeping: asyncio.TimerHandle | None = None
        self._refusal_logged_at = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = False
        self._aborted = False

    @abstractmethod
    def connection(self, listener: Listener) -> asyncio.Protocol:
        """Returns the protocol for a new connection."""

    @abstractmethod
    def setting(self, listener: Listener) -> str:
        """The setting that names the listener's address, for messages."""

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def start(self, listeners: Sequence[Listener], tls: ssl.SSLContext | None = None) -> None:
        """Binds all listeners or none. ``tls`` is for those with ``tls: true``."""
        names = [listener.name for listener in listeners]
        if len(set(names)) != len(names):
            raise ConfigError(f"PACELINE_LISTENERS: two listeners share a name in {names}")
        try:
            for listener in listeners:
                await self._listen(listener, tls)
        except BaseException:
            self.stop_accepting()
            raise

    def stop_accepting(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def drain(self, timeout_s: float) -> None:
        """Stops accepting, finishes requests under way, ends every connection with FIN; what is
        left after ``timeout_s`` is aborted."""
        self.stop_accepting()
        self._draining = True
        for connection in [*self._connections, *self._refused]:
            connection.drain()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            pass
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Ends all connections now; requests under way are cancelled."""
        self.stop_accepting()
        self._aborted = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for connection in [*self._connections, *self._refused]:
            connection.abort()
        if tasks:
            # They were cancelled, and a handler that swallows that must not hang the stop.
            await asyncio.wait(tasks, timeout=1.0)

    # -- for connections ----------------------------------------------------------------------

    def admit(self, connection: AcceptedConnection) -> bool:
        self.shaken(connection)
        # Connections that the kernel had accepted before the listener was closed may come late.
        if self._aborted:
            connection.abort()
            return False
        if self._draining:
            self._refused.add(connection)
            self._empty.clear()
            return False
        if not self._expected.has_room(connection.address):
            self.rejected["newcomers"] += 1
            self._refuse(
                connection,
                "too many connections of one address have not completed a "
                "request, refusing; see PACELINE_LIMITS__NEWCOMERS_PER_ADDRESS",
            )
            return False
        if len(self._connections) >= self.connections_max and not self._make_room():
            self.rejected["full"] += 1
            self._refuse(
                connection, "too many client connections, refusing; raise PACELINE_CONNECTIONS_MAX"
            )
            return False
        self._connections.add(connection)
        self._empty.clear()
        self._expected.came(connection, connection.address, self._now())
        self._sweep_later()
        return True

    def shakes_hands(self, handshake: AcceptedConnection, connection: Any) -> None:
        """Counts ``handshake``; ``connection`` takes its place if it succeeds."""
        self._shaking[connection] = handshake

    def shaken(self, connection: Any) -> None:
        """The handshake has ended, in success or failure."""
        handshake = self._shaking.pop(connection, None)
        if handshake is not None:
            self.forget(handshake)

    def _make_room(self) -> bool:
        newcomer = self._expected.oldest_newcomer()
        if newcomer is None:
            return False
        # It is forgotten by and by; its place is free from now on.
        self._expected.settled(newcomer)
        self._connections.discard(newcomer)
        self.rejected["displaced"] += 1
        newcomer.abort()
        return True

    def _refuse(self, connection: AcceptedConnection, why: str) -> None:
        self._refused_count += 1
        now = self._now()
        if now - self._refusal_logged_at >= LOG_EVERY_S:
            self._refusal_logged_at = now
            _log.warning(
                why,
                peer=connection.address,
                connections_max=self.connections_max,
                refused_since_start=self._refused_count,
            )
        if len(self._refused) >= min(REFUSED_MAX, self.connections_max):
            connection.abort()
        else:
            self._refused.add(connection)
            self._empty.clear()

    def account(self, connection: AcceptedConnection) -> bool:
        held_bytes, before = connection.buffered_bytes, connection.held_bytes
        connection.held_bytes = held_bytes
        return self.memory.change(before, held_bytes)

    def forget(self, connection: AcceptedConnection) -> None:
        self.memory.change(connection.held_bytes, 0)
        connection.held_bytes = 0
        self._expected.settled(connection)
        self._connections.discard(connection)
        self._refused.discard(connection)
        if not self._connections and not self._refused:
            self._empty.set()

    def spoke(self, connection: AcceptedConnection) -> None:
        self._expected.spoke(connection)

    def began(self, connection: AcceptedConnection) -> None:
        self._expected.began(connection, self._now())
        self._sweep_later()

    def settled(self, connection: AcceptedConnection) -> None:
        self._expected.settled(connection)

    def _sweep_later(self) -> None:
        if self._sweeping is None and not self._aborted:
            loop = asyncio.get_running_loop()
            self._sweeping = loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = self._now()
        for connection in self._expected.overdue(now):
            if connection.waits_for_us:
                self._expected.excused(connection, now)
                continue
            self._expected.settled(connection)
            self.rejected["late"] += 1
            connection.time_out()
        if self._expected:
            self._sweep_later()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _listen(self, listener: Listener, tls: ssl.SSLContext | None) -> None:
        if listener.tls and tls is None:
            raise ConfigError(
                f"{self.setting(listener)} wants TLS, but no certificate is set: set "
                "PACELINE_TLS__CERT_FILE and PACELINE_TLS__KEY_FILE"
            )
        setting = self.setting(listener)
        sock = await bind_socket(listener.bind, setting)
        try:
            if listener.tls and tls is not None:
                encrypted = TlsListener(
                    self, lambda: self.connection(listener), tls, HANDSHAKE_S, SHUTDOWN_S
                )
                encrypted.start(sock, BACKLOG)
                self._servers.append(encrypted)
            else:
                server = await asyncio.get_running_loop().create_server(
                    lambda: self.connection(listener), sock=sock, backlog=BACKLOG
                )
                self._servers.append(server)
        except OSError as error:
            sock.close()
            raise bind_failure(setting, listener.bind, error) from error
        self.addresses[listener.name] = sock.getsockname()[:2]


async def bind_socket(bind: str, setting: str) -> socket.socket:
    """Returns a bound socket, whose options its accepted connections inherit."""
    host, port = split_host_port(bind)
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
    except (OSError, TimeoutError) as error:
        raise ConfigError(f"{setting}: cannot resolve {host!r}: {error}; use an address") from error
    family, kind, number, _, address = found[0]
    sock = socket.socket(family, kind, number)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _keep_alive(sock)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise bind_failure(setting, bind, error) from error
    return sock


def _keep_alive(sock: socket.socket) -> None:
    """Lets the kernel notice clients that vanished without FIN; idle ones stay connected."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_PROBE_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
