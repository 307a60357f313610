"""Parameter groups, subnet groups and tags."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.log.lifetimes import Lifetimes, lifetimes_of
from discovery.control.parameter_groups import GROUPS_MAX
from discovery.control.subnet_groups import GROUPS_MAX as SUBNET_GROUPS_MAX
from tests.unit.discovery.control.control_world import ARN, Control


def pairs(**values: str) -> list[dict[str, str]]:
    return [
        {"ParameterName": name.replace("_", "-"), "ParameterValue": value}
        for name, value in values.items()
    ]


async def values_of(control: Control, group: str, **more: Any) -> dict[str, tuple[str, str]]:
    found = await control.call("DescribeParameters", ParameterGroupName=group, **more)
    return {
        one["ParameterName"]: (one["ParameterValue"], one["Source"]) for one in found["Parameters"]
    }


class TestParameterGroups:
    async def test_what_is_set_in_the_clusters_group_is_what_nodes_go_by(self) -> None:
        control = Control()
        await control.call("CreateParameterGroup", ParameterGroupName="short", Description="few")
        assert await values_of(control, "short") == {
            "query-ttl-millis": ("200000", "system"),
            "record-ttl-millis": ("300000", "system"),
        }
        await control.call(
            "UpdateParameterGroup",
            ParameterGroupName="short",
            ParameterNameValues=pairs(record_ttl_millis="0010"),
        )
        assert await values_of(control, "short", Source="user") == {
            "record-ttl-millis": ("10", "user")
        }
        assert lifetimes_of(control.state.control.by_name) == Lifetimes(), "it is no cluster's"
        await control.call("UpdateCluster", ClusterName="paceline", ParameterGroupName="short")
        assert lifetimes_of(control.state.control.by_name) == Lifetimes(10, None)
        await control.call(
            "UpdateParameterGroup",
            ParameterGroupName="short",
            ParameterNameValues=pairs(query_ttl_millis="0", record_ttl_millis="20"),
        )
        assert lifetimes_of(control.state.control.by_name) == Lifetimes(20, 0)
        default = {"ClusterName": "paceline", "ParameterGroupName": "default.dax1.0"}
        await control.call("UpdateCluster", **default)
        assert lifetimes_of(control.state.control.by_name) == Lifetimes()
        assert control.messages[-2] == (
            "The parameter group was modified: query-ttl-millis 0, record-ttl-millis 20."
        )

    async def test_the_default_one_is_always_there_and_stays_as_it_is(self) -> None:
        control = Control()
        groups = (await control.call("DescribeParameterGroups"))["ParameterGroups"]
        assert [one["ParameterGroupName"] for one in groups] == ["default.dax1.0"]
        assert await values_of(control, "default.dax1.0") == {
            "query-ttl-millis": ("200000", "system"),
            "record-ttl-millis": ("300000", "system"),
        }
        found = await control.call("DescribeDefaultParameters")
        assert [one["ParameterValue"] for one in found["Parameters"]] == ["200000", "300000"]
        name = {"ParameterGroupName": "default.dax1.0"}
        for operation, more in (
            ("DeleteParameterGroup", {}),
            ("UpdateParameterGroup", {"ParameterNameValues": pairs(record_ttl_millis="1")}),
        ):
            error, _ = await control.refused(operation, **name, **more)
            assert error == "InvalidParameterGroupStateFault"
        error, _ = await control.refused("CreateParameterGroup", **name)
        assert error == "ParameterGroupAlreadyExistsFault"

    async def test_one_that_is_in_use_is_not_deleted(self) -> None:
        control = Control()
        name = {"ParameterGroupName": "short"}
        await control.call("CreateParameterGroup", **name)
        assert (await control.refused("CreateParameterGroup", **name))[0] == (
            "ParameterGroupAlreadyExistsFault"
        )
        await control.call("UpdateCluster", ClusterName="paceline", **name)
        assert (await control.refused("DeleteParameterGroup", **name))[0] == (
            "InvalidParameterGroupStateFault"
        )
        await control.call(
            "UpdateCluster", ClusterName="paceline", ParameterGroupName="default.dax1.0"
        )
        told = await control.call("DeleteParameterGroup", **name)
        assert told == {"DeletionMessage": "Parameter group short has been deleted."}
        assert (await control.refused("DeleteParameterGroup", **name))[0] == (
            "ParameterGroupNotFoundFault"
        )
        assert set(control.records) == {"cluster"}

    @pytest.mark.parametrize(
        ("values", "error", "says"),
        [
            ([], "InvalidParameterValueException", "ParameterNameValues"),
            (pairs(ttl="1"), "InvalidParameterValueException", "query-ttl-millis"),
            (pairs(record_ttl_millis="-1"), "InvalidParameterValueException", "-1"),
            (pairs(record_ttl_millis="1e3"), "InvalidParameterValueException", "1e3"),
            (pairs(record_ttl_millis="9" * 17), "InvalidParameterValueException", "milliseconds"),
            (pairs(record_ttl_millis="٣"), "InvalidParameterValueException", "٣"),
            (
                pairs(record_ttl_millis="1") * 2,
                "InvalidParameterCombinationException",
                "twice",
            ),
            (
                [{"ParameterName": "record-ttl-millis"}],
                "InvalidParameterCombinationException",
                "ParameterValue",
            ),
        ],
    )
    async def test_a_value_is_refused(
        self, values: list[dict[str, str]], error: str, says: str
    ) -> None:
        control = Control()
        await control.call("CreateParameterGroup", ParameterGroupName="short")
        name, message = await control.refused(
            "UpdateParameterGroup", ParameterGroupName="short", ParameterNameValues=values
        )
        assert name == error
        assert says in message

    async def test_there_is_a_quota(self) -> None:
        control = Control()
        for number in range(GROUPS_MAX):
            await control.call("CreateParameterGroup", ParameterGroupName=f"g{number}")
        assert (await control.refused("CreateParameterGroup", ParameterGroupName="one-more"))[
            0
        ] == "ParameterGroupQuotaExceededFault"


class TestSubnetGroups:
    async def test_subnets_stand_for_zones_in_their_order(self) -> None:
        control = Control()
        ids = [f"subnet-{n}" for n in (1, 2, 3, 4)]
        told = await control.call(
            "CreateSubnetGroup", SubnetGroupName="Main", Description="all", SubnetIds=[*ids, ids[0]]
        )
        group = told["SubnetGroup"]
        assert group["SubnetGroupName"] == "main"
        assert [
            (one["SubnetIdentifier"], one["SubnetAvailabilityZone"]) for one in group["Subnets"]
        ] == list(zip(ids, "abca", strict=True))
        found = await control.call("DescribeSubnetGroups", SubnetGroupNames=["MAIN"])
        assert found["SubnetGroups"] == [group]

    async def test_or_as_a_file_says(self) -> None:
        control = Control()
        control.more["subnet_zones"] = {"subnet-1": "c"}
        made = await control.call(
            "CreateSubnetGroup", SubnetGroupName="main", SubnetIds=["subnet-1"]
        )
        assert made["SubnetGroup"]["Subnets"][0]["SubnetAvailabilityZone"] == "c"
        error, message = await control.refused(
            "UpdateSubnetGroup", SubnetGroupName="main", SubnetIds=["subnet-1", "subnet-2"]
        )
        assert (error, "subnet-2" in message) == ("InvalidSubnet", True)

    async def test_the_default_one_has_the_zones_with_nodes_and_is_in_use(self) -> None:
        control = Control()
        found = (await control.call("DescribeSubnetGroups"))["SubnetGroups"]
        (default,) = found
        assert default["SubnetGroupName"] == "default"
        zones = [one["SubnetAvailabilityZone"] for one in default["Subnets"]]
        assert zones == ["a", "b", "c"]
        name = {"SubnetGroupName": "default"}
        assert (await control.refused("DeleteSubnetGroup", **name))[0] == "SubnetGroupInUseFault"
        error, _ = await control.refused("UpdateSubnetGroup", **name, SubnetIds=["subnet-9"])
        assert error == "SubnetInUse"
        own = [one["SubnetIdentifier"] for one in default["Subnets"]]
        await control.call(
            "UpdateSubnetGroup", **name, Description="mine", SubnetIds=["subnet-9", *own]
        )
        (default,) = (await control.call("DescribeSubnetGroups"))["SubnetGroups"]
        assert default["Description"] == "mine"
        assert len(default["Subnets"]) == 4

    async def test_conditions(self) -> None:
        control = Control()
        main = {"SubnetGroupName": "main", "SubnetIds": ["subnet-1"]}
        await control.call("CreateSubnetGroup", **main)
        assert (await control.refused("CreateSubnetGroup", **main))[0] == (
            "SubnetGroupAlreadyExistsFault"
        )
        other = {"SubnetGroupName": "other"}
        for operation in ("DeleteSubnetGroup", "UpdateSubnetGroup"):
            assert (await control.refused(operation, **other))[0] == "SubnetGroupNotFoundFault"
        assert (await control.refused("DescribeSubnetGroups", SubnetGroupNames=["other"]))[0] == (
            "SubnetGroupNotFoundFault"
        )
        for ids, error in (
            ([], "InvalidSubnet"),
            (["net-1"], "InvalidSubnet"),
            ([f"subnet-{n}" for n in range(21)], "SubnetQuotaExceededFault"),
        ):
            assert (await control.refused("CreateSubnetGroup", **other, SubnetIds=ids))[0] == error
            assert (await control.refused("UpdateSubnetGroup", **{**main, "SubnetIds": ids}))[
                0
            ] == error
        name, _ = await control.refused(
            "CreateSubnetGroup", SubnetGroupName="a b", SubnetIds=["subnet-1"]
        )
        assert name == "ValidationException", "the operation has no error of its own for it"
        told = await control.call("DeleteSubnetGroup", SubnetGroupName="main")
        assert told == {"DeletionMessage": "Subnet group main has been deleted."}

    async def test_there_is_a_quota(self) -> None:
        control = Control()
        ids = {"SubnetIds": ["subnet-1"]}
        for number in range(SUBNET_GROUPS_MAX):
            await control.call("CreateSubnetGroup", SubnetGroupName=f"g{number}", **ids)
        assert (await control.refused("CreateSubnetGroup", SubnetGroupName="more", **ids))[0] == (
            "SubnetGroupQuotaExceededFault"
        )


class TestTags:
    async def test_they_are_set_told_and_taken_away(self) -> None:
        control = Control()
        tags = [{"Key": "team", "Value": "blue"}, {"Key": "é", "Value": ""}]
        assert await control.call("TagResource", ResourceName=ARN, Tags=tags) == {"Tags": tags}
        await control.call(
            "TagResource", ResourceName=ARN, Tags=[{"Key": "team", "Value": "green"}]
        )
        told = await control.call("UntagResource", ResourceName=ARN, TagKeys=["é"])
        assert told == {"Tags": [{"Key": "team", "Value": "green"}]}
        assert await control.call("ListTags", ResourceName=ARN) == told

    @pytest.mark.parametrize(
        ("arn", "error"),
        [
            ("paceline", "InvalidARNFault"),
            ("arn:aws:dax:us-east-1:000000000000:cache/paceline", "InvalidARNFault"),
            ("arn:aws:dax:eu-west-1:111111111111:cache/paceline", "InvalidARNFault"),
            ("arn:aws:dax:eu-west-1:000000000000:cache/other", "ClusterNotFoundFault"),
            ("arn:aws:dax:eu-west-1:000000000000:cache/", "InvalidARNFault"),
        ],
    )
    async def test_only_the_cluster_has_them(self, arn: str, error: str) -> None:
        for operation, more in (
            ("ListTags", {}),
            ("TagResource", {"Tags": []}),
            ("UntagResource", {"TagKeys": []}),
        ):
            assert (await Control().refused(operation, ResourceName=arn, **more))[0] == error

    @pytest.mark.parametrize(
        ("tags", "error"),
        [
            ([{"Value": "v"}], "InvalidParameterValueException"),
            ([{"Key": "", "Value": "v"}], "InvalidParameterValueException"),
            ([{"Key": "k" * 129, "Value": "v"}], "InvalidParameterValueException"),
            ([{"Key": "k", "Value": "v" * 257}], "InvalidParameterValueException"),
            ([{"Key": "k", "Value": "<"}], "InvalidParameterValueException"),
            ([{"Key": "AWS:k", "Value": "v"}], "InvalidParameterValueException"),
            ([{"Key": "k", "Value": "v"}] * 2, "InvalidParameterValueException"),
            ([{"Key": f"k{n}", "Value": ""} for n in range(50)], "TagQuotaPerResourceExceeded"),
        ],
    )
    async def test_a_tag_is_refused(self, tags: list[dict[str, str]], error: str) -> None:
        control = Control()
        await control.call("TagResource", ResourceName=ARN, Tags=[{"Key": "one", "Value": "1"}])
        assert (await control.refused("TagResource", ResourceName=ARN, Tags=tags))[0] == error

    async def test_the_most_and_longest_fit_into_the_log(self) -> None:
        control = Control()
        tags = [{"Key": chr(0x20000 + n) * 128, "Value": "𠀀" * 256} for n in range(50)]
        told = await control.call("TagResource", ResourceName=ARN, Tags=tags)
        assert len(told["Tags"]) == 50

    async def test_a_tag_that_is_not_there_is_not_taken_away(self) -> None:
        control = Control()
        await control.call("TagResource", ResourceName=ARN, Tags=[{"Key": "k", "Value": "v"}])
        name, message = await control.refused("UntagResource", ResourceName=ARN, TagKeys=["k", "x"])
        assert (name, message) == ("TagNotFoundFault", "Tag x not found.")
