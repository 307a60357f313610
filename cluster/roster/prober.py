"""Probes every member over one DAX connection, and reports who answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import cast

import structlog

from cluster.log.view import Member
from cluster.roster.endpoints import Health
from cluster.roster.liveness import Action, Event, Liveness, ProbeTimes
from cluster.transport.addresses import AddressError, dialled, split_host_port
from paceline.clock import now as clock_now
from paceline.dax.connection import ClientConnection
from paceline.dax.request_types import Endpoints
from paceline.dax.requests import encode_request

PREAMBLE = ClientConnection().preamble("PacelineProbe", b"")
ENDPOINTS = encode_request(Endpoints())
"""The probe's request. Any reply to it, an error too, comes from a process that serves."""

SIGN_EVERY_S = 200.0
"""A signature is good for five minutes."""

MEMBERS_MAX = 64
"""Far above the eleven nodes that a cluster can have; bounds what a wrong view can open."""

OnHealth = Callable[[str, Health], None]

_log = structlog.get_logger()


class Prober:
    """Probes the members given to ``follow``; ``on_health`` is called at every change.

    ``own_id`` is not probed. ``listener_names`` is the order in which a member's listeners are
    tried, others follow; TLS listeners last, without checking certificates, since nothing secret
    is sent. Used on one event loop only.
    """

    def __init__(
        self,
        on_health: OnHealth,
        *,
        own_id: str | None = None,
        listener_names: Sequence[str] = (),
        dial_map: Mapping[str, str] | None = None,
        times: ProbeTimes | None = None,
        clock: Callable[[], float] = clock_now,
        sign: Callable[[], bytes] | None = None,
    ) -> None:
        """``sign``: what goes in front of a question where clients have to say who they are: a
        member ends the connection of one who does not."""
        self._sign = sign
        self._on_health = on_health
        self._own_id = own_id
        self._listener_names = tuple(listener_names)
        self._dial_map = dict(dial_map or {})
        self._times = times or ProbeTimes()
        self._clock = clock
        self._probes: dict[str, _MemberProbe] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def follow(self, members: Iterable[Member]) -> None:
        """Replaces the set of probed members; a restarted or moved one is probed afresh."""
        wanted = {m.id: m for m in members if m.id != self._own_id}
        if len(wanted) > MEMBERS_MAX:
            _log.warning("too many members to probe", members=len(wanted), probed=MEMBERS_MAX)
            wanted = dict(sorted(wanted.items())[:MEMBERS_MAX])
        for node_id in [n for n in self._probes if n not in wanted]:
            self._end(self._probes.pop(node_id))
        for node_id, member in wanted.items():
            targets = self._targets(member)
            identity = (member.incarnation, tuple(targets))
            old = self._probes.get(node_id)
            if old is not None and old.identity == identity:
                continue
            if old is not None:
                self._end(old)
            self._probes[node_id] = _MemberProbe(
                identity=identity,
                targets=targets,
                liveness=Liveness(self._clock(), self._times),
                on_health=partial(self._on_health, node_id),
                clock=self._clock,
                connect_s=self._times.hang_s,
                sign=self._sign,
            )

    async def aclose(self) -> None:
        for probe in self._probes.values():
            self._end(probe)
        self._probes.clear()
        # Cancelled connection attempts end at their next step; nothing here waits for a peer.
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, probe: _MemberProbe) -> None:
        task = probe.close()
        if task is not None and not task.done():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _targets(self, member: Member) -> list[tuple[str, int, bool]]:
        """(host, port, whether TLS) of the member's listeners, in the order to try."""
        ranked = []
        for name, address in member.addresses.items():
            scheme, _, listener = name.partition("/")
            if scheme not in ("dax", "dax-tls"):
                continue
            try:
                host, port = split_host_port(dialled(self._dial_map, address))
            except AddressError as error:
                _log.warning("cannot probe", node=member.id, address=address, error=str(error))
                continue
            names = self._listener_names
            rank = names.index(listener) if listener in names else len(names)
            ranked.append(((scheme == "dax-tls", rank, listener), (host, port, scheme != "dax")))
        return [target for _, target in sorted(ranked)]


