"""What a node has to do with the control plane: it tells discovery processes what the log has, and
keeps its caches by it."""

from __future__ import annotations

import structlog

from cluster.agent import Agent
from cluster.log.lifetimes import Lifetimes, lifetimes_of
from cluster.roster.control_feed import add_control
from cluster.roster.principals_feed import add_principals
from cluster.service.lifecycle import Lifecycle
from cluster.settings import CacheSettings
from node.cache.caches import Caches, ttls_of
from node.members_port import MembersPort

_log = structlog.get_logger()


def join_control(
    lifecycle: Lifecycle,
    settings: CacheSettings,
    members: MembersPort | None,
    agent: Agent,
    caches: Caches,
) -> None:
    """Before the agent starts: a node's lifetimes are those of the log by the time it serves."""
    if members is not None:
        members.server.add(add_principals(lambda: agent.state, agent.consensus.watch))
        facts = {
            "bytes_max": settings.bytes_max,
            "record_ttl_millis": settings.record_ttl_millis,
            "query_ttl_millis": settings.query_ttl_millis,
        }
        members.server.add(
            add_control(lambda: agent.state, agent.commit, facts, agent.consensus.watch)
        )
    follower = LifetimesFollower(settings, agent, caches)
    # A view with this node in it comes once the log has been read to the entry that registers it.
    agent.subscribe(lambda _: follower.look())
    agent.consensus.watch(follower.look)


class LifetimesFollower:
    """Keeps caches by what the log has set; what it does not set is as in the node's settings."""

    def __init__(self, settings: CacheSettings, agent: Agent, caches: Caches) -> None:
        self._settings = settings
        self._agent = agent
        self._caches = caches
        self._seen = 0
        self._applied = Lifetimes()

    def look(self) -> None:
        control = self._agent.state.control
        if control.revision == self._seen:
            return
        self._seen = control.revision
        wanted = lifetimes_of(control.by_name)
        if wanted == self._applied:
            return
        self._applied = wanted
        self._caches.configure(ttls_of(with_lifetimes(self._settings, wanted)))
        _log.info(
            "lifetimes of the parameter group",
            record_ttl_millis=wanted.record_ttl_millis,
            query_ttl_millis=wanted.query_ttl_millis,
        )


def with_lifetimes(settings: CacheSettings, wanted: Lifetimes) -> CacheSettings:
    """Settings as they would be with ``wanted`` as the general lifetimes. What a table has of its
    own stays."""
    told = {
        "record_ttl_millis": wanted.record_ttl_millis,
        "query_ttl_millis": wanted.query_ttl_millis,
    }
    return settings.model_copy(update={k: v for k, v in told.items() if v is not None})
