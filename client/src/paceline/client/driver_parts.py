"""What both drivers are made of, besides their pools and their way of waiting."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from paceline.client.core.call_flow import Core
from paceline.client.core.roster import Roster
from paceline.client.core.seeds import Seed
from paceline.client.roster.feed import RosterFeed
from paceline.client.signing import Signable, Signer
from paceline.client.tls import Tls


@dataclass(frozen=True, slots=True)
class DriverParts:
    """``find_zone``: None if the client's zone is known, or is of no matter."""

    core: Core
    seeds: Sequence[Seed] = ()
    listener: str | None = None
    tls: Tls | None = None
    signer: Signer | None = None
    find_zone: Callable[[], Awaitable[str | None]] | None = None

    @property
    def has_fast_path(self) -> bool:
        """False if every GetItem may be hedged, or is reported to a callback."""
        settings = self.core.settings
        return settings.hedge_after_s is None and not settings.on_request

    def signature(self, connection: Signable) -> bytes:
        """What goes in front of the connection's next request; nothing without a signer."""
        if self.signer is None:
            return b""
        return self.signer.prefix_for(connection, self.core.clock())

    def feed(self, on_roster: Callable[[Roster], None], *, watch: bool = True) -> RosterFeed:
        """Has to be run. ``watch``: whether gRPC may be used."""
        return RosterFeed(
            self.seeds,
            on_roster,
            self.core.roster_failed,
            poll_s=self.core.settings.poll_s,
            listener=self.listener,
            tls=self.tls,
            watch=watch,
            roster=self.core.router.roster,
            signer=self.signer,
        )

    async def look_for_zone(self) -> None:
        assert self.find_zone is not None
        zone = await self.find_zone()
        if zone is not None:
            with self.core.lock:
                self.core.router.set_zone(zone)
