"""What a caller's policies amount to, and how AWS words that they do not allow something. Pure."""

from __future__ import annotations

from cluster.access.signatures.verification import Verified
from paceline.access.policies.policy import Policy
from paceline.access.policies.rights import Rights


def rights_of(by: Verified, of_resource: tuple[Policy, ...] = ()) -> Rights:
    """Returns the rights of who has signed. ``of_resource``: the policies of what is asked for."""
    return Rights(
        by.principal.as_caller(), by.principal.policies, by.key.session_policies, of_resource
    )


def not_authorized(by: Verified, action: str, resource: str) -> str:
    """Returns the words of AWS's that a refusal has or begins with."""
    return (
        f"User: {by.principal.arn} is not authorized to perform: {action} on resource: {resource}"
    )
