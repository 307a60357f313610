"""Needs, and the rights of who calls: whether a request is allowed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from node.access.need import Facts, Need
from paceline.access.policies.compiled import Compiled, Verdict
from paceline.access.policies.context import Context
from paceline.access.policies.decisions import AccessRequest, Decision, Outcome, decide


def judge(
    asked: Iterable[Need], at: Callable[[str], Compiled], around: Context
) -> tuple[Need, Decision] | None:
    """Returns the first need that is not met, and why; None if all are. ``at`` gives the caller's
    rights at a resource, by its ARN."""
    for need in asked:
        refused = refusal(need, at(need.resource), around)
        if refused is not None:
            return need, refused
    return None


def refusal(need: Need, rights: Compiled, around: Context) -> Decision | None:
    """Why it is not met; None if it is.

    ``around`` is what is known of every request: time, address, TLS. What is known of this one
    goes before it.
    """
    verdict = rights.verdict(need.action)
    if verdict is Verdict.ALWAYS:
        return None
    # Of a request that is denied in any case nothing is read, nor asked for.
    never = verdict is Verdict.NEVER
    context = around if never else {**around, **need.facts.context}
    if never or not rights.allows(need.action, context):
        return decide(rights.rights, AccessRequest(need.action, need.resource, context))
    return _hidden(need.facts, rights)


def _hidden(facts: Facts, rights: Compiled) -> Decision | None:
    """The refusal of a request of which cannot be told what a policy asks for."""
    keys = rights.rights.keys if facts.unknown else ()
    for key, why in facts.unknown.items():
        if key in keys:
            return Decision(
                Outcome.IMPLICITLY_DENIED,
                f"a policy asks for {key}, which cannot be told: {why}",
            )
    return None
