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
    """Returns the first need that is not met, and why; None if all are.

    ``at`` gives the caller's rights at a resource, by its ARN; ``around`` is what is known of every
    request: time, address, TLS. What is known of this one goes before it.
    """
    for need in asked:
        rights = at(need.resource)
        if rights.verdict(need.action) is Verdict.ALWAYS:
            continue
        context = {**around, **need.facts.context}
        if not rights.allows(need.action, context):
            return need, decide(rights.rights, AccessRequest(need.action, need.resource, context))
        hidden = _hidden(need.facts, rights)
        if hidden is not None:
            return need, hidden
    return None


def _hidden(facts: Facts, rights: Compiled) -> Decision | None:
    """The refusal of a request of which cannot be told what a policy asks for."""
    for key, why in facts.unknown.items():
        if key in rights.keys:
            return Decision(
                Outcome.IMPLICITLY_DENIED,
                f"a policy asks for {key}, which cannot be told: {why}",
            )
    return None
