"""In whose name a request goes to DynamoDB, where that is not the node's own.

It is set for each request, below all front ends, and at the primary for each write that another
member forwarded. A way to DynamoDB that needs it and finds nobody sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from cluster.access.counting import DENIED
from cluster.access.principals import ROLE, Principal
from cluster.access.roles import IN_LOG, Role
from cluster.access.upstream import Source
from paceline.errors import RequestError


class Who(NamedTuple):
    """A principal as it was at one time: any change makes it another one. So what was remembered
    of it is forgotten."""

    name: str
    revision: int
    source: Source


class Actor(NamedTuple):
    """``key_id``: of the key that it has signed with, or what stands for one."""

    who: Who
    arn: str
    key_id: str


acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    token = acting.set(actor)
    try:
        yield
    finally:
        acting.reset(token)


def actor_of(principal: Principal, key_id: str) -> Actor:
    """RequestError for a principal that has no credentials of its own: there are no others that
    could take their place."""
    if principal.role_id is not None:
        key_id = ROLE + principal.role_id
    who = _who(principal.name, principal.revision, principal.upstream, principal.arn)
    return Actor(who, principal.arn, key_id)


def actor_of_role(role: Role) -> Actor:
    """Of any session of it: all have the role's credentials. RequestError as of a principal."""
    who = _who(IN_LOG + role.name, role.revision, role.upstream, role.arn)
    return Actor(who, role.arn, ROLE + role.id)


def _who(name: str, revision: int, source: Source | None, arn: str) -> Who:
    if source is not None:
        return Who(name, revision, source)
    kind, _, plain = name.rpartition("/")
    raise RequestError(
        DENIED,
        f"User: {arn} has no credentials of its own for DynamoDB, and no others are used for it "
        f"('paceline {kind or 'principal'} set {plain} --upstream-role ARN')",
    )
