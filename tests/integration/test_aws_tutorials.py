"""What people do with DAX by its tutorials, on one cluster: templates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from amazondax import AmazonDaxClient

from paceline_local.testing import LocalCluster
from tests.integration.test_control_plane import REGION, control, url_of
from tests.support.cluster import skip_unless_startable
from tests.support.principals import paceline_here

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "deploy" / "cloudformation"
TABLE = "Things"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=1) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster


def paceline(cluster: LocalCluster, *words: str) -> str:
    """What it prints, with nothing set but where the control plane is."""
    code, out, err = paceline_here(*words, "--endpoint", url_of(cluster))
    assert code == 0, out + err
    return out


def test_a_template_from_its_plan_to_its_end(cluster: LocalCluster) -> None:
    template = str(TEMPLATES / "cluster.yaml")
    client = control(url_of(cluster))
    plan = paceline(cluster, "apply", template, "--plan")
    assert "+ create cluster orders (Cache)" in plan
    assert "Role (AWS::IAM::Role) is not ours" in plan
    assert [one["ClusterName"] for one in client.describe_clusters()["Clusters"]] == ["paceline"]
    done = json.loads(paceline(cluster, "apply", template, "--yes", "-o", "json"))
    assert [one["action"] for one in done["changes"]] == ["create"] * 3
    with AmazonDaxClient(
        endpoint_url=done["outputs"]["URL"],
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    ) as dax:
        dax.put_item(TableName=TABLE, Item={"id": {"S": "made"}})
        assert dax.get_item(TableName=TABLE, Key={"id": {"S": "made"}})["Item"]
    assert "no changes" in paceline(cluster, "apply", template, "--yes")
    client.update_cluster(ClusterName="orders", Description="by hand")
    told = json.loads(paceline(cluster, "apply", template, "--plan", "-o", "json"))
    assert told["drift"]
    assert told["changes"][0]["properties"][0]["before"] == "by hand"
    paceline(cluster, "apply", template, "--yes")
    (found,) = client.describe_clusters(ClusterNames=["orders"])["Clusters"]
    assert found["Description"] == "The cache of orders"
    assert found["SubnetGroup"] == "orders-places"
    ended = paceline(cluster, "delete-stack", "cluster", "--yes")
    assert "cluster orders deleted" in ended
    groups = client.describe_subnet_groups()["SubnetGroups"]
    assert [one["SubnetGroupName"] for one in groups] == ["default"]


def test_groups_by_json_in_place_and_anew(cluster: LocalCluster) -> None:
    template = str(TEMPLATES / "groups.json")
    first = json.loads(paceline(cluster, "apply", template, "--yes", "-o", "json"))
    more = ("--parameters", "RecordSeconds=90", "SubnetIds=subnet-3")
    second = json.loads(paceline(cluster, "apply", template, *more, "--yes", "-o", "json"))
    assert {one["action"] for one in second["changes"]} == {"update"}
    assert second["outputs"]["ParameterGroup"] == first["outputs"]["ParameterGroup"]
    name = second["outputs"]["ParameterGroup"]
    found = control(url_of(cluster)).describe_parameters(ParameterGroupName=name, Source="user")
    assert found["Parameters"][0]["ParameterValue"] == "90000"
    assert "deleted" in paceline(cluster, "apply", template, "--delete", "--yes")


def test_what_is_wrong_is_told_with_its_line(cluster: LocalCluster, tmp_path: Path) -> None:
    text = (TEMPLATES / "cluster.yaml").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("ReplicationFactor:", "ReplicationFaktor:"))
    code, _, err = paceline_here("apply", str(wrong), "--yes", "--endpoint", url_of(cluster))
    line = 1 + wrong.read_text()[: wrong.read_text().index("ReplicationFaktor")].count("\n")
    assert code == 2
    assert f"wrong.yaml:{line}: Resources.Cache.Properties.ReplicationFaktor" in err
    for template in TEMPLATES.iterdir():
        code, out, err = paceline_here(
            "apply", str(template), "--plan", "--endpoint", url_of(cluster)
        )
        assert code == 0, err
        assert "create" in out
