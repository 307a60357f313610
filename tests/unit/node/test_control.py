"""A node's caches go by the parameter group of the log."""

from __future__ import annotations

import json
from math import inf
from types import SimpleNamespace
from typing import Any, cast

from cluster.agent import Agent
from cluster.log import commands as c
from cluster.log.lifetimes import Lifetimes, lifetimes_of, millis_of
from cluster.log.state import ReplicatedState
from cluster.settings import CacheSettings, TableSettings
from node.cache.caches import Caches
from node.control import LifetimesFollower

SETTINGS = CacheSettings(
    record_ttl_millis=5_000,
    query_ttl_millis=6_000,
    tables={"Orders": TableSettings(record_ttl_millis=7_000)},
)


def group(**values: str) -> bytes:
    return json.dumps({"values": {k.replace("_", "-"): v for k, v in values.items()}}).encode()


def cluster(parameter_group: str) -> bytes:
    return json.dumps({"parameter_group": parameter_group}).encode()


class World:
    def __init__(self) -> None:
        self.state = ReplicatedState()
        self.caches = Caches.from_settings(SETTINGS)
        self.follower = LifetimesFollower(
            SETTINGS, cast(Agent, SimpleNamespace(state=self.state)), self.caches
        )

    def put(self, **changes: Any) -> None:
        made = {name.replace("__", "/").replace("_", "-"): one for name, one in changes.items()}
        command = c.ChangeControl(
            str(self.state.control.revision), self.state.control.revision, made
        )
        assert self.state.apply_command(command).ok
        self.follower.look()

    def lifetimes(self, table: str = "Others") -> tuple[float, float]:
        return (
            self.caches.items.ttls.of(table).record_s,
            self.caches.queries.ttls.of(table).query_s,
        )


def test_what_the_clusters_group_sets_counts_and_the_rest_is_as_in_the_settings() -> None:
    world = World()
    world.follower.look()
    assert world.lifetimes() == (5.0, 6.0)
    world.put(parameter_group__short=group(record_ttl_millis="10"))
    assert world.lifetimes() == (5.0, 6.0), "no cluster has it"
    world.put(cluster=cluster("short"))
    assert world.lifetimes() == (0.01, 6.0)
    assert world.lifetimes("Orders") == (7.0, 6.0), "a table's own stays"
    world.put(parameter_group__short=group(record_ttl_millis="0", query_ttl_millis="0"))
    assert world.lifetimes() == (inf, 0.0), "as by DAX: no limit, and not cached"
    world.put(cluster=cluster("default.dax1.0"))
    assert world.lifetimes() == (5.0, 6.0)


def test_a_snapshot_counts_as_its_log() -> None:
    world = World()
    world.put(parameter_group__short=group(query_ttl_millis="10"), cluster=cluster("short"))
    after = World()
    after.state.restore(world.state.snapshot())
    after.follower.look()
    assert after.lifetimes() == (5.0, 0.01)


def test_what_cannot_be_read_sets_nothing() -> None:
    for record in (b"", b"[]", b"{", b"[" * 100_000, b'{"values": 1}', b'{"values": {}}'):
        records = {"cluster": cluster("g"), "parameter-group/g": record}
        assert lifetimes_of(records) == Lifetimes()
    assert lifetimes_of({"cluster": b"5"}) == Lifetimes()
    for text in ("", "-1", "1.0", "٣", "9" * 17, str(2**53 + 1), None, 5):
        assert millis_of(text) is None, text
    assert millis_of(str(2**53)) == 2**53
