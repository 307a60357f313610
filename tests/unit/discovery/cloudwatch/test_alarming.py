"""Alarms as boto3 puts them: their states by what was counted, their history, who is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from discovery.cloudwatch.alarming import ALARMS_MAX, EVENTS_MAX, Change
from tests.unit.discovery.cloudwatch.watch_world import CLUSTER, PROTOCOLS, REGION, World, user

BEGIN = 1_800_000_000 // 3_600 * 3_600
CPU: dict[str, Any] = {
    "AlarmName": "dax-high-cpu",
    "MetricName": "CPUUtilization",
    "Namespace": "AWS/DAX",
    "Statistic": "Average",
    "Period": 300,
    "EvaluationPeriods": 2,
    "Threshold": 70,
    "ComparisonOperator": "GreaterThanThreshold",
    "Dimensions": [{"Name": "ClusterName", "Value": CLUSTER}],
    "AlarmActions": ["arn:aws:sns:eu-west-1:000000000000:pager"],
}
ARN = f"arn:aws:cloudwatch:{REGION}:000000000000:alarm:"


class Clocked:
    def __init__(self) -> None:
        self.now = float(BEGIN)
        self.world = World(now=lambda: self.now)
        self.changes: list[Change] = []
        self.world.watched.alarms.told = self.changes.append

    def passes(self, seconds: int, **values: float) -> None:
        """One node gives these all the while; nothing, if there are none."""
        for at in range(int(self.now), int(self.now) + seconds, 10):
            if values:
                self.world.add(at, n1=values)
            self.now = at + 10.0
        self.now += 20
        self.world.watched.alarms.evaluate()
        self.now -= 20


@pytest.fixture
def clocked() -> Iterator[Clocked]:
    clocked = Clocked()
    yield clocked
    clocked.world.history.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_states_follow_what_is_counted(clocked: Clocked, protocol: str) -> None:
    client = clocked.world.client(protocol)
    client.put_metric_alarm(**CPU)

    def state() -> str:
        (alarm,) = client.describe_alarms(AlarmNames=["dax-high-cpu"])["MetricAlarms"]
        return str(alarm["StateValue"])

    assert state() == "INSUFFICIENT_DATA"
    clocked.passes(660, CPUUtilization=20.0)
    assert state() == "OK"
    clocked.passes(360, CPUUtilization=90.0)
    assert state() == "OK"  # one period of two
    clocked.passes(300, CPUUtilization=90.0)
    assert state() == "ALARM"
    clocked.passes(1_800)
    assert state() == "INSUFFICIENT_DATA"
    (told,) = clocked.changes
    assert (told.before, told.actions) == ("OK", tuple(CPU["AlarmActions"]))
    (alarm,) = client.describe_alarms()["MetricAlarms"]
    assert alarm["AlarmArn"] == ARN + "dax-high-cpu"
    assert alarm["Threshold"] == 70.0
    history = client.describe_alarm_history(AlarmName="dax-high-cpu", HistoryItemType="StateUpdate")
    assert [one["HistorySummary"] for one in history["AlarmHistoryItems"]] == [
        "Alarm updated from ALARM to INSUFFICIENT_DATA",
        "Alarm updated from OK to ALARM",
        "Alarm updated from INSUFFICIENT_DATA to OK",
    ]
    found = client.describe_alarms_for_metric(
        MetricName="CPUUtilization", Namespace="AWS/DAX", Dimensions=CPU["Dimensions"]
    )
    assert len(found["MetricAlarms"]) == 1
    client.delete_alarms(AlarmNames=["dax-high-cpu"])
    assert client.describe_alarms()["MetricAlarms"] == []
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.delete_alarms(AlarmNames=["dax-high-cpu"])


def test_an_alarm_may_be_about_metric_math(clocked: Clocked) -> None:
    client = clocked.world.client()

    def stat(name: str, metric: str) -> dict[str, Any]:
        told = {"Namespace": "AWS/DAX", "MetricName": metric, "Dimensions": CPU["Dimensions"]}
        query = {"Metric": told, "Period": 60, "Stat": "Sum"}
        return {"Id": name, "MetricStat": query, "ReturnData": False}

    client.put_metric_alarm(
        AlarmName="dax-hit-rate",
        Metrics=[
            stat("hits", "ItemCacheHits"),
            stat("misses", "ItemCacheMisses"),
            {"Id": "rate", "Expression": "100*hits/(hits+misses)"},
        ],
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
        Threshold=80,
        ComparisonOperator="LessThanThreshold",
        TreatMissingData="notBreaching",
    )
    clocked.passes(300, ItemCacheHits=9.0, ItemCacheMisses=1.0)
    (alarm,) = client.describe_alarms(StateValue="OK")["MetricAlarms"]
    clocked.passes(120, ItemCacheHits=1.0, ItemCacheMisses=9.0)
    (alarm,) = client.describe_alarms(StateValue="ALARM")["MetricAlarms"]
    assert "less than the threshold (80)" in alarm["StateReason"]
    clocked.passes(600, ItemCacheHits=0.0, ItemCacheMisses=0.0)
    (alarm,) = client.describe_alarms(StateValue="OK")["MetricAlarms"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_state_that_is_set_stays_until_the_next_look(clocked: Clocked, protocol: str) -> None:
    client = clocked.world.client(protocol)
    client.put_metric_alarm(**CPU)
    client.set_alarm_state(AlarmName="dax-high-cpu", StateValue="ALARM", StateReason="a test")
    assert [one.alarm["StateReason"] for one in clocked.changes] == ["a test"]
    client.disable_alarm_actions(AlarmNames=["dax-high-cpu"])
    client.set_alarm_state(AlarmName="dax-high-cpu", StateValue="OK", StateReason="")
    client.set_alarm_state(AlarmName="dax-high-cpu", StateValue="ALARM", StateReason="again")
    assert len(clocked.changes) == 1
    client.enable_alarm_actions(AlarmNames=["dax-high-cpu"])
    client.put_metric_alarm(**{**CPU, "Threshold": 80})  # keeps its state
    clocked.passes(1_200, CPUUtilization=1.0)
    (alarm,) = client.describe_alarms(AlarmNamePrefix="dax-")["MetricAlarms"]
    assert (alarm["StateValue"], alarm["Threshold"]) == ("OK", 80.0)
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="x")
    with pytest.raises(client.exceptions.InvalidFormatFault):
        client.set_alarm_state(
            AlarmName="dax-high-cpu", StateValue="OK", StateReason="x", StateReasonData="{"
        )


def test_what_is_no_alarm_is_refused(clocked: Clocked) -> None:
    client = clocked.world.client()
    for change in (
        {"ComparisonOperator": "GreaterThanUpperThreshold"},
        {"ComparisonOperator": None},
        {"EvaluationPeriods": None},
        {"Threshold": None},
        {"Period": 7},
        {"Period": None},
        {"TreatMissingData": "perhaps"},
        {"DatapointsToAlarm": 3},
        {"ExtendedStatistic": "p99"},
        {"Statistic": None, "ExtendedStatistic": "tm99"},
        {"EvaluationPeriods": 100_000},
        {"Metrics": [{"Id": "a", "Expression": "1"}]},
    ):
        asked = {name: one for name, one in {**CPU, **change}.items() if one is not None}
        with pytest.raises(ClientError) as refused:
            client.put_metric_alarm(**asked)
        assert refused.value.response["Error"]["Code"] == "ValidationError", change
    assert client.describe_alarms()["MetricAlarms"] == []


def test_alarms_and_their_history_are_bounded(clocked: Clocked) -> None:
    client = clocked.world.client()
    for place in range(ALARMS_MAX):
        client.put_metric_alarm(**{**CPU, "AlarmName": f"a{place:03}"})
    with pytest.raises(client.exceptions.LimitExceededFault):
        client.put_metric_alarm(**{**CPU, "AlarmName": "one-more"})
    pages = list(client.get_paginator("describe_alarms").paginate())
    names = [one["AlarmName"] for page in pages for one in page["MetricAlarms"]]
    assert names == [f"a{place:03}" for place in range(ALARMS_MAX)]
    history = clocked.world.history
    for place in range(EVENTS_MAX + 5):
        history.append_record("event", json.dumps(place), EVENTS_MAX)
    assert len(history.records("event")) == EVENTS_MAX


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tags_and_dashboards(clocked: Clocked, protocol: str) -> None:
    client = clocked.world.client(protocol)
    client.put_metric_alarm(**CPU, Tags=[{"Key": "team", "Value": "blue"}])
    arn = ARN + "dax-high-cpu"
    client.tag_resource(ResourceARN=arn, Tags=[{"Key": "tier", "Value": "1"}])
    client.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "tier", "Value": "1"}]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.list_tags_for_resource(ResourceARN=arn + "x")
    body = json.dumps({"widgets": [{"type": "metric", "properties": {"title": "<hits> & more"}}]})
    told = client.put_dashboard(DashboardName="DAX", DashboardBody=body)
    assert told["DashboardValidationMessages"] == []
    assert client.get_dashboard(DashboardName="DAX")["DashboardBody"] == body
    (entry,) = client.list_dashboards(DashboardNamePrefix="D")["DashboardEntries"]
    assert (entry["DashboardName"], entry["Size"]) == ("DAX", len(body))
    with pytest.raises(ClientError, match="valid JSON"):
        client.put_dashboard(DashboardName="DAX", DashboardBody="{")
    client.delete_dashboards(DashboardNames=["DAX"])
    with pytest.raises(ClientError) as refused:
        client.get_dashboard(DashboardName="DAX")
    assert refused.value.response["Error"]["Code"] == "ResourceNotFound"


def test_policies_are_about_the_alarms_that_are_named() -> None:
    statement = {
        "Effect": "Allow",
        "Action": ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"],
        "Resource": ARN + "dax-*",
    }
    world = World(user("operator", json.dumps({"Statement": statement})))
    client = world.client(key="PLAK00000000operator")
    client.put_metric_alarm(**CPU)
    with pytest.raises(ClientError, match=f"not authorized.*{ARN}other"):
        client.put_metric_alarm(**{**CPU, "AlarmName": "other"})
    with pytest.raises(ClientError, match="not authorized"):
        client.delete_alarms(AlarmNames=["dax-high-cpu", "other"])
    client.delete_alarms(AlarmNames=["dax-high-cpu"])
    world.history.close()
