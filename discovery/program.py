"""Puts the parts of a discovery process together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry, Gauge

from cluster.roster.live_roster import LiveRoster
from cluster.roster.liveness import ProbeTimes
from cluster.roster.prober import Prober
from cluster.roster.servicer import SERVICE, add_discovery, to_message
from cluster.service.admin_http import AdminServer
from cluster.service.admin_token import read_token_of
from cluster.service.authentication import Authentication
from cluster.service.configuration import read_secret
from cluster.service.lifecycle import Lifecycle
from cluster.service.metrics import SeriesCollector
from cluster.settings import DiscoverySettings
from cluster.transport.addresses import refuse_exposed, split_host_port
from cluster.transport.client_server import Shared
from cluster.transport.dax_server import DaxServer
from cluster.transport.descriptors import Demand, fit_connections
from cluster.transport.expected import ExpectedLimits
from cluster.transport.grpc_limits import GrpcLimits
from cluster.transport.grpc_server import GrpcServer
from cluster.transport.member_certificates import MemberCertificate
from cluster.transport.member_channels import MemberChannels
from cluster.transport.tls import ServerCertificate, require_certificate
from discovery.cloudwatch.assembly import join_watch
from discovery.control.assembly import join_control
from discovery.control.beside import Besides
from discovery.control.feed import ControlFeed
from discovery.endpoints import EndpointsHandler
from discovery.principals import PrincipalsWatcher
from discovery.services.callers import Restraint, ServiceCallers
from discovery.services.requests import Service
from discovery.services.server import ServicesServer
from discovery.sources import Seeds
from discovery.sts.service import Sts
from discovery.watcher import RosterWatcher
from paceline.clock import wall_time
from paceline.errors import ConfigError

CONNECTIONS_MAX = 10_000
"""The most connections. Each client process opens one every four seconds, for a moment."""
DRAIN_S = 2.0

ASK_S = 0.3
"""Clients go by what discovery says, so it asks more often than nodes ask each other."""

_log = structlog.get_logger()


def check(settings: DiscoverySettings) -> None:
    """Raises ConfigError for settings that cannot work."""
    if not settings.seeds:
        raise ConfigError(
            "discovery needs to know a node: set PACELINE_SEEDS to a JSON list of members' "
            'addresses (PACELINE_MEMBERS_BIND of nodes), for example ["127.0.0.1:8181"]'
        )
    for seed in settings.seeds:
        split_host_port(seed)
    if not read_secret(settings):
        raise ConfigError(
            "discovery follows the nodes at their port for members, to which it has to show a "
            "certificate: set PACELINE_SECRET or PACELINE_SECRET_FILE to the secret of the cluster"
        )
    if not settings.listeners:
        raise ConfigError("PACELINE_LISTENERS is empty: discovery needs one DAX listener at least")
    binds = {f"listener {item.name!r}": item.bind for item in settings.listeners}
    binds["PACELINE_GRPC_BIND"] = settings.grpc_bind
    if settings.admin_bind:
        binds["PACELINE_ADMIN_BIND"] = settings.admin_bind
    if settings.http_bind:
        binds["PACELINE_HTTP_BIND"] = settings.http_bind
    with_tls = [f"listener {item.name!r}" for item in settings.listeners if item.tls]
    if settings.https_bind:
        binds["PACELINE_HTTPS_BIND"] = settings.https_bind
        with_tls.append("PACELINE_HTTPS_BIND")
    if settings.grpc_tls_bind:
        binds["PACELINE_GRPC_TLS_BIND"] = settings.grpc_tls_bind
        with_tls.append("PACELINE_GRPC_TLS_BIND")
    require_certificate(settings.tls, with_tls)
    protected = with_tls if settings.access.authentication != "off" else []
    if settings.admin_insecure:
        protected = [*protected, "PACELINE_ADMIN_BIND"]
    refuse_exposed(binds, insecure=settings.insecure, protected=protected)


def discovery_program(settings: DiscoverySettings) -> Callable[[Lifecycle], Awaitable[None]]:
    async def start(lifecycle: Lifecycle) -> None:
        check(settings)
        connections_max = fit_connections(Demand(CONNECTIONS_MAX, servers=1, wanted=False))
        certificate = ServerCertificate.of(settings.tls, settings.access.client_ca_file)
        live_roster, shared = LiveRoster(), Shared.of(settings.limits)
        lifecycle.push("large work", shared.large_work.aclose)
        shown = MemberCertificate.of_discovery(read_secret(settings), settings.cluster)
        channels = MemberChannels(shown, settings.dial_map)
        watcher = RosterWatcher(live_roster, Seeds(settings.seeds), channels)
        principals = PrincipalsWatcher(lambda: watcher.source, channels)
        secret, restraint = read_secret(settings), shared.restraint
        access = Authentication(settings, settings.region, secret, principals.sealed, restraint)
        access.start(lifecycle)
        prober = Prober(
            live_roster.update_health,
            listener_names=[listener.name for listener in settings.listeners],
            dial_map=settings.dial_map,
            times=ProbeTimes(ask_s=ASK_S),
            sign=access.probe_signature,
        )
        lifecycle.push("prober", prober.aclose)

        limits = GrpcLimits.of(
            settings.limits, shared.memory, callers=access.grpc, restraint=restraint
        )
        grpc_servers, grpc_address = await _start_grpc(
            lifecycle, settings, live_roster, certificate, limits
        )
        dax_server = DaxServer(
            EndpointsHandler(live_roster),
            connections_max=connections_max,
            shared=shared,
            callers=access.dax,
        )
        await dax_server.start(settings.listeners, certificate.context() if certificate else None)
        lifecycle.push("dax", lambda: dax_server.drain(DRAIN_S), deadline_s=DRAIN_S + 1.0)

        asks_log = access.dax is not None and access.in_log is not None
        heard = principals.known.is_set if asks_log else lambda: True
        callers = _callers(settings, access, restraint, heard)
        bound = dax_server.addresses
        ways = live_roster, watcher, channels
        services = _services(lifecycle, settings, access, callers, *ways, bound)
        http_addresses = await _start_services(
            lifecycle, settings, services, certificate, shared.expected
        )
        if settings.admin_bind:
            admin = _admin(settings, live_roster, watcher, shown, certificate, access)
            await admin.start(settings.admin_bind)
            lifecycle.push("admin", admin.stop)

        if certificate is not None:
            lifecycle.spawn("certificate", certificate.watch())
        lifecycle.spawn("member certificate", shown.watch())
        known = principals.known if asks_log else None
        lifecycle.spawn("views", _apply_views(live_roster, prober, grpc_servers, known))
        lifecycle.spawn("watcher", watcher.run())
        if asks_log:
            lifecycle.spawn("principals of the log", principals.run())
        _log.info(
            "discovery is up",
            dax={name: f"{host}:{port}" for name, (host, port) in dax_server.addresses.items()},
            grpc=grpc_address,
            http=http_addresses,
            seeds=settings.seeds,
        )

    return start


async def _apply_views(
    live_roster: LiveRoster,
    prober: Prober,
    grpc_servers: Sequence[GrpcServer],
    known: asyncio.Event | None,
) -> None:
    """Probes the members of each new view; the first one makes this process ready. ``known``: set
    once the log's principals are; who asks before is refused."""
    revision = -1
    while True:
        await live_roster.changed_since(revision)
        revision = live_roster.revision
        if live_roster.view is not None:
            prober.follow(live_roster.view.members)
            if known is not None:
                await known.wait()
            for server in grpc_servers:
                await server.set_serving(True)


