"""Needs, and the rights of who calls: whether a request is allowed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from node.access.need import Need
from paceline.access.policies.context import Context
from paceline.access.policies.decisions import AccessRequest, Decision, Outcome, decide
from paceline.access.policies.rights import Rights


def judge(
    asked: Iterable[Need], rights_at: Callable[[str], Rights], around: Context
) -> tuple[Need, Decision] | None:
    """Returns the first need that is not met, and why; None if all are.

    ``rights_at`` gives the caller's rights at a resource, by its ARN; ``around`` is what is known
    of every request: time, address, TLS. What is known of this one goes before it.
    """
    for need in asked:
        decision = judge_one(need, rights_at(need.resource), around)
        if not decision.allowed:
            return need, decision
    return None


def judge_one(need: Need, rights: Rights, around: Context) -> Decision:
    facts = need.facts
    decision = decide(
        rights, AccessRequest(need.action, need.resource, {**around, **facts.context})
    )
    if decision.allowed and facts.unknown:
        for key, why in facts.unknown.items():
            if key in rights.keys:
                return Decision(
                    Outcome.IMPLICITLY_DENIED,
                    f"a policy asks for {key}, which cannot be told: {why}",
                )
    return decision
