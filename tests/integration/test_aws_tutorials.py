"""What people do with DAX by its tutorials, on one cluster: templates, names, and every command of
docs/aws-tutorials.md."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from amazondax import AmazonDaxClient

from paceline_local.hosts import BEGIN
from paceline_local.testing import LocalCluster
from tests.integration.test_control_plane import REGION, control, url_of
from tests.support.aws_cli import PYTHON, AwsCli
from tests.support.cluster import skip_unless_startable
from tests.support.principals import paceline_here
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "deploy" / "cloudformation"
TUTORIAL = (ROOT / "docs" / "aws-tutorials.md").read_text()
TABLE = "Things"
STEP_S = 90.0


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


def test_names_of_dax_lead_here(cluster: LocalCluster, tmp_path: Path) -> None:
    name = "my-dax.abc123.dax-clusters.us-east-1.amazonaws.com"
    program = tmp_path / "app.js"
    program.write_text(f"const endpoint = 'dax://{name}';")
    printed = paceline(cluster, "hosts", str(program), "--to", "paceline").splitlines()
    assert printed[-1] == f"127.0.0.1\t{name}"
    assert re.fullmatch(r"127\.0\.0\.1\tpaceline-a\.\w{6}\.nodes\.dax-clusters\..*", printed[1])
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 localhost\n")
    words = ("hosts", name, "--to", "paceline", "--write", str(file))
    assert "changed: 3 names" in paceline(cluster, *words)
    assert "is as it was" in paceline(cluster, *words)
    assert file.read_text().count(BEGIN) == 1
    paceline(cluster, "hosts", "--write", str(file), "--remove")
    assert file.read_text() == "127.0.0.1 localhost\n"


class Tutorial:
    """Does what the page says, as a shell would. ``settings``: what was exported."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self.settings: dict[str, str] = {}
        self._cli: AwsCli | None = None

    def line(self, line: str) -> None:
        if (found := re.fullmatch(r"export (\w+)=(?:\$\((.*)\)|(\S+))", line)) is not None:
            name, command, value = found.groups()
            self.settings[name] = self.output(command).strip() if command else self._ported(value)
        elif (found := re.fullmatch(r'until \[ "\$\((.*)\)" = (\w+) \]; do .*', line)) is not None:
            command, wanted = found.groups()
            wait_until(lambda: self.output(command).strip() == wanted, command, STEP_S)
        else:
            self.output(line)

    def output(self, command: str) -> str:
        program, *words = shlex.split(command)
        if program == "paceline":
            return paceline(self._cluster, *words)
        assert program == "aws", command
        if self._cli is None:
            self._cli = AwsCli(self.settings)
        code, output = self._cli.run(words)
        assert code == 0, f"{command}\n{output}"
        return output

    def close(self) -> None:
        if self._cli is not None:
            with self._cli:
                pass

    def _ported(self, value: str) -> str:
        """Ports are counted from 8000."""
        base = self._cluster.plan.ports.base - 8000
        return re.sub(r":(8\d\d\d)$", lambda port: f":{base + int(port[1])}", value)


@pytest.mark.full(minutes=1)
@pytest.mark.timeout(400)
def test_every_command_of_the_tutorial(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not PYTHON.exists():
        pytest.skip("the AWS CLI is not installed: make tools")
    blocks = re.findall(r"```(sh|python)\n(.*?)```", TUTORIAL, re.DOTALL)
    assert len(blocks) > 8
    tutorial = Tutorial(cluster)
    try:
        for language, text in blocks:
            if language == "sh":
                for line in text.splitlines():
                    tutorial.line(line)
            else:
                for name, value in tutorial.settings.items():
                    monkeypatch.setenv(name, value)
                capsys.readouterr()
                exec(text, {})
                assert capsys.readouterr().out.count("Anvil") == 10
    finally:
        tutorial.close()
