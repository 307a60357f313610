"""Does what a plan says, step by step, and notes each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from paceline import clock
from paceline.errors import PacelineError, Unavailable
from paceline_local.stacks.control_plane import ControlPlane, Refused
from paceline_local.stacks.kinds import CLUSTER, PARAMETER_GROUP, SUBNET_GROUP, Kind
from paceline_local.stacks.planning import Difference, Step
from paceline_local.stacks.record import Note

WAIT_S: Final = 900.0
"""For a cluster: as long as discovery gives those who start it."""
POLL_S: Final = 0.5

_OF_CLUSTER: Final = {
    "NodeType": "NodeType",
    "ReplicationFactor": "ReplicationFactor",
    "IAMRoleARN": "IamRoleArn",
    "Description": "Description",
    "AvailabilityZones": "AvailabilityZones",
    "SubnetGroupName": "SubnetGroupName",
    "SecurityGroupIds": "SecurityGroupIds",
    "PreferredMaintenanceWindow": "PreferredMaintenanceWindow",
    "NotificationTopicARN": "NotificationTopicArn",
    "ParameterGroupName": "ParameterGroupName",
    "ClusterEndpointEncryptionType": "ClusterEndpointEncryptionType",
    "NetworkType": "NetworkType",
}
"""CloudFormation's names of what create-cluster takes as it is, and that one's."""
_UPDATED: Final = (
    *("Description", "SecurityGroupIds", "PreferredMaintenanceWindow", "ParameterGroupName"),
)


class Doer:
    """``wait``: for so many seconds, between two looks at a cluster."""

    def __init__(
        self,
        plane: ControlPlane,
        stack: str,
        *,
        wait: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._plane, self._stack = plane, stack
        self._wait, self._now = wait, now

    def do(self, step: Step) -> None:
        """PacelineError: it could not be done, or is not known to be; what is noted tells the next
        plan of it."""
        if step.action in ("delete", "forget"):
            self._end(step)
            return
        assert step.note is not None
        if step.action in ("create", "replace"):
            self._make(step, step.note)
        elif step.action == "update":
            self._update(step)
        self._plane.note(self._stack, step.id, step.note)

    def _make(self, step: Step, note: Note) -> None:
        """Noted before, so that what is made is never nobody's; and not noted if it was refused."""
        if step.action == "replace" and step.before is not None and step.before.name == step.name:
            self._delete(step.kind, step.name)
        self._plane.note(self._stack, step.id, replace(note, begun=True))
        try:
            self._create(step.kind, step.name, note.properties)
        except Refused:
            if step.before is None:
                self._plane.forget(self._stack, step.id)
            elif step.before.name != step.name:
                self._plane.note(self._stack, step.id, step.before)
            raise

    def _create(self, kind: Kind, name: str, given: Mapping[str, Any]) -> None:
        if kind is CLUSTER:
            asked = {_OF_CLUSTER[k]: one for k, one in given.items() if k in _OF_CLUSTER}
            if "SSESpecification" in given:
                enabled = given["SSESpecification"].get("SSEEnabled", "false").lower() == "true"
                asked["SSESpecification"] = {"Enabled": enabled}
            if given.get("Tags"):
                asked["Tags"] = [{"Key": k, "Value": v} for k, v in given["Tags"].items()]
            self._plane.call("create_cluster", ClusterName=name, **asked)
            self._await_cluster(name)
        elif kind is SUBNET_GROUP:
            more = {k: given[k] for k in ("Description", "SubnetIds") if k in given}
            self._plane.call("create_subnet_group", SubnetGroupName=name, **more)
        else:
            more = {k: given[k] for k in ("Description",) if k in given}
            self._plane.call("create_parameter_group", ParameterGroupName=name, **more)
            self._set_parameters(name, given.get("ParameterNameValues") or {})

    def _update(self, step: Step) -> None:
        changed = {one.property: one for one in step.differences}
        if step.kind is CLUSTER:
            self._update_cluster(step.name, changed, step.note)
        elif step.kind is SUBNET_GROUP:
            more = {key: one.after for key, one in changed.items()}
            self._plane.call("update_subnet_group", SubnetGroupName=step.name, **more)
        elif "ParameterNameValues" in changed:
            self._set_parameters(step.name, changed["ParameterNameValues"].after)

    def _update_cluster(
        self, name: str, changed: Mapping[str, Difference], note: Note | None
    ) -> None:
        self._await_cluster(name)
        asked: dict[str, Any] = {k: one.after for k, one in changed.items() if k in _UPDATED}
        topic = changed.get("NotificationTopicARN")
        if topic is not None and topic.after:
            asked |= {"NotificationTopicArn": topic.after}
        elif topic is not None:
            asked |= {"NotificationTopicStatus": "inactive"}
        if asked:
            self._plane.call("update_cluster", ClusterName=name, **asked)
        if "Tags" in changed:
            self._set_tags(name, changed["Tags"])
        if "ReplicationFactor" in changed:
            one = changed["ReplicationFactor"]
            grows = one.after > one.before
            operation = ("increase" if grows else "decrease") + "_replication_factor"
            self._plane.call(operation, ClusterName=name, NewReplicationFactor=one.after)
        self._await_cluster(name)

    def _set_tags(self, name: str, one: Difference) -> None:
        told = self._plane.cluster(name)
        if told is None:
            raise PacelineError(f"the cluster {name} is not there any more")
        arn, before = told["ClusterArn"], one.before or {}
        gone = [key for key in before if key not in one.after]
        new = [{"Key": k, "Value": v} for k, v in one.after.items() if before.get(k) != v]
        if gone:
            self._plane.call("untag_resource", ResourceName=arn, TagKeys=gone)
        if new:
            self._plane.call("tag_resource", ResourceName=arn, Tags=new)

    def _set_parameters(self, name: str, values: Mapping[str, str]) -> None:
        if values:
            pairs = [{"ParameterName": k, "ParameterValue": v} for k, v in values.items()]
            self._plane.call(
                "update_parameter_group", ParameterGroupName=name, ParameterNameValues=pairs
            )

    def _end(self, step: Step) -> None:
        if step.action == "delete":
            self._delete(step.kind, step.name)
        if step.note is None:
            self._plane.forget(self._stack, step.id)
        else:
            noted = self._plane.notes(self._stack).get(step.id, step.note)
            left = tuple(one for one in noted.old if one != step.name)
            self._plane.note(self._stack, step.id, replace(noted, old=left))

    def _delete(self, kind: Kind, name: str) -> None:
        """What is not there is deleted."""
        if kind is CLUSTER:
            told = self._plane.cluster(name)
            if told is not None and told["Status"] not in ("create-failed", "deleting"):
                self._await_cluster(name, "available", "unavailable", "create-failed")
        operation, parameter, gone = _DELETED[kind.type]
        try:
            self._plane.call(operation, **{parameter: name})
        except Refused as refused:
            if refused.code == gone:
                return
            told = self._plane.cluster(name) if kind is CLUSTER else None
            if told is None or told["Status"] != "deleting":
                raise
        if kind is CLUSTER:
            self._await(name, lambda told: told is None, "deleted")

    def _await_cluster(self, name: str, *states: str) -> None:
        """Until it is available. PacelineError: it never will."""
        wanted = states or ("available",)

        def is_so(told: Mapping[str, Any] | None) -> bool:
            if told is None:
                raise PacelineError(f"the cluster {name} is not there any more")
            if told["Status"] == "create-failed" and "create-failed" not in wanted:
                raise PacelineError(f"the cluster {name} could not be started: {self._why(name)}")
            return told["Status"] in wanted

        self._await(name, is_so, " or ".join(wanted))

    def _await(
        self, name: str, is_so: Callable[[Mapping[str, Any] | None], bool], what: str
    ) -> None:
        until = self._now() + WAIT_S
        while True:
            try:
                if is_so(self._plane.cluster(name)):
                    return
            except Unavailable:
                if self._now() > until:
                    raise
            if self._now() > until:
                raise PacelineError(f"the cluster {name} is not {what} after {WAIT_S:.0f} s")
            self._wait(POLL_S)

    def _why(self, name: str) -> str:
        """The last event of it."""
        told = self._plane.call("describe_events", SourceName=name, SourceType="CLUSTER")
        messages: Iterable[str] = [one["Message"] for one in told.get("Events", ())]
        return list(messages)[-1] if messages else "no event says why"


_DELETED: Final = {
    CLUSTER.type: ("delete_cluster", "ClusterName", "ClusterNotFoundFault"),
    SUBNET_GROUP.type: (
        *("delete_subnet_group", "SubnetGroupName"),
        "SubnetGroupNotFoundFault",
    ),
    PARAMETER_GROUP.type: (
        *("delete_parameter_group", "ParameterGroupName"),
        "ParameterGroupNotFoundFault",
    ),
}
