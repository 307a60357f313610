"""Steps are done one by one and noted; what fails midway is told, and gone on with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from paceline.errors import ConfigError, OutcomeUnknown, PacelineError, Unavailable
from paceline_local.stacks import applying
from paceline_local.stacks.acting import WAIT_S, Doer
from paceline_local.stacks.control_plane import ControlPlane, client_of
from tests.unit.local.stacks.fake_client import FakeClient

TEMPLATE = """
Resources:
  Lifetimes:
    Type: AWS::DAX::ParameterGroup
    Properties: {ParameterGroupName: short, ParameterNameValues: {record-ttl-millis: 1}}
  Cache:
    Type: AWS::DAX::Cluster
    Properties:
      ClusterName: orders
      NodeType: dax.t3.small
      ReplicationFactor: 1
      IAMRoleARN: arn:aws:iam::000000000000:role/any
      ParameterGroupName: !Ref Lifetimes
      Tags: {a: b}
      SSESpecification: {SSEEnabled: true}
Outputs:
  Url: {Value: !GetAtt Cache.ClusterDiscoveryEndpointURL}
"""


class Desk:
    """Applies templates to a client that keeps what it is asked for."""

    def __init__(self, path: Path) -> None:
        self.client = FakeClient()
        self.plane = ControlPlane(self.client)
        self.path = path / "web.yaml"
        self.waits: list[float] = []

    def doer(self) -> Doer:
        return Doer(self.plane, "web", wait=self._wait, now=lambda: float(sum(self.waits)))

    def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.client.pass_time()

    def apply(self, text: str = TEMPLATE) -> Any:
        self.path.write_text(text)
        template = applying.read_file(self.path, {})
        planned = applying.planner_of(template, "web", self.plane)
        return applying.carry_out(planned(), planned, self.doer(), lambda _: None)

    def end(self) -> None:
        planned = applying.end_planner_of("web", self.plane)
        applying.carry_out(planned(), planned, self.doer(), lambda _: None)

    def changes(self) -> list[str]:
        """Since this was last asked."""
        asked, self.client.asked = self.client.asked, []
        return [one for one in asked if not one.startswith(("describe_", "list_"))]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def without_notes(changes: Iterable[str]) -> list[str]:
    return [one for one in changes if one not in ("tag_resource", "untag_resource")]


def test_from_nothing_to_all_and_back(desk: Desk) -> None:
    assert desk.apply().outputs == {"Url": "dax://127.0.0.2"}
    made = ["create_parameter_group", "update_parameter_group", "create_cluster"]
    assert without_notes(desk.changes()) == made
    assert desk.client.clusters["orders"]["SSESpecification"] == {"Enabled": True}
    desk.apply()
    assert desk.changes() == []
    desk.apply(TEMPLATE.replace("Factor: 1", "Factor: 3").replace("{a: b}", "{c: d}"))
    changed = ["untag_resource", "tag_resource", "increase_replication_factor", "tag_resource"]
    assert desk.changes() == changed
    assert desk.client.tags["cache/orders"] == {"c": "d"}
    desk.end()
    assert without_notes(desk.changes()) == ["delete_cluster", "delete_parameter_group"]
    assert "stack/web" not in desk.client.tags


def test_a_cluster_of_the_same_name_is_deleted_before(desk: Desk) -> None:
    desk.apply()
    desk.changes()
    desk.apply(TEMPLATE.replace("t3.small", "t3.medium"))
    assert without_notes(desk.changes()) == ["delete_cluster", "create_cluster"]
    assert desk.client.clusters["orders"]["NodeType"] == "dax.t3.medium"


def test_another_name_is_there_before_the_old_one_is_deleted(desk: Desk) -> None:
    desk.apply()
    desk.changes()
    desk.apply(TEMPLATE.replace("ClusterName: orders", "ClusterName: sales"))
    assert without_notes(desk.changes()) == ["create_cluster", "delete_cluster"]
    assert list(desk.client.clusters) == ["paceline", "sales"]


def test_what_was_refused_is_not_noted_and_what_was_done_before_is(desk: Desk) -> None:
    desk.client.fail("create_cluster", "InsufficientClusterCapacityFault")
    with pytest.raises(applying.Halfway) as found:
        desk.apply()
    assert "create of the cluster orders (Cache): InsufficientClusterCapacity" in str(found.value)
    assert "done before: parameter group short created" in str(found.value)
    assert list(desk.client.tags["stack/web"]) == ["Lifetimes"]
    desk.changes()
    desk.apply()
    assert without_notes(desk.changes()) == ["create_cluster"]


def test_what_is_not_known_to_be_done_is_looked_at_again(desk: Desk) -> None:
    desk.client.fail("create_cluster", "InternalFailure", does=True)
    with pytest.raises(applying.Halfway, match="unknown"):
        desk.apply()
    assert "Cache" in desk.client.tags["stack/web"]
    desk.changes()
    assert desk.apply().outputs == {"Url": "dax://127.0.0.2"}
    assert without_notes(desk.changes()) == []


def test_a_cluster_that_could_not_be_started_is_told_of_and_made_again(desk: Desk) -> None:
    desk.client.ends_in = "create-failed"
    with pytest.raises(applying.Halfway, match="could not be started: it was too much"):
        desk.apply()
    desk.client.ends_in = "available"
    desk.changes()
    desk.apply()
    assert without_notes(desk.changes()) == ["delete_cluster", "create_cluster"]


def test_a_cluster_that_never_comes_is_not_waited_for_without_end(desk: Desk) -> None:
    desk.client.ends_in = "creating"
    with pytest.raises(applying.Halfway, match=f"after {WAIT_S:.0f} s"):
        desk.apply()


def test_errors_are_told_apart(desk: Desk) -> None:
    for code, kind in (
        ("InternalFailure", OutcomeUnknown),
        ("ServiceUnavailableException", Unavailable),
        ("InvalidARNFault", PacelineError),
    ):
        desk.client.fail("list_tags", code)
        desk.plane.look()
        with pytest.raises(kind):
            desk.plane.notes("web")


def test_nobody_is_there() -> None:
    plane = ControlPlane(client_of("http://127.0.0.1:1", "us-east-1"))
    with pytest.raises(Unavailable, match="is the cluster running"):
        plane.look()
    with pytest.raises(ConfigError, match="http://HOST:8113"):
        client_of("dax://127.0.0.1:8111", None)


def test_files_and_names(tmp_path: Path) -> None:
    assert applying.stack_name(None, Path("a/my_stack.v2.yaml")) == "my-stack-v2"
    with pytest.raises(ConfigError):
        applying.stack_name("1", Path("x"))
    with pytest.raises(ConfigError, match="cannot read the template"):
        applying.read_file(tmp_path, {})
    file = tmp_path / "p.json"
    file.write_text('[{"ParameterKey": "A", "ParameterValue": "1"}]')
    assert applying.read_parameters([f"file://{file}", "B=2"]) == {"A": "1", "B": "2"}
    with pytest.raises(ConfigError, match="given twice"):
        applying.read_parameters([str(file), "A=2"])
    with pytest.raises(ConfigError, match="cannot read parameters"):
        applying.read_parameters([str(tmp_path / "none.json")])
    broken = tmp_path / "t.yaml"
    broken.write_text("a: 1\na: 2\n")
    with pytest.raises(ConfigError, match=r"t\.yaml:2: the key a is there twice"):
        applying.read_file(broken, {})
