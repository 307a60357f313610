"""Roles, which principals take on for a while: a name, who may, and what they may do then. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.access.upstream import Source
from paceline.access.policies.context import CLUSTER_ACCOUNT

if TYPE_CHECKING:
    from paceline.access.policies.policy import Policy

IN_LOG = "role/"
"""In front of a role's name in the log, and as principals its sessions are called so: no user's
name has a slash."""

SESSION_MIN_S = 900
ROLE_SESSION_DEFAULT_S = 3_600
ROLE_SESSION_MAX_S = 43_200
"""https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html."""

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Role:
    """``id``: another one for each role that ever was, also of the same name. ``trust``: the policy
    that says who may take it on."""

    name: str
    id: str
    trust: Policy
    policies: tuple[Policy, ...] = ()
    tags: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    session_max_s: int = ROLE_SESSION_DEFAULT_S
    disabled: bool = False
    upstream: Source | None = None
    """Credentials at AWS of all its sessions, as ``Principal.upstream``."""
    revision: int = 0
    """As ``Principal.revision``."""

    @property
    def arn(self) -> str:
        return role_arn(self.name)


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{CLUSTER_ACCOUNT}:role/{name}"


def session_arn(role: str, session: str) -> str:
    """Of a session of the role, by the name that its caller gave it."""
    return f"arn:aws:sts::{CLUSTER_ACCOUNT}:assumed-role/{role}/{session}"