async def _start_grpc(
    lifecycle: Lifecycle,
    settings: DiscoverySettings,
    live_roster: LiveRoster,
    certificate: ServerCertificate | None,
    limits: GrpcLimits,
) -> tuple[list[GrpcServer], str]:
    """The servers, and where the one without TLS is."""
    shows = settings.grpc_reflection
    server = GrpcServer(
        [add_discovery(live_roster)], names=[SERVICE], limits=limits, reflects=shows
    )
    address = await server.start(settings.grpc_bind)
    lifecycle.push("grpc", server.stop)
    if certificate is None or not settings.grpc_tls_bind:
        return [server], address
    secure = GrpcServer(
        [add_discovery(live_roster)],
        names=[SERVICE],
        setting="PACELINE_GRPC_TLS_BIND",
        limits=limits,
        reflects=shows,
    )
    demands = settings.access.grpc_client_certificates
    await secure.start(
        settings.grpc_tls_bind, certificate.grpc_credentials(demands_certificates=demands)
    )
    lifecycle.push("grpc with TLS", secure.stop)
    return [server, secure], address


def _callers(
    settings: DiscoverySettings,
    access: Authentication,
    restraint: Restraint,
    heard: Callable[[], bool],
) -> ServiceCallers | None:
    """``heard``: whether principals are known yet. None where nobody has to sign."""
    if access.principals is None:
        return None
    return ServiceCallers(access.principals, settings.region, restraint, heard)


