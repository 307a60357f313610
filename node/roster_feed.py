"""A node's own picture of its cluster, for clients and discovery: who is there, and who is well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cluster.agent import Agent
from cluster.log.view import ClusterView
from cluster.roster.endpoints import Health
from cluster.roster.live_roster import LiveRoster
from cluster.roster.prober import Prober
from cluster.service.lifecycle import Lifecycle
from cluster.settings import NodeSettings

CONFIRM_S = 0.5
"""The interval at which the view is marked as still true. Discovery looks elsewhere after 2 s
without."""


def follow_members(
    lifecycle: Lifecycle,
    settings: NodeSettings,
    agent: Agent,
    roster: LiveRoster,
    sign: Callable[[], bytes] | None,
) -> None:
    """Gives every view to the roster, and has its members probed."""
    prober = Prober(
        roster.update_health,
        own_id=settings.node_id,
        listener_names=[listener.name for listener in settings.listeners],
        dial_map=settings.dial_map,
        sign=sign,
    )
    lifecycle.push("prober", prober.aclose)

    def viewed(view: ClusterView) -> None:
        roster.update_view(view)
        roster.update_health(settings.node_id, Health.ALIVE)
        prober.follow(view.members)

    agent.subscribe(viewed)
    lifecycle.spawn("roster", _confirm_views(agent, roster))


async def _confirm_views(agent: Agent, roster: LiveRoster) -> None:
    """While a majority is connected the view is true: a later one would be known by now."""
    while True:
        if agent.consensus.has_quorum:
            roster.confirm()
        await asyncio.sleep(CONFIRM_S)
