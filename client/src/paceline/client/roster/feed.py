"""Keeps the roster up to date: a gRPC watch where there is one, else polls of DAX ``endpoints``.

One task for a client's whole life. Sources are tried in turn: the seeds, then the nodes that the
last roster named (every node answers both questions).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from paceline.client.aio.connection import Connection
from paceline.client.core.commands import Broken
from paceline.client.core.roster import Roster, of_endpoints, of_message
from paceline.client.core.seeds import Seed, split_address
from paceline.client.signing import Signer
from paceline.client.tls import HANDSHAKE_S, Tls, of_asyncio, reason
from paceline.clock import now
from paceline.dax.connection import Reply
from paceline.dax.request_types import Endpoints
from paceline.dax.responses import read_endpoints
from paceline.errors import ConfigError, PacelineError, Unavailable

_LOG: Final = logging.getLogger("paceline.client")

HEARTBEAT_S: Final = 1.0
SILENCE_S: Final = 3.0
"""A watch without a message for so long is taken to hang."""
ANSWER_S: Final = 1.0
PAUSE_S: Final = 0.1
"""The pause after a source that failed."""
WATCH: Final = "/paceline.v1.Discovery/Watch"
NUDGE_S: Final = 0.1
"""Polls that failed requests ask for are at least this far apart."""


class RosterFeed:
    """``on_roster`` is called with every roster, ``on_problem`` with what failed, both in the task
    that runs ``run``."""

    def __init__(
        self,
        seeds: Sequence[Seed],
        on_roster: Callable[[Roster], None],
        on_problem: Callable[[str], None],
        *,
        poll_s: float,
        listener: str | None = None,
        tls: Tls | None = None,
        watch: bool = True,
        roster: Roster | None = None,
        signer: Signer | None = None,
    ) -> None:
        """``watch``: whether gRPC may be used; not in a process that was forked. ``roster``: what
        is known already. ``signer``: for sources that want to know who asks."""
        self._seeds = list(seeds)
        self._on_roster = on_roster
        self._on_problem = on_problem
        self._poll_s = poll_s
        self._listener = listener
        self._tls = tls
        self._names = {seed: seed.host for seed in seeds}
        """The names that sources' certificates must be for; those of nodes are for ``Tls.name``."""
        self._watching = watch and (tls is None or tls.grpc)
        self._roster = roster
        self._signer = signer
        self._nudged = asyncio.Event()
        self.known = asyncio.Event()
        """Set with the first roster."""

    def nudge(self) -> None:
        """Asks for a poll at once, since a request failed."""
        self._nudged.set()

    async def run(self) -> None:
        if not self._sources():
            self._on_problem("gRPC cannot be used after a fork: add an endpoint dax://host:port")
        while True:
            sources = self._sources()
            if not sources:
                await asyncio.sleep(PAUSE_S)
            for source in sources:
                try:
                    await (self._watch(source) if source.kind == "grpc" else self._poll(source))
                except (OSError, TimeoutError, PacelineError) as error:
                    self._on_problem(
                        f"{source}: {reason(error, self._tls) or type(error).__name__}"
                    )
                    _LOG.debug("no roster from %s: %s", source, error)
                await asyncio.sleep(PAUSE_S)

    def _sources(self) -> list[Seed]:
        sources = list(self._seeds)
        tls = self._tls is not None
        for node in self._roster.nodes if self._roster is not None else ():
            if node.grpc is not None:
                with contextlib.suppress(ConfigError):
                    sources.append(Seed("grpc", *split_address(node.grpc), tls))
            sources.append(Seed("dax", node.host, node.port, tls))
        if not self._watching:
            sources = [source for source in sources if source.kind == "dax"]
        # Watches first: they tell of a change at once.
        return sorted(dict.fromkeys(sources), key=lambda source: source.kind != "grpc")

    def _follow(self, roster: Roster) -> None:
        if roster.nodes and roster.replaces(self._roster):
            self._roster = roster
            self._on_roster(roster)
            self.known.set()

    # -- gRPC -------------------------------------------------------------------------------

    async def _watch(self, source: Seed) -> None:
        try:
            import grpc  # noqa: PLC0415 - half a second that DAX endpoints do not need
            import grpc.aio  # noqa: PLC0415
        except ImportError:
            self._watching = False
            raise ConfigError(
                f"{source} needs grpcio: pip install 'paceline[grpc]', or use a dax:// endpoint"
            ) from None
        from paceline.v1 import discovery_pb2, discovery_pb2_grpc  # noqa: PLC0415

        options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
        if self._tls is None:
            opened = grpc.aio.insecure_channel(source.address, options=options)
        else:
            name = self._names.get(source, self._tls.name)
            options.append(("grpc.ssl_target_name_override", name))
            trusted = grpc.ssl_channel_credentials(self._tls.roots)
            opened = grpc.aio.secure_channel(source.address, trusted, options=options)
        async with opened as channel:
            stub: Any = discovery_pb2_grpc.DiscoveryStub(channel)
            ended: Any = vars(grpc.aio)["EOF"]  # which the stubs lack
            asked = discovery_pb2.WatchRosterRequest(heartbeat_ms=int(HEARTBEAT_S * 1000))
            metadata = None
            if self._signer is not None:
                metadata = self._signer.metadata(WATCH, asked.SerializeToString())
            call = stub.Watch(asked, metadata=metadata)
            try:
                while True:
                    async with asyncio.timeout(SILENCE_S):
                        message = await call.read()
                    if message is ended:
                        return
                    self._follow(of_message(message, self._listener, tls=self._tls is not None))
            except grpc.RpcError as error:
                details = getattr(error, "details", None)
                raise OSError(details() if details is not None else str(error)) from error
            finally:
                call.cancel()

    def _signature(self, connection: Connection) -> bytes:
        if self._signer is None:
            return b""
        return self._signer.prefix_for(connection, now())

    # -- DAX --------------------------------------------------------------------------------

    async def _poll(self, source: Seed) -> None:
        """Polls a source until it fails; returns or raises then."""
        loop = asyncio.get_running_loop()
        options = of_asyncio(self._tls, self._names.get(source))
        async with asyncio.timeout(ANSWER_S + (HANDSHAKE_S if options else 0.0)):
            _, connection = await loop.create_connection(
                lambda: Connection(loop), source.host, source.port, **options
            )
        answered = False
        try:
            while True:
                self._nudged.clear()
                async with asyncio.timeout(ANSWER_S):
                    event = await connection.exchange(Endpoints(), self._signature(connection))
                answered = True
                if not isinstance(event, Reply):
                    raise event.error
                self._follow(of_endpoints(read_endpoints(event.body)))
                await asyncio.sleep(NUDGE_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._poll_s - NUDGE_S)):
                        await self._nudged.wait()
        except Broken as broken:
            if answered or self._tls is not None:
                raise
            raise Unavailable(f"{broken}; ports with TLS, which are for daxs://, do so") from broken
        finally:
            connection.close()
            with contextlib.suppress(TimeoutError, Broken):
                async with asyncio.timeout(ANSWER_S):
                    await connection.wait_closed()
