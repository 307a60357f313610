"""Whether the caller's policies allow an operation. Pure.

Actions and resources are those of the service authorization reference of IAM: the operations on a
cluster are allowed on its ARN, all others on ``*``.
"""

from __future__ import annotations

from collections.abc import Sequence

from cluster.access.calling import Call, around
from cluster.access.deciding import not_authorized, rights_of
from cluster.access.denied import Denied
from cluster.access.member_key import NAME as MEMBER
from discovery.control.names import Place
from discovery.control.world import Asked
from paceline.access.policies.context import Context, context_of
from paceline.access.policies.decisions import AccessRequest, decide


def action_of(operation: str) -> str:
    return f"dax:{operation}"


def resources_of(operation: str, asked: Asked, place: Place) -> Sequence[str]:
    """All that have to be allowed."""
    if "ResourceName" in asked:
        return (asked["ResourceName"],)
    if "ClusterName" in asked:
        return (place.arn(asked["ClusterName"].lower()),)
    if operation == "DescribeClusters":
        named = asked.get("ClusterNames") or ["*"]
        return tuple(place.arn(name.lower()) for name in named)
    return ("*",)


def check_may(call: Call, operation: str, asked: Asked, place: Place, now: float) -> None:
    """Denied."""
    by = call.by
    rights = rights_of(by)
    context = {**around(call, now), **_tags(operation, asked)}
    for resource in resources_of(operation, asked, place):
        request = AccessRequest(action_of(operation), resource, context)
        # The cluster's own programs have nothing to do with its control plane.
        if by.key.principal == MEMBER or not decide(rights, request).allowed:
            raise Denied(
                "AccessDeniedException",
                not_authorized(by, request.action, resource),
                400,
            )


def _tags(operation: str, asked: Asked) -> Context:
    tags = [one for one in asked.get("Tags", ()) if "Key" in one]
    keys = [one["Key"] for one in tags] + list(asked.get("TagKeys", ()))
    if not keys:
        return {}
    told: dict[str, str | list[str]] = {"aws:TagKeys": keys}
    told.update({f"aws:RequestTag/{one['Key']}": one.get("Value", "") for one in tags})
    return context_of(told)
