"""Whether a role may be taken on: by its trust policy, and by its caller's policies. Pure.

As IAM has it for callers of the role's own account: the trust policy has to name the caller, or
his account. If it names the caller himself, that is enough; if it names the account, his own
policies have to allow it, too. A deny wins, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.access.calling import Call, around
from cluster.access.deciding import not_authorized, rights_of
from cluster.access.denied import Denied
from cluster.access.roles import Role
from discovery.sts.parameters import AssumeRole
from paceline.access.policies.context import Caller, Context, context_of, whole_context
from paceline.access.policies.decisions import AccessRequest, decide
from paceline.access.policies.policy import Policy
from paceline.access.policies.statements import Effect

ASSUME, TAG, SET_SOURCE = "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"


def check_may(
    call: Call, asked: AssumeRole, role: Role | None, actions: Sequence[str], now: float
) -> Role:
    """The role. ``actions``: all that have to be allowed. Denied: one is not, or there is no such
    role, which sounds the same."""
    by = call.by
    caller = by.principal.as_caller()
    if role is None or role.disabled:
        raise denied(call, ASSUME, asked.role_arn)
    context = {**around(call, now), **_context(asked, role)}
    rights = rights_of(by, (role.trust,))
    for action in actions:
        allowed = decide(rights, AccessRequest(action, role.arn, context)).allowed
        if not (allowed and trusts(role.trust, caller, action, role.arn, context)):
            raise denied(call, action, asked.role_arn)
    return role


def trusts(trust: Policy, caller: Caller, action: str, arn: str, context: Context) -> bool:
    """Whether the trust policy names the caller or his account for it."""
    whole = whole_context(caller, context)
    small = action.lower()
    for one in trust.statements:
        if one.effect is not Effect.ALLOW or one.named is None:
            continue
        named = one.named.includes(caller, Effect.ALLOW, arn)
        if not named and caller.account not in one.named.accounts:
            continue
        is_about = any(each.matches(small) for each in one.actions) is not one.not_actions
        if is_about and all(each.holds(whole) for each in one.conditions):
            return True
    return False


def denied(call: Call, action: str, resource: str) -> Denied:
    return Denied("AccessDenied", not_authorized(call.by, action, resource), 403)


def _context(asked: AssumeRole, role: Role) -> Context:
    told: dict[str, str | list[str]] = {"sts:RoleSessionName": asked.session}
    if asked.external_id:
        told["sts:ExternalId"] = asked.external_id
    if asked.source_identity:
        told["sts:SourceIdentity"] = asked.source_identity
    if asked.tags:
        told["aws:TagKeys"] = list(asked.tags)
    if asked.transitive:
        told["sts:TransitiveTagKeys"] = list(asked.transitive)
    told.update(_tagged("aws:RequestTag/", asked.tags))
    told.update(_tagged("aws:ResourceTag/", role.tags))
    return context_of(told)


def _tagged(prefix: str, tags: Mapping[str, str]) -> dict[str, str]:
    return {prefix + key: value for key, value in tags.items()}