def _services(
    lifecycle: Lifecycle,
    settings: DiscoverySettings,
    access: Authentication,
    callers: ServiceCallers | None,
    live_roster: LiveRoster,
    watcher: RosterWatcher,
    channels: MemberChannels,
    bound: Mapping[str, tuple[str, int]],
) -> list[Service]:
    """``bound``: where the DAX listeners are, by name. None where nobody can ask for them."""
    if not settings.http_bind and not settings.https_bind:
        return []
    records = ControlFeed(lambda: watcher.source, channels)
    besides = Besides(
        read_secret(settings), settings.region, signs=settings.access.authentication != "off"
    )
    return [
        join_watch(
            lifecycle, settings, access, callers, live_roster, channels, besides.sources, records
        ),
        Sts(access.principals, callers, access.tokens, access.refusals, wall_time),
        join_control(lifecycle, settings, access, callers, live_roster, records, besides, bound),
    ]


async def _start_services(
    lifecycle: Lifecycle,
    settings: DiscoverySettings,
    services: Sequence[Service],
    certificate: ServerCertificate | None,
    limits: ExpectedLimits,
) -> list[str]:
    """AWS's services; returns where they are."""
    addresses = []
    for setting, bind, shown in (
        ("PACELINE_HTTP_BIND", settings.http_bind, None),
        ("PACELINE_HTTPS_BIND", settings.https_bind, certificate),
    ):
        if bind:
            server = ServicesServer(
                services, hosts=settings.http_hosts, setting=setting, limits=limits
            )
            addresses.append(await server.start(bind, shown))
            lifecycle.push(setting, server.stop)
    return addresses


def _admin(
    settings: DiscoverySettings,
    live_roster: LiveRoster,
    watcher: RosterWatcher,
    shown: MemberCertificate,
    certificate: ServerCertificate | None,
    access: Authentication,
) -> AdminServer:
    def unready() -> str | None:
        return None if live_roster.view is not None else "no node of the cluster was reached yet"

    def status() -> dict[str, Any]:
        snapshot = live_roster.snapshot()
        roster = MessageToDict(to_message(snapshot)) if snapshot is not None else None
        told = {
            "source": watcher.source,
            "roster": roster,
            "member_tls": shown.as_dict(),
            "access": access.as_dict(),
        }
        return told if certificate is None else {**told, "tls": certificate.as_dict()}

    registry = CollectorRegistry()
    listeners = certificate.gauges() if certificate is not None else []
    for name, help_text, value in (*shown.gauges(), *listeners):
        Gauge(f"paceline_{name}", help_text, registry=registry).set_function(value)
    registry.register(SeriesCollector(access.series()))
    return AdminServer(
        unready=unready,
        status=status,
        registry=registry,
        hosts=settings.admin_hosts,
        readers=settings.admin_readers,
        read_token=read_token_of(read_secret(settings)),
    )