class _MemberProbe:
    """Drives one ``Liveness``: a connection, a timer, and at most one attempt to connect."""

    def __init__(
        self,
        *,
        identity: object,
        targets: list[tuple[str, int, bool]],
        liveness: Liveness,
        on_health: Callable[[Health], None],
        clock: Callable[[], float],
        connect_s: float,
        sign: Callable[[], bytes] | None,
    ) -> None:
        self.sign = sign
        self.clock = clock
        self.identity = identity
        self._targets = targets
        self._liveness = liveness
        self._on_health = on_health
        self._clock = clock
        self._connect_s = connect_s
        self._loop = asyncio.get_running_loop()
        self._connection: _ProbeConnection | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._closed = False
        self._timer: asyncio.TimerHandle = self._loop.call_later(0, self.step, Event.TICK)

    def step(self, event: Event) -> None:
        if self._closed:
            return
        before = self._liveness.health
        action = self._liveness.step(event, self._clock())
        if action is Action.CONNECT:
            self._attempt = self._loop.create_task(self._connect(), name="probe-connect")
        elif action is Action.ASK and self._connection is not None:
            self._connection.ask()
        elif action is Action.CLOSE:
            self._drop()
        self._timer.cancel()
        delay = max(0.0, self._liveness.wake_at - self._clock())
        self._timer = self._loop.call_later(delay, self.step, Event.TICK)
        if self._liveness.health is not before:
            self._on_health(self._liveness.health)

    def lost(self, connection: _ProbeConnection) -> None:
        if connection is self._connection:
            self._connection = None
            self.step(Event.LOST)

    def close(self) -> asyncio.Task[None] | None:
        """Ends the probe; the returned task, if any, was cancelled and has to be awaited."""
        self._closed = True
        self._timer.cancel()
        return self._drop()

    def _drop(self) -> asyncio.Task[None] | None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        return attempt

    async def _connect(self) -> None:
        connection = await self._first_reachable()
        if connection is None:
            self.step(Event.LOST)
        elif self._closed:
            connection.abort()
        else:
            self._connection = connection
            self.step(Event.CONNECTED)

    async def _first_reachable(self) -> _ProbeConnection | None:
        for position, (host, port, tls) in enumerate(self._targets):
            try:
                async with asyncio.timeout(self._connect_s / len(self._targets)):
                    _, connection = await self._loop.create_connection(
                        lambda: _ProbeConnection(self),
                        host,
                        port,
                        ssl=_unchecked_tls() if tls else None,
                    )
            except (OSError, TimeoutError):
                continue
            if connection.reaches_itself:
                # TCP allows it when a port without a listener happens to be picked as the local
                # one; it would answer itself, and keep the member from binding its port.
                connection.abort()
            elif connection.open:
                # Next time this one comes first: the others may lie in networks without a route.
                self._targets.insert(0, self._targets.pop(position))
                return connection
        return None


class _ProbeConnection(asyncio.Protocol):
    def __init__(self, probe: _MemberProbe) -> None:
        self._probe = probe
        self._transport: asyncio.Transport | None = None
        self._greeted = False
        self._signed_until = float("-inf")

    @property
    def open(self) -> bool:
        return self._transport is not None

    @property
    def reaches_itself(self) -> bool:
        transport = self._transport
        return transport is not None and (
            transport.get_extra_info("sockname") == transport.get_extra_info("peername")
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._probe.step(Event.ANSWERED)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._probe.lost(self)

    def ask(self) -> None:
        if self._transport is not None:
            greeting = b"" if self._greeted else PREAMBLE
            self._transport.write(greeting + self._signature() + ENDPOINTS)
            self._greeted = True

    def _signature(self) -> bytes:
        sign, now = self._probe.sign, self._probe.clock()
        if sign is None or now < self._signed_until:
            return b""
        self._signed_until = now + SIGN_EVERY_S
        return sign()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


@cache
def _unchecked_tls() -> ssl.SSLContext:
    # Without the system's authorities, which take many milliseconds to read.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
