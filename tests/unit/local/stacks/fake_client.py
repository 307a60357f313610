"""botocore's client of DAX, with a control plane behind it that keeps what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

ARN = "arn:aws:dax:us-east-1:000000000000:"


def _failure(operation: str, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "unknown"}}, operation)


class FakeClient:
    """``ends_in``: the status that a new cluster gets after a while."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.clusters: dict[str, dict[str, Any]] = {"paceline": {"Status": "available"}}
        self.groups: dict[str, dict[str, str]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.ends_in = "available"
        self._failing: dict[str, tuple[str, bool]] = {}

    def fail(self, operation: str, code: str, *, does: bool = False) -> None:
        """The next one. ``does``: though it is done."""
        self._failing[operation] = (code, does)

    def pass_time(self) -> None:
        for name, one in list(self.clusters.items()):
            if one["Status"] == "creating":
                one["Status"] = self.ends_in
            elif one["Status"] == "deleting":
                del self.clusters[name]

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        def asked(**given: Any) -> dict[str, Any]:
            self.asked.append(operation)
            failing = self._failing.get(operation)
            stack_only = operation == "list_tags" and "stack/" not in given["ResourceName"]
            if failing is not None and not stack_only:
                del self._failing[operation]
                if failing[1]:
                    getattr(self, f"do_{operation}")(given)
                raise _failure(operation, failing[0])
            answer: dict[str, Any] = getattr(self, f"do_{operation}")(given) or {}
            return answer

        if operation.startswith("do_"):
            raise AttributeError(operation)
        return asked

    def do_describe_clusters(self, given: dict[str, Any]) -> dict[str, Any]:
        names = given.get("ClusterNames", list(self.clusters))
        for name in names:
            if name not in self.clusters:
                raise _failure("DescribeClusters", "ClusterNotFoundFault")
        return {"Clusters": [self._told(name) for name in names]}

    def _told(self, name: str) -> dict[str, Any]:
        one = self.clusters[name]
        return {
            "ClusterName": name,
            "ClusterArn": f"{ARN}cache/{name}",
            "Status": one["Status"],
            "NodeType": one.get("NodeType", "dax.t3.small"),
            "TotalNodes": one.get("ReplicationFactor", 1),
            "SubnetGroup": "default",
            "PreferredMaintenanceWindow": "sun:05:00-sun:06:00",
            "ParameterGroup": {"ParameterGroupName": one.get("ParameterGroupName", "default")},
            "Nodes": [{"AvailabilityZone": "a"}],
            "ClusterDiscoveryEndpoint": {
                "Address": "127.0.0.2",
                "Port": 8111,
                "URL": "dax://127.0.0.2",
            },
        }

    def do_create_cluster(self, given: dict[str, Any]) -> None:
        name = given["ClusterName"]
        if name in self.clusters:
            raise _failure("CreateCluster", "ClusterAlreadyExistsFault")
        self.clusters[name] = {**given, "Status": "creating"}
        self._tag(f"cache/{name}", given.get("Tags", []))

    def do_delete_cluster(self, given: dict[str, Any]) -> None:
        self.clusters[given["ClusterName"]]["Status"] = "deleting"
        self.tags.pop(f"cache/{given['ClusterName']}", None)

    def do_increase_replication_factor(self, given: dict[str, Any]) -> None:
        self.clusters[given["ClusterName"]]["ReplicationFactor"] = given["NewReplicationFactor"]

    def do_describe_events(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"Events": [{"Message": "it was too much"}]}

    def do_describe_subnet_groups(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"SubnetGroups": []}

    def do_describe_parameter_groups(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"ParameterGroups": [{"ParameterGroupName": one} for one in self.groups]}

    def do_describe_parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        values = self.groups[given["ParameterGroupName"]]
        return {
            "Parameters": [
                {"ParameterName": k, "ParameterValue": v, "Source": "user"}
                for k, v in values.items()
            ]
        }

    def do_create_parameter_group(self, given: dict[str, Any]) -> None:
        self.groups[given["ParameterGroupName"]] = {}

    def do_update_parameter_group(self, given: dict[str, Any]) -> None:
        for one in given["ParameterNameValues"]:
            group = self.groups[given["ParameterGroupName"]]
            group[one["ParameterName"]] = one["ParameterValue"]

    def do_delete_parameter_group(self, given: dict[str, Any]) -> None:
        del self.groups[given["ParameterGroupName"]]

    def do_list_tags(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.tags.get(given["ResourceName"].removeprefix(ARN), {})
        return {"Tags": [{"Key": k, "Value": v} for k, v in found.items()]}

    def do_tag_resource(self, given: dict[str, Any]) -> None:
        self._tag(given["ResourceName"].removeprefix(ARN), given["Tags"])

    def do_untag_resource(self, given: dict[str, Any]) -> None:
        name = given["ResourceName"].removeprefix(ARN)
        for key in given["TagKeys"]:
            if key not in self.tags.get(name, {}):
                raise _failure("UntagResource", "TagNotFoundFault")
            del self.tags[name][key]
        if not self.tags.get(name):
            self.tags.pop(name, None)

    def _tag(self, name: str, tags: list[dict[str, str]]) -> None:
        if tags:
            self.tags.setdefault(name, {}).update({one["Key"]: one["Value"] for one in tags})
