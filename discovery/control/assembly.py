"""Puts the control plane of a discovery process together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from cluster.access.denied import Denied
from cluster.access.partitions import partition_of
from cluster.roster.live_roster import LiveRoster
from cluster.service.authentication import Authentication
from cluster.service.configuration import read_secret
from cluster.service.lifecycle import Lifecycle
from cluster.settings import DiscoverySettings
from cluster.transport.addresses import is_wildcard, split_host_port
from discovery.control.beside import Besides, secret_of
from discovery.control.feed import ControlFeed
from discovery.control.launcher import launcher_of
from discovery.control.names import Place
from discovery.control.records import Records
from discovery.control.service import ControlPlane
from discovery.control.subnets import read_subnets
from discovery.control.world import Front, World
from discovery.services.callers import ServiceCallers
from paceline.clock import wall_time
from paceline.errors import ConfigError, PacelineError

LOOK_S = 0.5
"""How often the roster is compared with what is kept."""
PAUSE_S = 2.0
"""After an attempt that failed."""

_log = structlog.get_logger()


def join_control(
    lifecycle: Lifecycle,
    settings: DiscoverySettings,
    access: Authentication,
    callers: ServiceCallers | None,
    live_roster: LiveRoster,
    feed: ControlFeed,
    besides: Besides,
    bound: Mapping[str, tuple[str, int]],
) -> ControlPlane:
    """``bound``: where the listeners are, by their names. ConfigError."""
    place = Place(
        settings.cluster.lower(),
        settings.region,
        settings.access.account,
        partition_of(settings.region),
    )
    subnet_zones = read_subnets(settings.subnets_file)
    secret = read_secret(settings)
    launcher = launcher_of(
        settings.launcher_socket, settings.launcher_command, lambda one: secret_of(secret, one)
    )

    def world_of(host: str) -> World | None:
        told, roster = feed.told, live_roster.snapshot()
        if told is None or roster is None:
            return None
        try:
            records = Records.of(told.records.by_name)
        except ValueError as error:
            raise Denied("ServiceUnavailableException", str(error), 503) from None
        return World(
            records,
            told.records,
            roster.view,
            roster.health,
            place,
            front_of(settings, bound, host),
            told.facts,
            wall_time(),
            acts=launcher is not None,
            subnet_zones=subnet_zones,
            seen=besides.seen(),
            listed=control.listed,
        )

    control = ControlPlane(
        place,
        feed,
        world_of,
        callers,
        access.refusals,
        wall_time,
        authorizes=settings.access.authorization != "off",
        launcher=launcher,
    )
    lifecycle.push("further clusters", besides.aclose)
    lifecycle.push("acts of the control plane", control.actor.aclose)
    lifecycle.spawn("control records", feed.run())
    lifecycle.spawn("control events", _observe(control, feed, besides))
    return control


def front_of(settings: DiscoverySettings, bound: Mapping[str, tuple[str, int]], host: str) -> Front:
    """Where DAX clients ask this process: the first listener without TLS, or else with it.
    ``host``: by which it was asked just now; where it listens everywhere, that name leads here."""
    plain = [one for one in settings.listeners if not one.tls]
    listener = (plain or settings.listeners)[0]
    address, port = bound[listener.name]
    if listener.advertise:
        address, port = _split(listener.advertise, port)
    elif is_wildcard(address):
        address = _split(host, port)[0] or "127.0.0.1"
    return Front(address, port, listener.name, listener.tls, only_tls=not plain)


def _split(text: str, port: int) -> tuple[str, int]:
    """Host and port of a text that may have no port."""
    try:
        return split_host_port(text)
    except ConfigError:
        return text.strip("[]"), port


async def _observe(control: ControlPlane, feed: ControlFeed, besides: Besides) -> None:
    """Until it is cancelled."""
    while True:
        try:
            if feed.told is not None:
                records = Records.of(feed.told.records.by_name)
                await besides.follow(records)
                await control.hear_launcher(wanted=bool(records.further))
            await control.observe()
        except (PacelineError, Denied, ValueError) as error:
            _log.info("what happened could not be written down yet", why=str(error))
            await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(LOOK_S)
