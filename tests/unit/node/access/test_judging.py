"""Needs and rights together: from a request to a refusal."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.access.judging import judge
from node.access.need import CannotJudge
from node.access.needs import JUDGED, needs
from paceline.access.policies.compiled import Compiled
from paceline.access.policies.context import Caller, arn_of, context_of
from paceline.access.policies.decisions import Outcome
from paceline.access.policies.policy import Policy
from paceline.access.policies.rights import Rights
from tests.unit.node.access.asked import PLACE, TABLES, USERS, asked

AROUND = context_of({"aws:SourceIp": "203.0.113.5"})


def rights(*statements: dict[str, Any]) -> Rights:
    whole = [{"Effect": "Allow", "Action": "*", "Resource": "*", **one} for one in statements]
    text = json.dumps({"Version": "2012-10-17", "Statement": whole})
    return Rights(Caller("ada", arn_of("ada")), (Policy.parse(text, "p"),))


def refused(mine: Rights, operation: str, **params: Any) -> str | None:
    """Why, or None if it is allowed."""
    found = judge(asked(operation, **params), lambda resource: Compiled(mine, resource), AROUND)
    return None if found is None else found[1].why


OWN = rights(
    {
        "Condition": {
            "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:username}"]},
            "IpAddress": {"aws:SourceIp": "203.0.113.0/24"},
        }
    }
)


def test_own_items_alone() -> None:
    ada, bob = {"id": {"S": "ada"}}, {"id": {"S": "bob"}}
    assert refused(OWN, "GetItem", TableName="Users", Key=ada) is None
    assert refused(OWN, "GetItem", TableName="Users", Key=bob) is not None
    keys = {"Users": {"Keys": [ada, bob]}}
    assert refused(OWN, "BatchGetItem", RequestItems=keys) is not None
    for text in ("SELECT * FROM Users WHERE id = 'ada'", "DELETE FROM Users WHERE id = 'ada'"):
        assert refused(OWN, "ExecuteStatement", Statement=text) is None
        assert refused(OWN, "ExecuteStatement", Statement=text.replace("ada", "b")) is not None
    entries = [{"Delete": {"TableName": "Users", "Key": key}} for key in (ada, bob)]
    assert refused(OWN, "TransactWriteItems", TransactItems=entries[:1]) is None
    assert refused(OWN, "TransactWriteItems", TransactItems=entries) is not None


def test_what_is_unknown_refuses_only_those_whose_policies_ask_for_it() -> None:
    text = "SELECT * FROM Users WHERE id = 'ada' OR id = 'bob'"
    why = refused(OWN, "ExecuteStatement", Statement=text)
    assert why is not None
    assert "dynamodb:leadingkeys, which cannot be told" in why
    assert refused(rights({}), "ExecuteStatement", Statement=text) is None
    # A Deny that asks for it, too: it could be about this request.
    deny = {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": "secret"}}
    denying = rights({}, {"Effect": "Deny", "Condition": deny})
    assert refused(denying, "ExecuteStatement", Statement=text) is not None
    assert refused(denying, "GetItem", TableName="Others", Key={"id": {"S": "x"}}) is not None


def test_attributes_may_not_be_asked_about_either() -> None:
    public = rights(
        {
            "Condition": {
                "ForAllValues:StringEquals": {"dynamodb:Attributes": ["id", "name"]},
                "StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"},
            }
        }
    )
    shown: dict[str, Any] = {"TableName": "Users", "ProjectionExpression": "id, #n"}
    shown["ExpressionAttributeNames"] = {"#n": "name"}
    assert refused(public, "Scan", **shown) is None
    assert refused(public, "Scan", TableName="Users") is not None
    hidden = {"FilterExpression": "pay > :p", "ExpressionAttributeValues": {":p": {"N": "1"}}}
    assert refused(public, "Scan", **shown, **hidden) is not None
    select = "SELECT id FROM Users WHERE id = 'ada'"
    assert refused(public, "ExecuteStatement", Statement=select) is None
    assert refused(public, "ExecuteStatement", Statement=f"{select} AND pay > 5") is not None


def test_a_refusal_names_what_decided() -> None:
    mine = rights({}, {"Sid": "NoScans", "Effect": "Deny", "Action": "dynamodb:Scan"})
    found = judge(asked("Scan", TableName="Users"), lambda arn: Compiled(mine, arn), AROUND)
    assert found is not None
    need, decision = found
    assert (need.action, decision.statement) == ("dynamodb:Scan", "NoScans")
    assert decision.outcome is Outcome.EXPLICITLY_DENIED


def test_all_needs_have_to_be_met() -> None:
    one = rights({"Resource": USERS})
    keys = {"Users": {"Keys": [{"id": {"S": "a"}}]}, "Plays": {"Keys": [{"game": {"N": "1"}}]}}
    found = judge(
        asked("BatchGetItem", RequestItems=keys), lambda resource: Compiled(one, resource), AROUND
    )
    assert found is not None
    assert found[0].resource.endswith("table/Plays")
    assert refused(one, "Query", TableName="Users", IndexName="byTeam") is not None


texts = st.text(max_size=4) | st.sampled_from(["Users", "id", "a = :a", "*", USERS, "NONE"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=3) | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            texts | st.sampled_from(["Keys", "Get", "Put", "TableName", "S", "N", "Statement"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)
PARAMETERS = [
    *("TableName", "Key", "Item", "RequestItems", "TransactItems", "Statement", "Statements"),
    *("TransactStatements", "Parameters", "IndexName", "KeyConditionExpression", "KeyConditions"),
    *("ProjectionExpression", "FilterExpression", "UpdateExpression", "AttributesToGet", "Select"),
    *("ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValues", "ResourceArn"),
    *("Expected", "Tags", "TagKeys", "ShardIterator", "StreamArn", "TableCreationParameters"),
    *("GlobalTableName", "TargetTableName", "ReturnValuesOnConditionCheckFailure", "Odd"),
]


@given(
    operation=st.sampled_from(sorted(JUDGED)),
    params=st.dictionaries(st.sampled_from(PARAMETERS), anything, max_size=6),
)
def test_whatever_is_asked_something_is_needed(operation: str, params: dict[str, Any]) -> None:
    try:
        found = needs(operation, params, PLACE, TABLES.get)
    except CannotJudge:
        return
    assert found
    for need in found:
        assert need.action.startswith("dynamodb:")
        facts = need.facts
        for values in facts.context.values():
            assert all(isinstance(value, str) for value in values)
    nobody = Rights(Caller("x", arn_of("x")))
    assert judge(found, lambda resource: Compiled(nobody, resource), AROUND) is not None
    # Who may do all in any case is not asked what it is.
    everything = rights({})
    assert judge(found, lambda resource: Compiled(everything, resource), AROUND) is None
