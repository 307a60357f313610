"""A request's way: who may, what is read of it, and how a change ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.loaders import Loader

from cluster.log.commands import ChangeControl
from cluster.roster.control_feed import Told
from discovery.control.model import Model
from discovery.control.operations import OPERATIONS
from paceline.errors import Unavailable
from tests.unit.discovery.control.control_world import ARN, Control, user

ALLOW = """{"Version": "2012-10-17", "Statement": [
 {"Effect": "Allow", "Action": ["dax:Describe*", "dax:CreateParameterGroup"], "Resource": "*"},
 {"Effect": "Allow", "Action": "dax:*Tag*", "Resource": "arn:aws:dax:*:*:cache/paceline",
  "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}},
 {"Effect": "Deny", "Action": "dax:DescribeEvents", "Resource": "*"}]}"""


async def test_there_is_a_function_for_each_operation_of_the_model() -> None:
    assert set(OPERATIONS) == Model().operations
    assert len(OPERATIONS) == 21


async def test_the_page_tells_of_each_error_of_the_model() -> None:
    model = Model()
    page = (Path(__file__).parents[4] / "docs" / "control-plane.md").read_text(encoding="utf-8")
    errors = {error for operation in model.operations for error in model.errors_of(operation)}
    assert len(errors) == 28
    assert {error for error in errors if f"`{error}`" not in page} == set()


class TestWhoMay:
    async def test_who_does_not_sign_is_refused_where_all_have_to(self) -> None:
        control = Control(user("ann", 1, ALLOW))
        assert (await control.refused("DescribeClusters"))[0] == (
            "MissingAuthenticationTokenException"
        )
        assert control.refusals.as_dict() == {"MissingAuthenticationTokenException": 1}

    async def test_a_wrong_key_opens_nothing(self) -> None:
        _, key = user("bob", 2)
        assert (await Control(user("ann", 1, ALLOW)).refused("DescribeClusters", key))[0] == (
            "UnrecognizedClientException"
        )

    async def test_policies_decide(self) -> None:
        ann, key = user("ann", 1, ALLOW)
        control = Control((ann, key))
        assert (await control.call("DescribeClusters", key))["Clusters"]
        await control.call("CreateParameterGroup", key, ParameterGroupName="short")
        await control.call("TagResource", key, ResourceName=ARN, Tags=[{"Key": "team"}])
        for operation, resource, asked in (
            ("DescribeEvents", "*", {}),
            ("DeleteParameterGroup", "*", {"ParameterGroupName": "short"}),
            ("UpdateCluster", ARN, {"ClusterName": "PACELINE", "Description": "x"}),
            ("TagResource", ARN, {"ResourceName": ARN, "Tags": [{"Key": "cost"}]}),
            ("ListTags", "*", {"ResourceName": "*"}),
        ):
            name, message = await control.refused(operation, key, **asked)
            assert name == "AccessDeniedException"
            assert message == (
                f"User: {ann.arn} is not authorized to perform: dax:{operation}"
                f" on resource: {resource}"
            )

    async def test_all_that_is_named_has_to_be_allowed(self) -> None:
        allow = {"Effect": "Allow", "Action": "dax:*", "Resource": ARN}
        one = json.dumps({"Statement": [allow]})
        ann, key = user("ann", 1, one)
        control = Control((ann, key))
        await control.call("DescribeClusters", key, ClusterNames=["paceline"])
        for asked in ({}, {"ClusterNames": ["paceline", "other"]}):
            assert (await control.refused("DescribeClusters", key, **asked))[0] == (
                "AccessDeniedException"
            )

    async def test_without_authorization_whoever_is_known_may(self) -> None:
        _, key = user("ann", 1)
        control = Control(user("ann", 1), authorizes=False)
        assert (await control.call("DescribeClusters", key))["Clusters"]


async def test_where_the_description_is_not_installed_it_is_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Loader, "BUILTIN_DATA_PATH", str(tmp_path))
    monkeypatch.setattr(Loader, "CUSTOMER_DATA_PATH", str(tmp_path))
    status, told = await Control().send("DescribeClusters", b"{}")
    assert (status, told["__type"]) == (503, "ServiceUnavailableException")
    assert "not installed" in told["message"]


class TestWhatIsRead:
    @pytest.mark.parametrize(
        ("operation", "body", "error", "says"),
        [
            ("Nothing", b"{}", "UnknownOperationException", "Nothing"),
            ("DescribeClusters", b"{", "SerializationException", "no JSON"),
            ("DescribeClusters", b"[]", "SerializationException", "object"),
            ("DescribeClusters", b"[" * 60_000, "SerializationException", "JSON"),
            ("DescribeClusters", b'{"MaxResults": "1"}', "SerializationException", "maxResults"),
            ("DescribeClusters", b'{"MaxResults": true}', "SerializationException", "maxResults"),
            ("DescribeClusters", b'{"MaxResults": 1e999}', "SerializationException", "maxRes"),
            (
                "DescribeClusters",
                b'{"ClusterNames": ["a", null]}',
                "InvalidParameterValueException",
                "Value null at 'clusterNames.2.member' failed",
            ),
            (
                "DescribeClusters",
                b'{"ClusterNames": [1]}',
                "SerializationException",
                "clusterNames.1.member is no text",
            ),
            ("DescribeEvents", b'{"StartTime": "soon"}', "SerializationException", "startTime"),
            ("DescribeEvents", b'{"StartTime": NaN}', "SerializationException", "startTime"),
            (
                "CreateCluster",
                b'{"NetworkType": "x", "ReplicationFactor": null}',
                "InvalidParameterValueException",
                "5 validation errors detected: Value 'x' at 'networkType' failed to satisfy"
                " constraint: Member must satisfy enum value set: [ipv4, ipv6, dual_stack];",
            ),
            (
                "CreateSubnetGroup",
                b'{"SubnetIds": []}',
                "ValidationException",
                "1 validation error detected: Value null at 'subnetGroupName' failed to satisfy"
                " constraint: Member must not be null",
            ),
            ("UpdateCluster", b'{"Name": 1}', "InvalidParameterValueException", "'name'"),
            (
                "UpdateCluster",
                b'{"ClusterName": "paceline", "Description": "\\ud800"}',
                "SerializationException",
                "surrogate",
            ),
        ],
    )
    async def test_what_breaks_the_model(
        self, operation: str, body: bytes, error: str, says: str
    ) -> None:
        control = Control()
        status, told = await control.send(operation, body)
        assert (status, told["__type"]) == (400, error)
        assert says in told["message"]

    async def test_null_is_nothing_and_no_body_is_an_empty_one(self) -> None:
        control = Control()
        assert (await control.send("DescribeClusters", b""))[0] == 200
        assert (await control.send("DescribeClusters", b'{"ClusterNames": null}'))[0] == 200

    async def test_a_get_is_no_request_of_it(self) -> None:
        status, told = await Control().send("DescribeClusters", b"", method="GET")
        assert (status, told["__type"]) == (400, "UnknownOperationException")


class TestHowAChangeEnds:
    async def test_what_was_changed_meanwhile_is_looked_at_anew(self) -> None:
        control = Control()
        await control.call("CreateParameterGroup", ParameterGroupName="short")

        def removed_by_another() -> None:
            control.feed.before_change = None
            seen = control.state.control.revision
            gone = ChangeControl("other", seen, {"parameter-group/short": None})
            assert control.state.apply_command(gone).ok
            control.feed.hear()

        control.feed.before_change = removed_by_another
        status, told = await control.send(
            "UpdateCluster",
            json.dumps({"ClusterName": "paceline", "ParameterGroupName": "short"}).encode(),
        )
        assert (status, told["__type"]) == (400, "ParameterGroupNotFoundFault")
        assert "cluster" not in control.records

    async def test_an_outcome_that_is_not_known_is_told_as_that(self) -> None:
        control = Control()
        control.feed.failure = Unavailable("the replicated log did not answer")
        status, told = await control.send("CreateParameterGroup", b'{"ParameterGroupName": "g"}')
        assert (status, told["__type"]) == (500, "InternalFailure")
        assert "look whether it was" in told["message"]

    async def test_who_asks_before_a_node_was_reached_may_try_again(self) -> None:
        control = Control()
        control.feed.told = None
        status, told = await control.send("DescribeClusters", b"{}")
        assert (status, told["__type"]) == (503, "ServiceUnavailableException")

    async def test_a_node_that_is_behind_undoes_nothing(self) -> None:
        control = Control()
        before = control.feed.told
        await control.call("CreateParameterGroup", ParameterGroupName="short")
        assert isinstance(before, Told)
        control.feed._take(before)
        groups = (await control.call("DescribeParameterGroups"))["ParameterGroups"]
        assert len(groups) == 2
