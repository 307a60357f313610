"""Allowed or not, by which statement, and why. Pure.

As IAM publishes it for callers and resources of one account: an explicit deny wins, wherever it
stands; a request is denied unless a policy of the caller's or one of the table's allows it; and
session policies, if there are any, have to allow it besides. (IAM lets a table policy that names a
session by its own ARN allow what the session's policies do not; here those narrow that, too.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from paceline.access.policies.context import Caller, Context, whole_context
from paceline.access.policies.policy import Kind, Policy
from paceline.access.policies.rights import Rights
from paceline.access.policies.statements import Effect, Statement


class Outcome(Enum):
    ALLOWED = "allowed"
    EXPLICITLY_DENIED = "explicitly denied"
    IMPLICITLY_DENIED = "implicitly denied"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """``action`` as in ``dynamodb:GetItem``; ``resource`` is an ARN; ``context`` has what is known
    of the request. What its context says of the caller is not looked at."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """``policy``, of ``kind``, and ``statement`` decided; None where nothing applied, but ``kind``
    where policies of that one were to allow it. ``why`` says it to people."""

    outcome: Outcome
    why: str
    policy: str | None = None
    statement: str | None = None
    kind: Kind | None = None

    @property
    def allowed(self) -> bool:
        return self.outcome is Outcome.ALLOWED


@dataclass(frozen=True, slots=True)
class Looked:
    """A statement that was looked at, and what kept it from applying; None if it applies. A policy
    that cannot be read has no statement."""

    policy: Policy
    statement: Statement | None
    obstacle: str | None


def decide(rights: Rights, request: AccessRequest) -> Decision:
    context = whole_context(rights.caller, request.context)
    action = request.action.lower()
    for policy in rights.all():
        if policy.error is not None:
            return Decision(
                Outcome.EXPLICITLY_DENIED,
                f"a policy that cannot be read denies everything: {policy.error}",
                policy.name,
                kind=policy.kind,
            )
    arguments = (rights.caller, action, request.resource, context)
    denying = _first(rights.all(), Effect.DENY, *arguments)
    if denying is not None:
        return _by(Outcome.EXPLICITLY_DENIED, "denies", request, *denying)
    found = _first(rights.identity, Effect.ALLOW, *arguments)
    if found is None:
        found = _first(rights.table, Effect.ALLOW, *arguments)
    if found is None:
        return Decision(
            Outcome.IMPLICITLY_DENIED,
            f"no policy of {rights.caller.name} or of the table allows {request.action} on "
            f"{request.resource}",
        )
    if rights.session is not None:
        narrowed = _first(rights.session, Effect.ALLOW, *arguments)
        if narrowed is None:
            return Decision(
                Outcome.IMPLICITLY_DENIED,
                f"no session policy allows {request.action} on {request.resource}",
                kind=Kind.SESSION,
            )
    return _by(Outcome.ALLOWED, "allows", request, *found)


def explain(rights: Rights, request: AccessRequest) -> Iterator[Looked]:
    """Every statement that was looked at, in order."""
    context = whole_context(rights.caller, request.context)
    for policy in rights.all():
        if policy.error is not None:
            yield Looked(policy, None, str(policy.error))
        for one in policy.statements:
            yield Looked(
                policy,
                one,
                one.obstacle(rights.caller, request.action.lower(), request.resource, context),
            )


def _first(
    policies: Iterable[Policy],
    effect: Effect,
    caller: Caller,
    action: str,
    resource: str,
    context: Context,
) -> tuple[Policy, Statement] | None:
    for policy in policies:
        for one in policy.statements:
            if one.effect is effect and one.applies(caller, action, resource, context):
                return policy, one
    return None


def _by(
    outcome: Outcome, does: str, request: AccessRequest, policy: Policy, statement: Statement
) -> Decision:
    return Decision(
        outcome,
        f"statement {statement.name} of {policy.name} {does} {request.action} on "
        f"{request.resource}",
        policy.name,
        statement.name,
        policy.kind,
    )
