"""Whether callers' policies count, and for which tables, by a node's settings; and how long this
node may go by what it knows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.access.currency import Currency
from cluster.access.partitions import partition_of
from cluster.agent import Agent
from cluster.coherence.guard import Guard
from cluster.service.authentication import Authentication
from cluster.settings import NodeSettings
from paceline.clock import wall_time

if TYPE_CHECKING:
    from node.access.authorizer import Authorizer
    from node.access.items import InfoOf


def authorizer_of(
    settings: NodeSettings, info_of: InfoOf, callers: Authentication
) -> Authorizer | None:
    """None where everybody may do everything that is let in at all."""
    access, region = settings.access, settings.dynamodb.region
    principals = callers.principals
    if principals is None or access.authorization == "off":
        return None
    # Two megabytes that a node where everybody may do everything need not have.
    from node.access.authorizer import Authorizer  # noqa: PLC0415
    from node.access.places import Place  # noqa: PLC0415

    place = Place(region, access.account, partition_of(region))
    return Authorizer(
        place,
        info_of,
        wall_time,
        callers.refusals,
        principals.table_policies,
        principals.has_table_policies,
    )


def keep_current(
    access: Authentication,
    agent: Agent,
    guard: Guard,
    level_at: Callable[[], float],
    settings: NodeSettings,
    clock: Callable[[], float],
) -> None:
    """Makes read leases wait for what this node has not heard of yet, and keys of the log end
    where it hears nothing any more. ``level_at``: as ``Replica.level_at``."""
    guard.rights_revision = lambda: agent.state.rights_revision
    if access.in_log is None:
        return
    currency = Currency(settings.access.stale_s)
    lease_s = settings.lease.primary_s

    def check() -> None:
        currency.level(level_at())
        # What the log has said by the renewal of the lease was applied with it.
        currency.level(agent.primary_until - lease_s)
        currency.check(clock())

    access.in_log.check_current = check
