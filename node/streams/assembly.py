"""Puts the parts together that follow streams."""

from __future__ import annotations

from cluster.agent import Agent
from cluster.coherence.effects import Effect
from cluster.service.lifecycle import Lifecycle
from cluster.settings import NodeSettings
from node.streams.client import StreamClient
from node.streams.followed_tables import FollowedTables
from node.streams.invalidation import Invalidation
from node.streams.own_writes import OwnWrites
from node.tables.keys import KnownKeys
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from node.writes.effects import effect_of_change
from node.writes.fencing import PrimaryAccess
from paceline.clock import now
from paceline.types import Item, Key


async def assemble(
    lifecycle: Lifecycle,
    settings: NodeSettings,
    agent: Agent,
    access: PrimaryAccess,
    upstream: Upstream,
) -> FollowedTables:
    """Makes the parts. None of them costs anything unless some table's setting asks for streams."""
    client = StreamClient(settings.dynamodb, ca_file=settings.tls.ca_file)
    known = KnownKeys()

    def effect_of(table: TableInfo, key: Key, old: Item | None, new: Item | None) -> Effect:
        return effect_of_change(known.of(table), key[1], old, new)

    own = OwnWrites()
    streams = FollowedTables(
        settings.cache,
        agent,
        access.coordinator,
        access.driver,
        client,
        upstream.backend,
        Invalidation(access.driver, own, upstream.lists, effect_of),
        own,
        upstream.tables.names,
        now,
    )
    if streams.configured:
        access.driver.observer = own
        await client.start()
        lifecycle.push("stream client", client.stop)
        lifecycle.push("streams", streams.aclose)
    return streams
