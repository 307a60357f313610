"""The ways to DynamoDB, by a node's settings: its own, and that of clients' requests.

They are one where all goes with the node's credentials. Where each caller's requests go with his,
what carries clients' requests has no credentials but those, and what the node needs for itself
(descriptions of tables, streams, the auditor) has a way of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.access.sessions import Known
from cluster.coherence.guard import Guard
from cluster.service.lifecycle import Lifecycle
from cluster.settings import NodeSettings
from cluster.transport.client_server import Shared
from node.backend.client import Backend
from node.reads.reading import ReadOperations
from node.tables.schemas import Upstream
from node.writes.callers import ForwardedCallers
from paceline.errors import DynamoDBError
from paceline.types import Params

if TYPE_CHECKING:
    from node.reads.as_caller import CallersReads


@dataclass(frozen=True, slots=True)
class Ways:
    """``clients``: what clients' requests go by; ``own``: what the node asks for itself."""

    own: Backend
    clients: Backend


def asks_as_caller(settings: NodeSettings) -> bool:
    return settings.access.upstream_credentials == "caller"


async def start_ways(lifecycle: Lifecycle, settings: NodeSettings, shared: Shared) -> Ways:
    """Contacts nobody. ConfigError."""
    own = Backend(
        settings.dynamodb,
        ca_file=settings.tls.ca_file,
        quarantine_s=settings.lease.quarantine_s,
        large_work=shared.large_work,
    )
    await own.start()
    lifecycle.push("dynamodb", own.stop)
    if not asks_as_caller(settings):
        return Ways(own, own)
    # What a node that needs none of it need not load.
    from node.backend.caller_keys import CallerKeys  # noqa: PLC0415
    from node.backend.providers import AwsProvider  # noqa: PLC0415

    keys = CallerKeys(AwsProvider(settings.dynamodb, settings.tls.ca_file))
    lifecycle.push("callers' credentials", keys.aclose)
    clients = Backend(
        settings.dynamodb,
        ca_file=settings.tls.ca_file,
        quarantine_s=settings.lease.quarantine_s,
        large_work=shared.large_work,
        caller_keys=keys,
    )
    await clients.start()
    lifecycle.push("dynamodb as callers", clients.stop)
    return Ways(own, clients)


def forwarded_callers(settings: NodeSettings, principals: Known | None) -> ForwardedCallers | None:
    if not asks_as_caller(settings):
        return None
    assert principals is not None, "settings without authentication"
    return ForwardedCallers(principals)


def callers_reads(
    lifecycle: Lifecycle,
    settings: NodeSettings,
    upstream: Upstream,
    reads: ReadOperations,
    guard: Guard,
    shared: Shared,
    clock: Callable[[], float],
) -> CallersReads | None:
    """``upstream``: that of clients' requests."""
    if not asks_as_caller(settings):
        return None
    from node.reads.as_caller import CallersReads, Flights  # noqa: PLC0415
    from node.reads.seen_rights import SeenRights  # noqa: PLC0415

    rights = SeenRights(settings.access.upstream_rights_s, count=shared.memory.change)
    made = CallersReads(upstream, reads, guard, Flights(settings.pending_max), rights, clock)
    lifecycle.push("callers' fills", made.aclose)

    def observe(operation: str, params: Params, error: DynamoDBError) -> None:
        upstream.tables.notice(operation, params, error)
        made.notice(operation, params, error)

    upstream.backend.observe_errors(observe)
    return made
