"""Further clusters: what is made, what is told of it, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.log.lifetimes import RECORD_TTL, lifetimes_of
from cluster.roster.endpoints import Health
from discovery.control.acting import Actor
from discovery.control.beside import Besides, secret_of, wanted_of
from discovery.control.creating import CLUSTERS_MAX, cache_bytes
from discovery.control.launcher import listed_in
from discovery.control.life import LOST_S, ended, look_at
from discovery.control.nodes import NODES_MAX
from discovery.control.records import Further, Records, Site
from discovery.control.world import Act, ClusterAct, Done, Listed, Seen, World
from tests.unit.discovery.control.control_world import (
    FACTS,
    PLACE,
    Control,
    member,
    view_of,
)
from tests.unit.discovery.control.test_nodes import FakeLauncher

NOW = 1_700_000_000.0
SECOND = {"ClusterName": "second"}
NEW: dict[str, Any] = {
    **SECOND,
    "NodeType": "dax.t3.small",
    "ReplicationFactor": 2,
    "IamRoleArn": "arn:aws:iam::123456789012:role/DAXServiceRole",
}
SITE = Site("127.0.0.2", 8111, 0, ("127.0.0.2:8181", "127.0.0.2:8182"))
VIEW = view_of(member(1, "a"), member(2, "b"))


class Begun(Actor):
    """``acts``: what was begun; nothing is done. ``told``: whether the launcher can."""

    def __init__(self, control: Control) -> None:
        super().__init__(FakeLauncher(), control.service._ended)
        self.acts: list[Act | ClusterAct] = []

    def begin(self, acts: Any) -> None:
        self.acts += acts


def acting() -> tuple[Control, Begun]:
    control = Control()
    control.more |= {"acts": True, "listed": {}}
    control.now = NOW
    control.service.actor = begun = Begun(control)
    return control, begun


async def told(control: Control, name: str = "second") -> Any:
    return (await control.call("DescribeClusters", ClusterNames=[name]))["Clusters"][0]


def record(control: Control, name: str = "second") -> Further:
    return Records.of(control.state.control.by_name).further[name]


def sees(control: Control, seen: Seen) -> None:
    control.more["seen"] = {"second": seen}


def lists(control: Control, site: Site | None = SITE) -> None:
    control.more["listed"] = {"second": Listed(record(control).id, site)}


async def running() -> tuple[Control, Begun]:
    control, begun = acting()
    await control.call("CreateCluster", **NEW)
    lists(control)
    await control.service.observe()
    sees(control, Seen(VIEW, {}, FACTS, in_sync=True))
    await control.service.observe()
    begun.acts.clear()
    assert record(control).state == "running"
    return control, begun


async def test_a_cluster_is_made_and_followed_until_it_is_there() -> None:
    control, begun = acting()
    subnets = ["subnet-1", "subnet-2", "subnet-3"]
    await control.call("CreateSubnetGroup", SubnetGroupName="main", SubnetIds=subnets)
    role = "arn:aws:iam::ACCOUNT-ID:role/DAXServiceRole"  # as tutorials have it
    made = await control.call(
        "CreateCluster",
        **{**NEW, "IamRoleArn": role},
        SubnetGroupName="Main",
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    assert made["Cluster"]["Status"] == "creating"
    assert "ClusterDiscoveryEndpoint" not in made["Cluster"]
    nodes = [(one["NodeId"], one["AvailabilityZone"]) for one in made["Cluster"]["Nodes"]]
    assert nodes == [("node-1", "a"), ("node-2", "b")]
    (act,) = begun.acts
    assert act == ClusterAct(
        "start", "second", record(control).id, tuple(nodes), FACTS["bytes_max"]
    )
    lists(control, None)
    await control.service.observe()
    assert record(control).site is None
    lists(control)
    await control.service.observe()
    assert (await told(control))["ClusterDiscoveryEndpoint"] == {
        "Address": "127.0.0.2",
        "Port": 8111,
        "URL": "dax://127.0.0.2",
    }
    for seen in (
        Seen(view_of(member(1, "a")), {}, FACTS, in_sync=True),
        Seen(VIEW, {}, FACTS, in_sync=False),
        Seen(replace(VIEW, primary=None), {}, FACTS, in_sync=True),
        Seen(VIEW, {"node-2": Health.UNREACHABLE}, FACTS, in_sync=True),
    ):
        sees(control, seen)
        await control.service.observe()
        assert (await told(control))["Status"] == "creating"
    sees(control, Seen(VIEW, {}, FACTS, in_sync=True))
    await control.service.observe()
    found = await told(control)
    assert (found["Status"], found["SubnetGroup"]) == ("available", "main")
    assert (found["TotalNodes"], found["ActiveNodes"]) == (2, 2)
    assert found["ParameterGroup"]["ParameterApplyStatus"] == "in-sync"
    assert control.messages[-1] == "The cluster was created with 2 nodes."
    tags = await control.call("ListTags", ResourceName=PLACE.arn("second"))
    assert tags["Tags"] == [{"Key": "team", "Value": "blue"}]
    names = [one["ClusterName"] for one in (await control.call("DescribeClusters"))["Clusters"]]
    assert names == ["paceline", "second"]
    assert (await told(control, "paceline"))["TotalNodes"] == 3


async def test_operations_are_on_the_cluster_that_they_name() -> None:
    control, begun = await running()
    home = await told(control, "paceline")
    await control.call("CreateParameterGroup", ParameterGroupName="short")
    await control.call("UpdateCluster", **SECOND, ParameterGroupName="short", Description="x")
    assert (await told(control))["Description"] == "x"
    await control.call("RebootNode", **SECOND, NodeId="node-2")
    assert begun.acts == [Act("restart", "node-2", "", "second")]
    assert (await told(control))["Status"] == "modifying"
    name, _ = await control.refused("DeleteCluster", **SECOND)
    assert name == "InvalidClusterStateFault"
    await control.service._ended(begun.acts[0], "it hangs")
    assert control.messages[-1] == "The node node-2 was not rebooted: it hangs"
    await control.call("IncreaseReplicationFactor", **SECOND, NewReplicationFactor=3)
    assert begun.acts[1:] == [Act("add", "node-3", "c", "second")]
    assert await told(control, "paceline") == home
    for operation, asked, error in (
        (
            "DeleteParameterGroup",
            {"ParameterGroupName": "short"},
            "InvalidParameterGroupStateFault",
        ),
        ("RebootNode", {**SECOND, "NodeId": "node-3"}, "NodeNotFoundFault"),
        ("CreateCluster", {**NEW, "ClusterName": "Second"}, "ClusterAlreadyExistsFault"),
    ):
        assert (await control.refused(operation, **asked))[0] == error


async def test_its_log_is_to_have_its_parameter_group() -> None:
    control, _ = await running()
    await control.call("CreateParameterGroup", ParameterGroupName="short")
    value = {"ParameterName": RECORD_TTL, "ParameterValue": "60000"}
    group = {"ParameterGroupName": "short"}
    await control.call("UpdateParameterGroup", **group, ParameterNameValues=[value])
    records = Records.of(control.state.control.by_name)
    assert lifetimes_of(wanted_of(records, "second")).record_ttl_millis is None
    await control.call("UpdateCluster", **SECOND, **group)
    records = Records.of(control.state.control.by_name)
    assert lifetimes_of(wanted_of(records, "second")).record_ttl_millis == 60_000


async def test_a_cluster_is_deleted() -> None:
    control, begun = await running()
    deleted = await control.call("DeleteCluster", **SECOND)
    assert deleted["Cluster"]["Status"] == "deleting"
    assert {one["NodeStatus"] for one in deleted["Cluster"]["Nodes"]} == {"deleting"}
    (act,) = begun.acts
    assert act == ClusterAct("end", "second", record(control).id)
    for operation, asked in (
        ("DeleteCluster", {}),
        ("RebootNode", {"NodeId": "node-1"}),
        ("UpdateCluster", {"Description": "x"}),
    ):
        assert (await control.refused(operation, **SECOND, **asked))[0] == (
            "InvalidClusterStateFault"
        )
    await control.service._ended(act, "")
    assert (await control.refused("DescribeClusters", ClusterNames=["second"]))[0] == (
        "ClusterNotFoundFault"
    )
    assert control.messages[-2:] == [
        "The cluster is deleted by request.",
        "The cluster was deleted.",
    ]


async def test_one_that_cannot_be_started_is_told_so_and_can_be_deleted() -> None:
    control, begun = acting()
    await control.call("CreateCluster", **NEW)
    await control.service._ended(begun.acts[0], "node-1 ended with exit code 1")
    found = await told(control)
    assert (found["Status"], found["Nodes"]) == ("create-failed", [])
    assert control.messages[-1] == "The cluster was not started: node-1 ended with exit code 1"
    control.now = NOW + 10 * LOST_S
    await control.service.observe()
    assert len(begun.acts) == 1, "it is not tried again and again"
    lists(control, None)
    await control.service.observe()
    assert record(control).state == "failed"
    lists(control)
    await control.service.observe()
    assert (await told(control))["Status"] == "creating", "the launcher was late"
    await control.service._ended(begun.acts[0], "again")
    control.more["listed"] = {}
    await control.call("DeleteCluster", **SECOND)
    assert len(begun.acts) == 2


def world(control: Control, **more: Any) -> World:
    found = control.world()
    assert found is not None
    return replace(found, **more)


def acts(done: Done) -> list[str]:
    return [one.kind for one in done.acts]


async def test_what_nobody_does_any_more_is_asked_for_again() -> None:
    control, _ = acting()
    await control.call("CreateCluster", **NEW)
    assert acts(look_at(world(control, now=NOW + LOST_S - 1), "second")) == []
    late = world(control, now=NOW + LOST_S + 1)
    assert acts(look_at(late, "second")) == ["start"]
    mine = Listed(record(control).id, None)
    assert acts(look_at(replace(late, listed={"second": mine}), "second")) == []
    assert acts(look_at(replace(late, listed={"second": Listed("x", SITE)}), "second")) == ["start"]
    assert acts(look_at(replace(late, listed=None), "second")) == [], "who knows"


async def test_one_that_runs_no_more_is_started_again_with_the_nodes_that_it_had() -> None:
    control, begun = await running()
    three = view_of(*(member(number, "a") for number in (1, 3, 4)))
    sees(control, Seen(three, {}, FACTS, in_sync=True))
    await control.service.observe()
    control.more |= {"listed": {}, "seen": {}}
    control.now = NOW + LOST_S + 1
    assert (await told(control))["Status"] == "unavailable"
    await control.service.observe()
    (act,) = begun.acts
    assert isinstance(act, ClusterAct)
    assert act.nodes == (("node-1", "a"), ("node-3", "a"), ("node-4", "a"))
    assert (await told(control))["Status"] == "creating"
    assert "started again" in control.messages[-1]


async def test_one_that_is_being_deleted_is_asked_for_again_until_it_is_gone() -> None:
    control, begun = await running()
    await control.call("DeleteCluster", **SECOND)
    await control.service._ended(begun.acts[0], "the launcher did not answer")
    assert record(control).state == "deleting"
    late = world(control, now=NOW + LOST_S + 1)
    assert acts(look_at(late, "second")) == ["end"]
    done = look_at(replace(late, listed={}), "second")
    assert done.records is not None
    assert done.records.further == {}
    assert look_at(replace(late, listed=None), "second").records is None


async def test_what_comes_late_is_of_another_life() -> None:
    control, begun = acting()
    await control.call("CreateCluster", **NEW)
    other = replace(begun.acts[0], id="0" * 16)
    assert isinstance(other, ClusterAct)
    for act in (other, replace(other, kind="end"), replace(other, cluster="none")):
        for problem in ("", "late"):
            assert ended(world(control), act, problem).records is None
    assert look_at(world(control), "none").records is None


async def test_there_are_only_so_many() -> None:
    control, _ = acting()
    for number in range(CLUSTERS_MAX - 1):
        asked = {**NEW, "ClusterName": f"c{number}", "ReplicationFactor": 1}
        await control.call("CreateCluster", **asked)
    assert (await control.refused("CreateCluster", **NEW))[0] == (
        "ClusterQuotaForCustomerExceededFault"
    )
    control, _ = acting()
    many = (NODES_MAX - 11) // 11
    for number in range(many):
        await control.call(
            "CreateCluster", **{**NEW, "ClusterName": f"c{number}", "ReplicationFactor": 11}
        )
    assert (await control.refused("CreateCluster", **{**NEW, "ReplicationFactor": 11}))[0] == (
        "NodeQuotaForCustomerExceededFault"
    )


async def test_a_subnet_group_in_use_stays_and_keeps_its_zones() -> None:
    control, _ = acting()
    group = {"SubnetGroupName": "main"}
    await control.call("CreateSubnetGroup", **group, SubnetIds=["subnet-1", "subnet-2"])
    await control.call("CreateCluster", **NEW, **group)
    assert (await control.refused("DeleteSubnetGroup", **group))[0] == "SubnetGroupInUseFault"
    update = {**group, "SubnetIds": ["subnet-1"]}
    assert (await control.refused("UpdateSubnetGroup", **update))[0] == "SubnetInUse"


async def test_what_the_launcher_has_no_room_for_is_refused_at_once() -> None:
    control = Control()
    control.more["acts"] = True
    launcher = FakeLauncher(refuses="port 8111 of 127.0.0.2 is in use")
    control.service.actor = Actor(launcher, control.service._ended)
    assert await control.refused("CreateCluster", **NEW) == (
        "InsufficientClusterCapacityFault",
        "Port 8111 of 127.0.0.2 is in use",
    )


def test_memory_is_in_the_proportion_of_types() -> None:
    given = world(Control())
    assert cache_bytes(given, "dax.t3.small") == FACTS["bytes_max"]
    assert cache_bytes(given, "dax.r5.large") == 9 * FACTS["bytes_max"]
    large = replace(given, facts={"bytes_max": int(13.5 * 2**30)})
    assert cache_bytes(large, "dax.t3.small") == int(1.5 * 2**30)


def test_records_are_read_as_they_were_written() -> None:
    made = Further("0" * 16, "running", NOW, "dax.t3.small", 5, "main", {"node-1": "a"}, SITE)
    assert Further.of(made.to_bytes()) == made
    for text in (b"{}", b'{"site":null}', b'{"site":[],"cluster":{}}', b"[]", b"x"):
        with pytest.raises(ValueError, match=r"."):
            Records.of({"further/second": text})


def test_secrets_are_each_clusters_own() -> None:
    found = {secret_of(home, one) for home in ("a" * 43, "b" * 43) for one in ("1", "2")}
    assert len(found) == 4
    assert all(len(one) >= 43 for one in found)


def test_a_launchers_list() -> None:
    one = {"id": "1", "ready": True, "host": "h", "port": 1, "tls_port": 0, "seeds": ["s"]}
    assert listed_in({"second": one}) == {"second": Listed("1", Site("h", 1, 0, ("s",)))}
    assert listed_in({"second": {"id": "1", "ready": False}}) == {"second": Listed("1", None)}


async def test_a_cluster_that_is_elsewhere_now_is_followed_there() -> None:
    control, _ = await running()
    there = record(control)
    moved = replace(there, site=replace(SITE, seeds=("127.0.0.3:8181",)))
    besides = Besides("h" * 32, "us-east-1", signs=False)
    try:
        await besides.follow(Records(further={"second": there}))
        first = besides.all["second"]
        await besides.follow(Records(further={"second": there}))
        assert besides.all["second"] is first
        await besides.follow(Records(further={"second": moved}))
        assert besides.all["second"].seeds == ("127.0.0.3:8181",)
        assert all(task.done() for task in first.tasks)
        await besides.follow(Records())
        assert not besides.all
    finally:
        await besides.aclose()
