"""Reading metrics as boto3 does, in all protocols; and what nobody should send."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from discovery.cloudwatch import cbor
from discovery.cloudwatch.protocols import CBOR, JSON
from discovery.services.query import FORM
from tests.unit.discovery.cloudwatch.watch_world import (
    CLUSTER,
    PROTOCOLS,
    World,
    user,
)

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
DIMENSIONS = [{"Name": "ClusterName", "Value": CLUSTER}]
ALLOWS = json.dumps(
    {"Statement": {"Effect": "Allow", "Action": "cloudwatch:ListMetrics", "Resource": "*"}}
)
ONE_HOUR = {"StartTime": NOON, "EndTime": NOON + timedelta(hours=1), "Period": 300}
HITS: dict[str, Any] = {
    **ONE_HOUR,
    "Namespace": "AWS/DAX",
    "MetricName": "ItemCacheHits",
    "Dimensions": DIMENSIONS,
    "Statistics": ["Sum"],
}


@pytest.fixture
def world() -> Iterator[World]:
    world = World(now=lambda: NOON.timestamp() + 3_600)
    begin = int(NOON.timestamp())
    for at in range(begin, begin + 600, 10):
        values = {"ItemCacheHits": 9.0, "ItemCacheMisses": 1.0, "CPUUtilization": 40.0}
        world.add(at, n1=values, n2={**values, "CPUUtilization": 60.0})
    yield world
    world.history.close()


def query(name: str, metric: str, **more: Any) -> dict[str, Any]:
    told = {"Namespace": "AWS/DAX", "MetricName": metric, "Dimensions": DIMENSIONS}
    return {"Id": name, "MetricStat": {"Metric": told, "Period": 300, "Stat": "Sum"}, **more}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_statistics_of_the_cluster_and_of_a_node(world: World, protocol: str) -> None:
    client = world.client(protocol)
    told = client.get_metric_statistics(**HITS)
    assert told["Label"] == "ItemCacheHits"
    assert [(one["Timestamp"].timestamp(), one["Sum"]) for one in told["Datapoints"]] == [
        (NOON.timestamp(), 540.0),
        (NOON.timestamp() + 300, 540.0),
    ]
    assert {one["Unit"] for one in told["Datapoints"]} == {"Count"}
    every = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
    (cpu,) = client.get_metric_statistics(
        **{**HITS, "MetricName": "CPUUtilization", "Period": 3600, "Statistics": every}
    )["Datapoints"]
    assert [cpu[name] for name in every] == [120.0, 50.0, 6000.0, 40.0, 60.0]
    node = [{"Name": "NodeId", "Value": "n2"}, {"Name": "ClusterId", "Value": CLUSTER}]
    (cpu,) = client.get_metric_statistics(
        **{**HITS, "MetricName": "CPUUtilization", "Period": 3600, "Dimensions": node}
    )["Datapoints"]
    assert cpu["Sum"] == 3600.0
    without_statistics = {name: one for name, one in HITS.items() if name != "Statistics"}
    told = client.get_metric_statistics(
        **{**without_statistics, "ExtendedStatistics": ["p50", "p99.9"], "Period": 60}
    )
    assert told["Datapoints"][0]["ExtendedStatistics"] == {"p50": 54.0, "p99.9": 54.0}


def test_each_cluster_has_its_own_and_the_account_all(world: World) -> None:
    begin = int(NOON.timestamp())
    world.add(begin, **{"second/n1": {"ItemCacheHits": 100.0}, "third/n1": {"ItemCacheHits": 7.0}})
    client = world.client()

    def hits(**dimensions: str) -> list[float]:
        told = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        found = client.get_metric_statistics(**{**HITS, "Dimensions": told})
        data = client.get_metric_data(
            StartTime=HITS["StartTime"],
            EndTime=HITS["EndTime"],
            MetricDataQueries=[
                {
                    "Id": "a",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/DAX",
                            "MetricName": "ItemCacheHits",
                            "Dimensions": told,
                        },
                        "Period": 300,
                        "Stat": "Sum",
                    },
                }
            ],
        )
        (series,) = data["MetricDataResults"]
        points = [one["Sum"] for one in found["Datapoints"]]
        assert list(reversed(series["Values"])) == points
        return points

    assert hits(ClusterName=CLUSTER) == [540.0, 540.0]
    assert hits(ClusterName="second") == [100.0]
    assert hits(ClusterId="third", NodeId="n1") == [7.0]
    assert hits(ClusterName="second", NodeId="n2") == []
    assert hits() == [647.0, 540.0]
    for odd in ({"ClusterName": "none"}, {"ClusterName": "second/n1"}):
        assert hits(**odd) == []
    assert hits(ClusterName=CLUSTER, NodeId="second/n1") == []
    listed = client.list_metrics(MetricName="ItemCacheHits")["Metrics"]
    names = {one["Value"] for metric in listed for one in metric["Dimensions"]}
    assert names == {CLUSTER, "second", "third", "n1", "n2"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_there_is_not_has_no_datapoints(world: World, protocol: str) -> None:
    client = world.client(protocol)
    for change in (
        {"Namespace": "AWS/EC2"},
        {"MetricName": "Nothing"},
        {"Dimensions": [{"Name": "ClusterName", "Value": "another"}]},
        {"Dimensions": [{"Name": "NodeId", "Value": "n1"}]},
        {"Dimensions": [*DIMENSIONS, {"Name": "NodeId", "Value": "n9"}]},
        {"Dimensions": [*DIMENSIONS, *DIMENSIONS]},
        {"Unit": "Bytes"},
        {"StartTime": NOON - timedelta(hours=1), "EndTime": NOON},
    ):
        assert client.get_metric_statistics(**{**HITS, **change})["Datapoints"] == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_wrong_is_told_in_aws_words(world: World, protocol: str) -> None:
    client = world.client(protocol)
    refusals = [
        ({"Period": 7}, "InvalidParameterValue", "multiple of 60"),
        ({"Period": 0}, "ValidationError", "Value '0' at 'period' failed"),
        ({"EndTime": NOON}, "InvalidParameterValue", "must be less than"),
        ({"Statistics": ["Median"]}, "ValidationError", "enum value set"),
        ({"ExtendedStatistics": ["p50"]}, "InvalidParameterCombination", "together"),
        ({"Statistics": None}, "MissingParameter", "must be specified"),
        ({"Namespace": None}, "ValidationError", "Value null at 'namespace' failed"),
        ({"Period": 1}, "InvalidParameterCombination", "limit of 1,440"),
        ({"Statistics": None, "ExtendedStatistics": ["tm9"]}, "InvalidParameterValue", "tm9"),
    ]
    for change, code, words in refusals:
        asked = {name: one for name, one in {**HITS, **change}.items() if one is not None}
        with pytest.raises(ClientError) as refused:
            client.get_metric_statistics(**asked)
        assert refused.value.response["Error"]["Code"] == code, change
        assert words in refused.value.response["Error"]["Message"]
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.get_metric_statistics(**{**HITS, "Period": 7})
    assert world.refusals.as_dict() == {}  # of those who may not, which nobody here is


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_hit_rate_is_worked_out(world: World, protocol: str) -> None:
    client = world.client(protocol)
    asked = {name: ONE_HOUR[name] for name in ("StartTime", "EndTime")}
    told = client.get_metric_data(
        MetricDataQueries=[
            query("hits", "ItemCacheHits", ReturnData=False),
            query("misses", "ItemCacheMisses"),
            {"Id": "rate", "Expression": "100 * hits / (hits + misses)", "Label": "hit rate"},
            {"Id": "all", "Expression": "METRICS()"},
        ],
        ScanBy="TimestampAscending",
        **asked,
    )
    found = [(one["Id"], one["Label"], one["Values"]) for one in told["MetricDataResults"]]
    assert found == [
        ("misses", "ItemCacheMisses", [60.0, 60.0]),
        ("rate", "hit rate", [90.0, 90.0]),
        ("all", "all 1", [540.0, 540.0]),
        ("all", "all 2", [60.0, 60.0]),
    ]
    times = told["MetricDataResults"][1]["Timestamps"]
    assert [one.timestamp() - NOON.timestamp() for one in times] == [0, 300]
    for queries, words in (
        ([query("a", "X"), query("a", "Y")], "not unique"),
        ([{"Id": "a", "Expression": "b"}, {"Id": "b", "Expression": "a"}], "made of itself"),
        ([{"Id": "a", "Expression": "nope"}], "no id nope"),
        ([{"Id": "a", "Expression": "1 +"}], "ends too early"),
        ([{"Id": "a", "Expression": "1"}], "gives a number"),
        ([{"Id": "A", "Expression": "1"}], "small letter"),
        ([{"Id": "a"}], "one of MetricStat and Expression"),
        ([{"Id": "a", "Expression": "FILL(1, 2)", "Period": 61}], "multiple of 60"),
    ):
        with pytest.raises(ClientError, match=words):
            client.get_metric_data(MetricDataQueries=queries, **asked)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_hit_rate_of_one_table_is_worked_out(world: World, protocol: str) -> None:
    begin = int(NOON.timestamp())
    for at in range(begin, begin + 600, 10):
        told = {"ItemCacheHits@Users": 3.0, "ItemCacheMisses@Users": 1.0}
        world.add(at, n1=told, n2={"ItemCacheHits@Users": 0.0, "ItemCacheMisses@Users": 1.0})
    world.add(begin, **{"other/n1": {"ItemCacheHits@Orders": 5.0}})
    client = world.client(protocol)

    def rate(*more: dict[str, str]) -> list[float]:
        dimensions = [*DIMENSIONS, {"Name": "TableName", "Value": "Users"}, *more]
        queries = []
        for name in ("ItemCacheHits", "ItemCacheMisses"):
            one = query(name[9:].lower(), name, ReturnData=False)
            one["MetricStat"]["Metric"]["Dimensions"] = dimensions
            queries.append(one)
        (shown,) = client.get_metric_data(
            MetricDataQueries=[*queries, {"Id": "e", "Expression": "100*hits/(hits+misses)"}],
            StartTime=NOON,
            EndTime=NOON + timedelta(hours=1),
        )["MetricDataResults"]
        return list(shown["Values"])

    assert rate() == [60.0, 60.0]
    assert rate({"Name": "NodeId", "Value": "n1"}) == [75.0, 75.0]
    assert rate({"Name": "NodeId", "Value": "n9"}) == []
    of_all = client.get_metric_statistics(**HITS)["Datapoints"]
    assert sum(one["Sum"] for one in of_all) == 1080.0  # tables are not counted twice
    for odd in (
        [{"Name": "TableName", "Value": "Users"}],
        [*DIMENSIONS, {"Name": "TableName", "Value": "Users@x"}],
        [*DIMENSIONS, {"Name": "TableName", "Value": "Unheard"}],
    ):
        assert client.get_metric_statistics(**{**HITS, "Dimensions": odd})["Datapoints"] == []
    tables = [{"Name": "TableName"}]
    listed = client.list_metrics(Dimensions=tables, MetricName="ItemCacheHits")["Metrics"]
    found = {tuple((one["Name"], one["Value"]) for one in each["Dimensions"]) for each in listed}
    for key in ("ClusterName", "ClusterId"):
        users, orders = ("TableName", "Users"), ("TableName", "Orders")
        assert ((key, CLUSTER), users) in found
        assert ((key, CLUSTER), ("NodeId", "n2"), users) in found
        assert ((key, "other"), orders) in found
        assert ((key, CLUSTER), orders) not in found
    assert len(listed) == len(found) == 2 * (1 + 2 + 1 + 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metrics_are_listed_by_pages(world: World, protocol: str) -> None:
    client = world.client(protocol)
    listed = client.list_metrics(Namespace="AWS/DAX", MetricName="ItemCacheHits")["Metrics"]
    assert [one["Dimensions"] for one in listed].count(DIMENSIONS) == 1
    assert len(listed) == 7
    of_n1 = client.list_metrics(Dimensions=[{"Name": "NodeId", "Value": "n1"}])["Metrics"]
    assert all({"Name": "NodeId", "Value": "n1"} in one["Dimensions"] for one in of_n1)
    for node in range(3, 20):
        world.add(int(NOON.timestamp()), **{f"n{node}": {"CPUUtilization": 1.0}})
    pages = list(client.get_paginator("list_metrics").paginate())
    names = [json.dumps(one) for page in pages for one in page["Metrics"]]
    assert len(pages) > 1
    assert len(set(names)) == len(names) > 1000
    with pytest.raises(ClientError, match="NextToken"):
        client.list_metrics(NextToken="x")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_signs_is_known_and_does_what_policies_allow(protocol: str) -> None:
    world = World(user("allowed", ALLOWS), user("nobody"))
    allowed = world.client(protocol, "PLAK000000000allowed")
    assert len(allowed.list_metrics()["Metrics"]) > 30
    for key, code in (
        ("PLAK000000000allowed", "AccessDenied"),
        ("PLAK0000000000nobody", "AccessDenied"),
        ("PLAK00000000stranger", "InvalidClientTokenId"),
    ):
        with pytest.raises(ClientError) as refused:
            world.client(protocol, key).get_metric_statistics(**HITS)
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert world.refusals.as_dict() == {"AccessDenied": 2, "UnrecognizedClientException": 1}
    world.history.close()


def test_the_image_keeps_the_model() -> None:
    kept = (Path(__file__).parents[4] / "Dockerfile").read_text()
    for service in ("cloudwatch", "dax"):
        assert f"! -name {service} " in kept


def headers_of(content_type: str, operation: str) -> tuple[tuple[bytes, bytes], ...]:
    target = f"GraniteServiceVersion20100801.{operation}".encode()
    return (
        (b"Content-Type", content_type.encode()),
        (b"X-Amz-Target", target),
        (b"smithy-protocol", b"rpc-v2-cbor"),
    )


@pytest.mark.parametrize("seed", range(8))
def test_nonsense_is_refused_as_the_callers_fault(world: World, seed: int) -> None:
    rng = random.Random(seed)
    good = cbor.dumps({**HITS, "StartTime": cbor.Timestamp(1), "EndTime": cbor.Timestamp(2)})
    text = json.dumps({"Namespace": "a", "Dimensions": [{"Name": 1}], "Period": 1e400}).encode()
    form = b"Action=GetMetricStatistics&Version=2010-08-01&Dimensions.member.1.Name=a&Period=x"
    for content_type, body in ((CBOR, good), (JSON, text), (FORM, form)):
        for _ in range(40):
            broken = bytearray(body)
            for _ in range(rng.randrange(1, 4)):
                place = rng.randrange(len(broken))
                broken[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
            path = "/service/GraniteServiceVersion20100801/operation/GetMetricStatistics"
            told = world.answer(
                "POST", path, headers_of(content_type, "GetMetricStatistics"), bytes(broken)
            )
            assert told.status in (200, 400), (content_type, bytes(broken), told.body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (CBOR, b"\x9f" * 60_000),
        (CBOR, b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
        (CBOR, b"\xbf\xff\xff"),
        (CBOR, b""),
        (JSON, b"[" * 60_000),
        (JSON, b"[]"),
        (JSON, b'{"Namespace": "\\ud800"}'),
        (FORM, b"Action=ListMetrics&Version=2010-08-01&" + b"A.B=1&A=2&" * 3),
        (FORM, b"Action=ListMetrics&Version=2010-08-01&" + b"A." * 5_000 + b"=1"),
        (FORM, b"Action=ListMetrics&Version=2010-08-01&Dimensions.member.x=1"),
        (FORM, b"Action=ListMetrics&Version=2011-06-15"),
        (FORM, b"Action=PutMetricData&Version=2010-08-01"),
    ],
)
def test_hostile_bodies_are_the_callers_fault(world: World, content_type: str, body: bytes) -> None:
    path = "/service/GraniteServiceVersion20100801/operation/GetMetricData"
    told = world.answer("POST", path, headers_of(content_type, "GetMetricData"), body)
    assert told.status == 400


def test_expressions_that_are_made_of_each_other_for_long_are_refused(world: World) -> None:
    queries = [query("q0", "ItemCacheHits")]
    queries += [{"Id": f"q{n}", "Expression": f"q{n - 1} + 1"} for n in range(1, 499)]
    with pytest.raises(ClientError, match="nested too deep"):
        world.client().get_metric_data(
            MetricDataQueries=queries[::-1], StartTime=NOON, EndTime=NOON + timedelta(hours=1)
        )


@pytest.mark.parametrize("seed", range(40))
def test_cbor_comes_back_as_it_was(seed: int) -> None:
    rng = random.Random(seed)

    def made(depth: int) -> Any:
        match rng.randrange(9 if depth else 6):
            case 0:
                return rng.choice([None, True, False])
            case 1:
                return rng.randrange(-(2**64), 2**64)
            case 2:
                return rng.uniform(-1e9, 1e9)
            case 3 | 4:
                return "".join(map(chr, rng.choices(range(1, 0xD7FF), k=rng.randrange(300))))
            case 5:
                return cbor.Timestamp(rng.randrange(2**33))
            case 6 | 7:
                return [made(depth - 1) for _ in range(rng.randrange(30))]
        return {str(rng.random()): made(depth - 1) for _ in range(rng.randrange(30))}

    value = made(3)
    assert cbor.loads(cbor.dumps(value)) == value
