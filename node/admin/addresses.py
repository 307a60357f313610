"""Where a node can be reached: whether the settings say so without contradiction, and what the
cluster is told of it."""

from __future__ import annotations

from cluster.log.view import MEMBERS
from cluster.service.configuration import read_secret
from cluster.settings import NodeSettings
from cluster.transport.addresses import advertised_address, refuse_exposed, split_host_port
from cluster.transport.descriptors import Demand, fit_connections
from cluster.transport.member_certificates import check_node_id
from cluster.transport.members_server import CONNECTIONS_MAX
from cluster.transport.tls import require_certificate
from paceline.errors import ConfigError


def clustered(settings: NodeSettings) -> bool:
    """True for a node that others can reach, be it the first one of a cluster."""
    return bool(settings.peers)


def check(settings: NodeSettings) -> None:
    """Raises ConfigError for settings that cannot work."""
    if not settings.listeners:
        raise ConfigError("PACELINE_LISTENERS is empty: a node needs one DAX listener at least")
    binds = {f"listener {item.name!r}": item.bind for item in settings.listeners}
    with_tls = [f"listener {item.name!r}" for item in settings.listeners if item.tls]
    binds["PACELINE_GRPC_BIND"] = settings.grpc_bind
    binds["PACELINE_ADMIN_BIND"] = settings.admin_bind
    if settings.http_bind:
        binds["PACELINE_HTTP_BIND"] = settings.http_bind
    for setting, bind in (
        ("PACELINE_HTTPS_BIND", settings.https_bind),
        ("PACELINE_GRPC_TLS_BIND", settings.grpc_tls_bind),
    ):
        if bind:
            binds[setting] = bind
            with_tls.append(setting)
    if clustered(settings):
        if settings.node_id not in settings.peers:
            raise ConfigError(
                f"PACELINE_PEERS does not name this node ({settings.node_id!r}); it must list "
                "every founding member, this one included, with its consensus address"
            )
        if not read_secret(settings):
            raise ConfigError(
                "a cluster needs a secret that all its nodes share: set PACELINE_SECRET or "
                "PACELINE_SECRET_FILE"
            )
    # The members' port asks for certificates wherever it is, so others may reach it.
    for address in (*binds.values(), settings.members_bind):
        split_host_port(address)
    check_node_id(settings.node_id)
    require_certificate(settings.tls, with_tls)
    # A certificate alone does not change this: it hides what is said, and lets everybody say it.
    protected = with_tls if settings.access.authentication != "off" else []
    if settings.admin_insecure:
        protected = [*protected, "PACELINE_ADMIN_BIND"]
    refuse_exposed(binds, insecure=settings.insecure, protected=protected)


async def addresses_of(settings: NodeSettings, *, members: bool) -> dict[str, str]:
    """Returns what the log tells the cluster of this node's addresses, by the keys of
    ``Member.addresses``. ``members``: whether it has a port for them."""
    addresses = {
        "grpc": settings.grpc_advertise or settings.grpc_bind,
        "admin": settings.admin_advertise or settings.admin_bind,
    }
    for kind, bind, advertise in (
        ("http", settings.http_bind, settings.http_advertise),
        ("https", settings.https_bind, settings.https_advertise),
        ("grpc-tls", settings.grpc_tls_bind, settings.grpc_tls_advertise),
    ):
        if bind:
            addresses[kind] = advertise or bind
    if members:
        addresses[MEMBERS] = settings.founders[settings.node_id]
    for listener in settings.listeners:
        kind = "dax-tls" if listener.tls else "dax"
        addresses[f"{kind}/{listener.name}"] = await advertised_address(
            listener, split_host_port(listener.bind)
        )
    return addresses


def within_files(settings: NodeSettings) -> NodeSettings:
    """Returns the settings with as many client connections as this process may have files open for.
    Raises ConfigError if that is too few."""
    fitting = fit_connections(
        Demand(
            settings.connections_max,
            servers=2 if settings.http_bind or settings.https_bind else 1,
            grpc_connections=settings.limits.grpc_connections_max
            * (2 if settings.grpc_tls_bind else 1)
            + (CONNECTIONS_MAX if settings.secret or settings.secret_file else 0),
            upstream=settings.dynamodb.connections_max,
            wanted="connections_max" in settings.model_fields_set,
        )
    )
    return settings.model_copy(update={"connections_max": fitting})
