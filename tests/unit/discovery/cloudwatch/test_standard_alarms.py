"""The usual alarms against the CloudWatch that is to take them: each fires, and each is calm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from paceline_local.standard_alarms import alarms_of, name_of, names_of
from tests.unit.discovery.cloudwatch.watch_world import CLUSTER, World

BEGIN = 1_800_000_000
CALM = {
    "ItemCacheHits": 95.0,
    "ItemCacheMisses": 5.0,
    "CPUUtilization": 40.0,
    "MemoryUtilization": 50.0,
    "EvictedItemCount": 0.0,
    "FailedRequestCount": 1.0,
    "TotalRequestCount": 100.0,
    "ReplicationLag": 3.0,
    "Primary": 1.0,
}
BAD = {
    "hit-rate-low": {"ItemCacheHits": 79.0, "ItemCacheMisses": 21.0},
    "cpu-high": {"CPUUtilization": 71.0},
    "memory-high": {"MemoryUtilization": 81.0},
    "evictions": {"EvictedItemCount": 1.0},
    "errors": {"FailedRequestCount": 6.0},
    "replication-lag": {"ReplicationLag": 1001.0},
    "no-primary": {"Primary": 0.0},
}


class Timed:
    def __init__(self) -> None:
        self.now = float(BEGIN)
        self.world = World(now=lambda: self.now)
        self.client = self.world.client()

    def put(self, *actions: str, period_s: int | None = None) -> None:
        for alarm in alarms_of(CLUSTER, actions, period_s):
            self.client.put_metric_alarm(**alarm)

    def passes(self, seconds: int, values: Mapping[str, float]) -> None:
        """Of nodes that say so all the while; alarms are looked at as they are in a cluster."""
        for _ in range(0, seconds, 10):
            self.world.add(int(self.now), n1=values, n2=values)
            self.now += 10
            self.world.watched.alarms.evaluate()

    def states(self) -> dict[str, str]:
        told = self.client.describe_alarms(AlarmNames=names_of(CLUSTER))["MetricAlarms"]
        return {one["AlarmName"]: one["StateValue"] for one in told}


@pytest.fixture
def timed() -> Iterator[Timed]:
    made = Timed()
    yield made
    made.world.history.close()


@pytest.mark.parametrize("kind", BAD)
def test_each_goes_to_alarm_alone_and_comes_back(timed: Timed, kind: str) -> None:
    timed.put()
    timed.passes(1_200, CALM)
    assert set(timed.states().values()) == {"OK"}
    timed.passes(1_200, {**CALM, **BAD[kind]})
    alarmed = [name for name, state in timed.states().items() if state == "ALARM"]
    assert alarmed == [name_of(CLUSTER, kind)]
    timed.passes(1_800, CALM)
    assert set(timed.states().values()) == {"OK"}


def test_a_cluster_of_which_nothing_is_heard_has_no_primary_and_no_other_alarm(
    timed: Timed,
) -> None:
    timed.put()
    timed.passes(1_200, CALM)
    timed.passes(1_200, {})
    states = timed.states()
    assert states.pop(name_of(CLUSTER, "no-primary")) == "ALARM"
    assert "ALARM" not in states.values()


def test_they_are_put_as_often_as_one_likes_and_tell_of_changes(timed: Timed) -> None:
    told: list[Any] = []
    timed.world.watched.alarms.told = told.append
    timed.put("pager", period_s=10)
    timed.passes(60, CALM)
    before = timed.states()
    timed.put("pager", period_s=10)
    assert timed.states() == before
    timed.passes(120, {**CALM, **BAD["cpu-high"]})
    assert timed.states()[name_of(CLUSTER, "cpu-high")] == "ALARM"
    cpu = [one for one in told if one.alarm["AlarmName"] == name_of(CLUSTER, "cpu-high")]
    assert [(one.before, one.actions) for one in cpu] == [
        ("INSUFFICIENT_DATA", ("pager",)),
        ("OK", ("pager",)),
    ]
    assert len(timed.client.describe_alarms()["MetricAlarms"]) == len(names_of(CLUSTER))
