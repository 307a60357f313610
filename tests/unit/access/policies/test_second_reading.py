"""The evaluator and a slow, naive reading of the same rules agree."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.access.policies.compiled import Compiled, Verdict
from paceline.access.policies.conditions import read
from paceline.access.policies.context import Caller, Context
from paceline.access.policies.decisions import AccessRequest, Outcome, decide, explain
from paceline.access.policies.policy import Kind
from tests.support.examples import examples
from tests.unit.access.policies import naive
from tests.unit.access.policies.documents import (
    ACTIONS,
    RESOURCES,
    callers,
    conditions,
    contexts,
    rights,
    texts,
)

identities = st.lists(texts(), max_size=2)
sessions = st.none() | st.lists(texts(Kind.SESSION), max_size=1)
tables = st.lists(texts(Kind.TABLE), max_size=1)


def plain(caller: Caller) -> dict[str, Any]:
    return {"name": caller.name, "arn": caller.arn, "tags": dict(caller.tags)}


@settings(max_examples=examples(500))
@given(caller=callers, condition=conditions(), context=contexts, variables=st.booleans())
def test_both_readings_see_the_same_conditions_hold(
    caller: Caller, condition: dict[str, Any], context: Context, variables: bool
) -> None:
    known = {**context, **caller.context}
    plain_known = {key: list(values) for key, values in known.items()}
    statement = {"Action": "*", "Resource": "*", "Condition": condition}
    held = [one.holds(known) for one in read(condition, variables=variables, path="$")]
    assert all(held) is naive.applies(statement, variables, {}, "a:b", "*", plain_known)


@settings(max_examples=examples(200))
@given(
    caller=callers,
    identity=identities,
    session=sessions,
    table=tables,
    action=st.sampled_from(ACTIONS),
    resource=st.sampled_from(RESOURCES),
    context=contexts,
)
def test_both_readings_decide_the_same(
    caller: Caller,
    identity: list[str],
    session: list[str] | None,
    table: list[str],
    action: str,
    resource: str,
    context: Context,
) -> None:
    mine = rights(caller, identity, session, table)
    request = AccessRequest(action, resource, context)
    plain_context = {key: list(values) for key, values in context.items()}
    decision = decide(mine, request)
    assert decision.outcome.value == naive.decide(
        plain(caller), identity, session, table, action, resource, plain_context
    )
    looked = list(explain(mine, request))
    assert len(looked) == sum(len(policy.statements) for policy in mine.all())
    if decision.outcome is not Outcome.IMPLICITLY_DENIED:
        deciding = [
            each
            for each in looked
            if each.statement is not None
            and (each.policy.name, each.statement.name) == (decision.policy, decision.statement)
        ]
        assert [each.obstacle for each in deciding] == [None]


@settings(max_examples=examples(200))
@given(
    caller=callers,
    identity=identities,
    session=sessions,
    table=tables,
    resource=st.sampled_from(RESOURCES),
    asked=st.lists(contexts, min_size=3, max_size=10),
)
def test_a_verdict_holds_in_every_context(
    caller: Caller,
    identity: list[str],
    session: list[str] | None,
    table: list[str],
    resource: str,
    asked: list[Context],
) -> None:
    mine = rights(caller, identity, session, table)
    compiled = Compiled(mine, resource)
    for action in ACTIONS:
        verdict = compiled.verdict(action)
        assert compiled.verdict(action) is verdict
        for context in ({}, *asked):
            allowed = decide(mine, AccessRequest(action, resource, context)).allowed
            assert compiled.allows(action, context) is allowed
            if verdict is not Verdict.DEPENDS:
                assert allowed is (verdict is Verdict.ALWAYS)
