"""The cluster: told truly, and changed."""

from __future__ import annotations

import pytest

from cluster.roster.endpoints import Health
from discovery.control.clusters import GIB, NODE_TYPES, node_type
from discovery.control.world import Front
from tests.unit.discovery.control.control_world import ARN, Control, member, view_of


async def told(control: Control) -> dict[str, object]:
    found: dict[str, object] = (await control.call("DescribeClusters"))["Clusters"][0]
    return found


async def test_the_cluster_is_told() -> None:
    control = Control()
    control.now = 1_700_000_000.0
    await control.service.observe()
    cluster = await told(control)
    assert cluster["ClusterName"] == "paceline"
    assert cluster["ClusterArn"] == ARN
    assert (cluster["TotalNodes"], cluster["ActiveNodes"]) == (3, 3)
    assert cluster["Status"] == "available"
    assert cluster["ClusterDiscoveryEndpoint"] == {
        "Address": "127.0.0.1",
        "Port": 8111,
        "URL": "dax://127.0.0.1",
    }
    assert cluster["ClusterEndpointEncryptionType"] == "NONE"
    assert cluster["ParameterGroup"] == {
        "ParameterGroupName": "default.dax1.0",
        "ParameterApplyStatus": "in-sync",
        "NodeIdsToReboot": [],
    }
    nodes = cluster["Nodes"]
    assert isinstance(nodes, list)
    assert nodes[1] == {
        "NodeId": "node-2",
        "AvailabilityZone": "b",
        "NodeStatus": "available",
        "ParameterGroupStatus": "in-sync",
        "Endpoint": {"Address": "10.0.0.2", "Port": 8111},
        "NodeCreateTime": 1_700_000_000.0,
    }


async def test_a_node_that_does_not_answer_is_told_so_and_may_not_have_the_parameters() -> None:
    control = Control()
    control.health = {"node-1": Health.ALIVE, "node-3": Health.UNREACHABLE}
    cluster = await told(control)
    assert (cluster["TotalNodes"], cluster["ActiveNodes"]) == (3, 2)
    assert cluster["Status"] == "available"
    assert cluster["ParameterGroup"]["ParameterApplyStatus"] == "applying"  # type: ignore[index]
    control.health |= {"node-2": Health.UNREACHABLE}
    assert (await told(control))["Status"] == "unavailable"
    control.view = view_of(member(1, "a", draining=True))
    assert (await told(control))["Nodes"][0]["NodeStatus"] == "draining"  # type: ignore[index]


async def test_with_tls_alone_the_endpoint_is_that_one() -> None:
    control = Control()
    control.front = Front("dax.example", 9112, "tls", tls=True, only_tls=True)
    cluster = await told(control)
    assert cluster["ClusterEndpointEncryptionType"] == "TLS"
    assert cluster["ClusterDiscoveryEndpoint"]["URL"] == "daxs://dax.example:9112"  # type: ignore[index]
    assert cluster["Nodes"][0]["Endpoint"]["Port"] == 9111  # type: ignore[index]


async def test_it_is_found_by_its_name_in_any_letters_and_no_other_is() -> None:
    control = Control()
    found = await control.call("DescribeClusters", ClusterNames=["Paceline"])
    assert [one["ClusterName"] for one in found["Clusters"]] == ["paceline"]
    name, message = await control.refused("DescribeClusters", ClusterNames=["paceline", "other"])
    assert (name, message) == ("ClusterNotFoundFault", "Cluster other not found.")
    name, _ = await control.refused("DescribeClusters", ClusterNames=["-other"])
    assert name == "InvalidParameterValueException"


