"""What is said of an action before the context is known (test_second_reading has the property)."""

import json
from typing import Any

import pytest

from paceline.access.policies.compiled import ACTIONS_MAX, Compiled, Verdict
from paceline.access.policies.context import Caller
from paceline.access.policies.policy import Kind, Policy
from paceline.access.policies.rights import Rights
from tests.unit.access.policies.documents import TABLE, USER

ADA = Caller("ada", USER, {"team": "red"})


def policy(*statements: dict[str, Any], kind: Kind = Kind.IDENTITY) -> Policy:
    whole = [{"Effect": "Allow", "Action": "*", "Resource": "*", **one} for one in statements]
    return Policy.parse(json.dumps({"Version": "2012-10-17", "Statement": whole}), "p", kind)


IN_OFFICE = {"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}
RED = {"Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}}
BLUE = {"Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue"}}}
OWN = {"Condition": {"StringEquals": {"aws:PrincipalTag/team": "${aws:SourceIp}"}}}


def named(table: str) -> str:
    return TABLE.replace("Users", table)


ANYBODY = {"Principal": "*"}


@pytest.mark.parametrize(
    ("statements", "verdict"),
    [
        ([], Verdict.NEVER),
        ([{}], Verdict.ALWAYS),
        ([{"Action": "dynamodb:PutItem"}], Verdict.NEVER),
        ([IN_OFFICE], Verdict.DEPENDS),
        ([IN_OFFICE, {}], Verdict.ALWAYS),
        ([{}, {"Effect": "Deny", **IN_OFFICE}], Verdict.DEPENDS),
        ([{}, {"Effect": "Deny"}], Verdict.NEVER),
        ([IN_OFFICE, {"Effect": "Deny"}], Verdict.NEVER),
        ([{"Effect": "Deny", **IN_OFFICE}], Verdict.NEVER),
        # What is known of the caller is known before each request.
        ([RED], Verdict.ALWAYS),
        ([BLUE], Verdict.NEVER),
        ([OWN], Verdict.DEPENDS),
        ([{}, {"Effect": "Deny", **BLUE}], Verdict.ALWAYS),
        ([{"Condition": {**IN_OFFICE["Condition"], **BLUE["Condition"]}}], Verdict.NEVER),
        ([{"Resource": named("${aws:username}")}], Verdict.NEVER),
        ([{"Resource": named("${aws:PrincipalTag/none, 'Users'}")}], Verdict.ALWAYS),
        ([{"Resource": named("${aws:RequestTag/x, 'Users'}")}], Verdict.DEPENDS),
        ([{}, {"Effect": "Deny", "Resource": named("${aws:RequestTag/x}")}], Verdict.DEPENDS),
    ],
)
def test_verdicts(statements: list[dict[str, Any]], verdict: Verdict) -> None:
    mine = (policy(*statements),) if statements else ()
    assert Compiled(Rights(ADA, mine), TABLE).verdict("dynamodb:GetItem") is verdict


@pytest.mark.parametrize(
    ("session", "table", "verdict"),
    [
        (None, {**ANYBODY}, Verdict.ALWAYS),
        (None, {**ANYBODY, **IN_OFFICE}, Verdict.DEPENDS),
        ({}, {**ANYBODY}, Verdict.ALWAYS),
        (IN_OFFICE, {**ANYBODY}, Verdict.DEPENDS),
        (BLUE, {**ANYBODY}, Verdict.NEVER),
        ({"Effect": "Deny", **IN_OFFICE}, {**ANYBODY}, Verdict.NEVER),
    ],
)
def test_sessions_and_tables(
    session: dict[str, Any] | None, table: dict[str, Any], verdict: Verdict
) -> None:
    rights = Rights(
        ADA,
        session=None if session is None else (policy(session, kind=Kind.SESSION),),
        table=(policy(table, kind=Kind.TABLE),),
    )
    assert Compiled(rights, TABLE).verdict("dynamodb:GetItem") is verdict


def test_an_unreadable_policy_is_never() -> None:
    rights = Rights(ADA, (policy({}), Policy.read("", "broken")))
    assert Compiled(rights, TABLE).verdict("dynamodb:GetItem") is Verdict.NEVER


def test_actions_that_callers_make_up_are_not_kept() -> None:
    compiled = Compiled(Rights(ADA, (policy({}),)), TABLE)
    for number in range(ACTIONS_MAX + 50):
        assert compiled.verdict(f"dynamodb:Made{number}") is Verdict.ALWAYS
    assert len(compiled._verdicts) == ACTIONS_MAX
