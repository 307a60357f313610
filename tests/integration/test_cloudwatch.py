"""CloudWatch of a real cluster: what its nodes counted, by boto3 and by the AWS CLI."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from discovery.watch.catalogue import METRICS
from discovery.watch.exposition import parsed
from paceline_local.cli import main as cli
from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable
from tests.support.embedded import free_port
from tests.support.prometheus import ALERTS, PROMETHEUS, PROMTOOL, expressions, rules
from tests.support.waiting import wait_until

TABLE = "Things"
REGION = "us-east-1"
CLUSTER = "paceline"
KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": REGION}
GETS = 7
AWS = Path(__file__).parents[2] / ".tools" / "venv" / "bin" / "aws"
KEPT_S = 45.0
"""Two scrapes have to have been made, ten seconds apart."""
COMMAND_S = 60.0
RAISED_S = 120.0
"""Three periods of ten seconds, and what it takes until values are here."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=2) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster


def endpoint(cluster: LocalCluster) -> str:
    return str(cluster.entry()["discovery"][0]["http"])


def cloudwatch(cluster: LocalCluster) -> Any:
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client("cloudwatch", endpoint_url=endpoint(cluster), config=config, **KEYS)


def of_cluster(name: str, statistic: str = "Sum", **more: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    dimensions = {"ClusterName": CLUSTER, **more}
    return {
        "Namespace": "AWS/DAX",
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": one} for key, one in dimensions.items()],
        "StartTime": now - timedelta(hours=2),
        "EndTime": now + timedelta(minutes=1),
        "Period": 3600,
        "Statistics": [statistic],
    }


def told(cluster: LocalCluster, name: str, statistic: str = "Sum", **more: str) -> list[float]:
    asked = of_cluster(name, statistic, **more)
    points = cloudwatch(cluster).get_metric_statistics(**asked)["Datapoints"]
    return [one[statistic] for one in points]


def test_what_nodes_count_is_told_by_cloudwatch(cluster: LocalCluster) -> None:
    # A first scrape has to be there: what was counted before belongs to no time.
    wait_until(
        lambda: told(cluster, "CacheMemoryUtilization", "Average") != [], "it is kept", KEPT_S
    )
    wait_until(lambda: told(cluster, "TotalRequestCount") != [], "it is kept", KEPT_S)
    before = sum(told(cluster, "GetItemRequestCount"))
    node = boto3.client("dynamodb", endpoint_url=cluster.plan.nodes[1].http, **KEYS)
    node.put_item(TableName=TABLE, Item={"id": {"S": "a"}})
    for _ in range(GETS):
        node.get_item(TableName=TABLE, Key={"id": {"S": "a"}})
    node.query(
        TableName=TABLE,
        KeyConditionExpression="id = :id",
        ExpressionAttributeValues={":id": {"S": "a"}},
    )
    node.scan(TableName=TABLE)
    with pytest.raises(ClientError):
        node.put_item(
            TableName=TABLE,
            Item={"id": {"S": "a"}},
            ConditionExpression="attribute_not_exists(id)",
        )
    wait_until(
        lambda: sum(told(cluster, "GetItemRequestCount")) == before + GETS, "it is kept", KEPT_S
    )
    wait_until(lambda: sum(told(cluster, "PutItemRequestCount")) >= 2, "it is kept", KEPT_S)
    assert sum(told(cluster, "GetItemRequestCount", NodeId="node-2")) == GETS
    assert sum(told(cluster, "QueryRequestCount")) == 1
    assert sum(told(cluster, "ScanRequestCount")) == 1
    assert sum(told(cluster, "ScanCacheMisses")) == 1
    assert sum(told(cluster, "ErrorRequestCount")) == 1
    assert sum(told(cluster, "FaultRequestCount")) == 0
    assert sum(told(cluster, "ItemCacheHits")) + sum(told(cluster, "ItemCacheMisses")) >= GETS
    for name in ("CPUUtilization", "MemoryUtilization", "NetworkBytesIn", "ClientConnections"):
        assert max(told(cluster, name, "Maximum")) > 0, name
    listed = cloudwatch(cluster).list_metrics(Namespace="AWS/DAX")["Metrics"]
    assert {"Name": "NodeId", "Value": "node-1"} in [d for m in listed for d in m["Dimensions"]]


def test_every_metric_that_is_kept_is_one_that_a_node_has(cluster: LocalCluster) -> None:
    with urllib.request.urlopen(f"{cluster.plan.nodes[0].admin}/metrics", timeout=10) as answer:
        names = parsed(answer.read().decode())
    missing = {one.source for one in METRICS} | {one.of for one in METRICS if one.of}
    assert missing - set(names) == set()


@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not in .tools: make tools")
def test_commands_of_tutorials(cluster: LocalCluster) -> None:
    wait_until(lambda: told(cluster, "TotalRequestCount") != [], "it is kept", KEPT_S)
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL_CLOUDWATCH": endpoint(cluster),
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": REGION,
    }

    def aws(*arguments: str) -> Any:
        done = subprocess.run(
            [AWS, "cloudwatch", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    now = datetime.now(UTC)
    about = ["--namespace", "AWS/DAX", "--dimensions", f"Name=ClusterName,Value={CLUSTER}"]
    span = [
        *("--start-time", (now - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")),
        *("--end-time", (now + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")),
    ]
    for name, statistic in (("ItemCacheHits", "Sum"), ("CPUUtilization", "Average")):
        shown = aws(
            *("get-metric-statistics", "--metric-name", name, *about, *span),
            *("--period", "300", "--statistics", statistic),
        )
        assert [one for one in shown["Datapoints"] if statistic in one], name
    metric = {"Namespace": "AWS/DAX", "MetricName": "TotalRequestCount"}
    queries = [
        {"Id": "all", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}},
        {"Id": "rate", "Expression": "all / PERIOD(all)"},
    ]
    shown = aws("get-metric-data", "--metric-data-queries", json.dumps(queries), *span)
    assert [one["Id"] for one in shown["MetricDataResults"]] == ["all", "rate"]
    assert len(aws("list-metrics", "--namespace", "AWS/DAX")["Metrics"]) > 100


@pytest.mark.full
def test_one_command_puts_alarms_and_load_raises_one(
    cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--cluster", CLUSTER, "--endpoint", endpoint(cluster)]
    own = {"AlarmName": "own", "Namespace": "AWS/DAX", "MetricName": "CPUUtilization"}
    rule = {"Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0, "Statistic": "Sum"}
    client = cloudwatch(cluster)
    client.put_metric_alarm(**own, **rule, ComparisonOperator="GreaterThanThreshold")
    name = f"paceline-{CLUSTER}-hit-rate-low"
    for _ in range(2):
        assert cli.run(["alarms", "put", "--period", "10", *where]) == 0
        assert name in capsys.readouterr().out
    told = client.describe_alarms()["MetricAlarms"]
    assert len(told) == 8
    node = boto3.client("dynamodb", endpoint_url=cluster.plan.nodes[1].http, **KEYS)
    keys = itertools.count()

    def raised() -> bool:
        """Items that nobody has read before: none of them hits."""
        for _ in range(20):
            node.get_item(TableName=TABLE, Key={"id": {"S": f"cold-{next(keys)}"}})
        (alarm,) = client.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return bool(alarm["StateValue"] == "ALARM")

    wait_until(raised, "the alarm was raised", RAISED_S)
    assert cli.run(["alarms", "list", *where]) == 1
    shown = capsys.readouterr().out
    assert re.search(f"^ALARM +{name}: ", shown, re.MULTILINE)
    for _ in range(2):
        assert cli.run(["alarms", "remove", *where]) == 0
    assert capsys.readouterr().out == "7 removed\n0 removed\n"
    assert [one["AlarmName"] for one in client.describe_alarms()["MetricAlarms"]] == ["own"]
    assert cli.run(["alarms", "list", *where]) == 1
    assert "ABSENT" in capsys.readouterr().out


OF_TLS = {"paceline_tls_certificate_not_after_timestamp_seconds"}
"""There where a port has TLS."""
_METRIC = re.compile(r"\b((?:paceline|process)_\w+)")


def test_rules_and_dashboard_name_metrics_that_there_are(cluster: LocalCluster) -> None:
    node = boto3.client("dynamodb", endpoint_url=cluster.plan.nodes[0].http, **KEYS)
    node.get_item(TableName=TABLE, Key={"id": {"S": "b"}})
    with urllib.request.urlopen(f"{cluster.plan.nodes[0].admin}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = parsed(text)
    empty = re.findall(r"^# TYPE (\w+) histogram$", text, re.MULTILINE)
    names = set(samples) | {f"{name}_bucket" for name in empty}
    asked = {
        (one["operation"], one["result"]) for one, _ in samples["paceline_upstream_seconds_count"]
    }
    assert ("GetItem", "ok") in asked
    told = [*rules(), *expressions()]
    assert len(told) > 35
    for expression in told:
        named = set(_METRIC.findall(expression))
        assert named or "paceline:" in expression, expression
        assert named <= names | OF_TLS, named - names


@pytest.mark.skipif(not PROMTOOL.exists(), reason="promtool is not installed")
def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(
        [PROMTOOL, "check", "rules", ALERTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not PROMETHEUS.exists(), reason="prometheus is not installed")
def test_a_prometheus_that_scrapes_the_nodes_has_values_for_the_dashboard(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    targets = [urlsplit(node.admin).netloc for node in cluster.plan.nodes]
    job = {"job_name": "paceline", "static_configs": [{"targets": targets}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [job],
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    node = boto3.client("dynamodb", endpoint_url=cluster.plan.nodes[0].http, **KEYS)
    trace = f"00-{'4b' * 16}-00f067aa0ba902b7-01"
    node.meta.events.register(
        "before-sign.dynamodb",
        lambda request, **_: request.headers.add_header("traceparent", trace),
    )
    keys = itertools.count()

    def asked(path: str, **query: str) -> Any:
        url = f"http://{address}/api/v1/{path}?{urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def scraped() -> bool:
        """Some hits, misses and writes, while it has not scraped each node some times."""
        for _ in range(100):
            key = {"id": {"S": f"seen-{next(keys) // 50}"}}
            node.get_item(TableName=TABLE, Key=key)
        node.put_item(TableName=TABLE, Item=key)
        try:
            found = asked("query", query="min_over_time(count_over_time(paceline_epoch[1m])[10s:])")
        except OSError:
            return False
        values = [float(one["value"][1]) for one in found["result"]]
        return len(values) == len(targets) and min(values) >= 3

    storage = f"--storage.tsdb.path={tmp_path / 'data'}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(PROMETHEUS, f"--config.file={file}", storage),
                *(f"--web.listen-address={address}", "--enable-feature=exemplar-storage"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(scraped, "Prometheus has scraped the nodes", KEPT_S)
        up = asked("query", query="up")["result"]
        assert [one["value"][1] for one in up] == ["1"] * len(targets)
        without = []
        for expression in (*rules(), *expressions()):
            told = asked("query", query=expression)  # an error is a status that raises
            if not told["result"]:
                without.append(expression)
        assert [one for one in without if one in expressions() and 'result!="ok"' not in one] == []
        exemplars = asked(
            "query_exemplars",
            query="paceline_request_seconds_bucket",
            start=str(time.time() - 600),
            end=str(time.time() + 60),
        )
        traces = {
            (one["seriesLabels"]["cache"], each["labels"]["trace_id"])
            for one in exemplars
            for each in one["exemplars"]
        }
        assert ("miss", "4b" * 16) in traces
        assert "hit" not in {cache for cache, _ in traces}
    finally:
        process.terminate()
        process.wait(30)