async def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    control = Control()
    await control.call("CreateParameterGroup", ParameterGroupName="short")
    await control.call("UpdateCluster", ClusterName="paceline", Description="for orders")
    topic = "arn:aws:sns:eu-west-1:000000000000:dax"
    cluster = (
        await control.call(
            "UpdateCluster",
            ClusterName="paceline",
            PreferredMaintenanceWindow="Mon:02:00-mon:03:30",
            NotificationTopicArn=topic,
            ParameterGroupName="short",
            SecurityGroupIds=["sg-1", "sg-2", "sg-1"],
        )
    )["Cluster"]
    assert cluster == await told(control)
    assert cluster["Description"] == "for orders"
    assert cluster["PreferredMaintenanceWindow"] == "mon:02:00-mon:03:30"
    assert cluster["NotificationConfiguration"] == {"TopicArn": topic, "TopicStatus": "active"}
    assert cluster["ParameterGroup"]["ParameterGroupName"] == "short"
    assert cluster["SecurityGroups"] == [
        {"SecurityGroupIdentifier": "sg-1", "Status": "not-enforced"},
        {"SecurityGroupIdentifier": "sg-2", "Status": "not-enforced"},
    ]
    await control.call("UpdateCluster", ClusterName="paceline", NotificationTopicStatus="inactive")
    assert (await told(control))["NotificationConfiguration"]["TopicStatus"] == "inactive"  # type: ignore[index]
    assert "The parameter group is short now." in control.messages


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({}, "InvalidParameterCombinationException", "No modifications"),
        ({"Description": "x" * 256}, "InvalidParameterValueException", "Description"),
        ({"PreferredMaintenanceWindow": "soon"}, "InvalidParameterValueException", "soon"),
        (
            {"PreferredMaintenanceWindow": "sun:05:00-sun:05:30"},
            "InvalidParameterValueException",
            "60 minutes",
        ),
        ({"NotificationTopicArn": "arn:aws:sqs:x:1:q"}, "InvalidParameterValueException", "SNS"),
        (
            {"NotificationTopicStatus": "active"},
            "InvalidParameterCombinationException",
            "NotificationTopicArn",
        ),
        ({"NotificationTopicStatus": "on"}, "InvalidParameterValueException", "inactive"),
        ({"ParameterGroupName": "none"}, "ParameterGroupNotFoundFault", "none"),
        ({"SecurityGroupIds": []}, "InvalidParameterValueException", "SecurityGroupIds"),
        ({"SecurityGroupIds": ["x-1"]}, "InvalidParameterValueException", "x-1"),
        ({"ClusterName": "other"}, "ClusterNotFoundFault", "other"),
    ],
)
async def test_an_update_is_refused(asked: dict[str, object], error: str, says: str) -> None:
    name, message = await Control().refused("UpdateCluster", **{"ClusterName": "paceline", **asked})
    assert name == error
    assert says in message


NEW = {
    "ClusterName": "second",
    "NodeType": "dax.r5.large",
    "ReplicationFactor": 3,
    "IamRoleArn": "arn:aws:iam::123456789012:role/DAXServiceRole",
}


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({}, "InsufficientClusterCapacityFault"),  # nobody starts it
        ({"ClusterName": "PACELINE"}, "ClusterAlreadyExistsFault"),
        ({"ClusterName": "a--b"}, "InvalidParameterValueException"),
        ({"NodeType": "dax.r9.large"}, "InvalidParameterValueException"),
        ({"ReplicationFactor": 0}, "InvalidParameterValueException"),
        ({"ReplicationFactor": 12}, "NodeQuotaForClusterExceededFault"),
        ({"IamRoleArn": "role"}, "InvalidParameterValueException"),
        ({"IamRoleArn": "arn:aws:iam::1:user/r"}, "InvalidParameterValueException"),
        ({"IamRoleArn": "arn:aws:iam::ACCOUNT ID:role/r"}, "InvalidParameterValueException"),
        ({"AvailabilityZones": ["a"]}, "InvalidParameterCombinationException"),
        ({"SubnetGroupName": "none"}, "SubnetGroupNotFoundFault"),
        ({"ParameterGroupName": "none"}, "ParameterGroupNotFoundFault"),
        (
            {"Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(51)]},
            "TagQuotaPerResourceExceeded",
        ),
        ({"NetworkType": "ipv5"}, "InvalidParameterValueException"),
        ({"NetworkType": "ipv6"}, "InvalidParameterCombinationException"),
        ({"ClusterEndpointEncryptionType": "TLS"}, "InvalidParameterCombinationException"),
        (
            {"AvailabilityZones": ["a", "b", "z"]},
            "InvalidParameterValueException",
        ),
    ],
)
async def test_another_cluster_is_looked_at_and_not_made(
    asked: dict[str, object], error: str
) -> None:
    name, _ = await Control().refused("CreateCluster", **{**NEW, **asked})
    assert name == error


async def test_the_cluster_is_not_deleted() -> None:
    assert (await Control().refused("DeleteCluster", ClusterName="paceline"))[0] == (
        "InvalidClusterStateFault"
    )
    assert (await Control().refused("DeleteCluster", ClusterName="other"))[0] == (
        "ClusterNotFoundFault"
    )


def test_a_node_type_is_the_smallest_with_that_memory() -> None:
    assert node_type(256 * 1024**2) == "dax.t3.small"
    assert node_type(int(1.5 * GIB) + 1) == "dax.t3.medium"
    assert node_type(int(13.5 * GIB)) == "dax.r4.large"
    for name, gib in NODE_TYPES.items():
        assert NODE_TYPES[node_type(int(gib * GIB))] == gib, name
