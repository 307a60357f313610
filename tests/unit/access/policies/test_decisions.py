"""Decisions: examples from AWS's documentation, and how policies of several kinds meet."""

import json
from typing import Any

import pytest

from paceline.access.policies.compiled import Compiled
from paceline.access.policies.context import (
    Caller,
    arn_of,
    context_of,
    role_of,
    whole_context,
)
from paceline.access.policies.decisions import AccessRequest, Decision, Outcome, decide, explain
from paceline.access.policies.policy import Kind, Policy
from paceline.access.policies.rights import Rights
from tests.unit.access.policies.documents import ACCOUNT, TABLE, USER

ADA = Caller("ada", USER, {"team": "red"})


def policy(*statements: dict[str, Any], kind: Kind = Kind.IDENTITY, name: str = "p") -> Policy:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return Policy.parse(text, name, kind)


def statement(effect: str = "Allow", action: Any = "dynamodb:*", **more: Any) -> dict[str, Any]:
    made = {"Effect": effect, "Action": action, "Resource": "*", **more}
    if "NotAction" in more:
        del made["Action"]
    if "NotResource" in more:
        del made["Resource"]
    return made


def ask(
    rights: Rights | Policy, action: str = "GetItem", resource: str = TABLE, **context: Any
) -> Decision:
    """Keys of the context are DynamoDB's, unless they have a service."""
    if isinstance(rights, Policy):
        rights = Rights(ADA, (rights,))
    named = {k if ":" in k else f"dynamodb:{k}": v for k, v in context.items()}
    return decide(rights, AccessRequest(f"dynamodb:{action}", resource, context_of(named)))


def test_without_policies_all_is_denied() -> None:
    decision = ask(Rights(ADA))
    assert decision.outcome is Outcome.IMPLICITLY_DENIED
    assert (decision.policy, decision.statement) == (None, None)
    assert "no policy of ada or of the table allows dynamodb:GetItem" in decision.why


def test_a_decision_names_its_statement() -> None:
    mine = policy(statement(action="dynamodb:PutItem"), statement(Sid="Reads"), name="readers")
    decision = ask(mine)
    assert decision == Decision(
        Outcome.ALLOWED,
        f"statement Reads of readers allows dynamodb:GetItem on {TABLE}",
        "readers",
        "Reads",
        Kind.IDENTITY,
    )
    assert ask(mine, "PutItem").statement == "#0"


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    allow, deny = policy(statement()), policy(statement("Deny"), name="no")
    named = policy(statement("Deny", Principal="*"), kind=Kind.TABLE, name="no")
    for rights in (
        Rights(ADA, (allow, deny)),
        Rights(ADA, (deny, allow)),
        Rights(ADA, (allow,), session=(allow, deny)),
        Rights(ADA, (allow,), table=(named,)),
    ):
        decision = ask(rights)
        assert decision.outcome is Outcome.EXPLICITLY_DENIED
        assert decision.policy == "no"


def test_a_session_has_what_both_allow() -> None:
    identity = policy(statement(action=["dynamodb:GetItem", "dynamodb:PutItem"]))
    session = policy(statement(action=["dynamodb:GetItem", "dynamodb:Query"]), kind=Kind.SESSION)
    rights = Rights(ADA, (identity,), session=(session,))
    allowed = [a for a in ("GetItem", "PutItem", "Query") if ask(rights, a).allowed]
    assert allowed == ["GetItem"]
    assert "no session policy allows" in ask(rights, "PutItem").why
    # Several session policies unite; none at all is no session, and an empty list allows nothing.
    more = policy(statement(action="dynamodb:PutItem"), kind=Kind.SESSION)
    assert ask(Rights(ADA, (identity,), session=(session, more)), "PutItem").allowed
    assert ask(Rights(ADA, (identity,), session=None), "PutItem").allowed
    assert not ask(Rights(ADA, (identity,), session=()), "GetItem").allowed


def test_a_table_policy_allows_those_whom_it_names() -> None:
    def table(principal: Any, effect: str = "Allow") -> Policy:
        return policy(statement(effect, Principal=principal), kind=Kind.TABLE)

    account = f"arn:aws:iam::{ACCOUNT}:root"
    for principal, allowed in [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": USER}, True),
        ({"AWS": [f"{USER}2", USER]}, True),
        ({"AWS": f"{USER}2"}, False),
        # An account is left to allow it by policies of its own.
        ({"AWS": account}, False),
        ({"AWS": ACCOUNT}, False),
    ]:
        assert ask(Rights(ADA, table=(table(principal),))).allowed is allowed
    allow = policy(statement())
    for principal, denied in [
        ("*", True),
        ({"AWS": USER}, True),
        ({"AWS": f"{USER}2"}, False),
        ({"AWS": account}, True),
        ({"AWS": ACCOUNT}, True),
        ({"AWS": "210987654321"}, False),
    ]:
        rights = Rights(ADA, (allow,), table=(table(principal, "Deny"),))
        assert ask(rights).allowed is not denied
    # A cluster's principals count as of the account that has the table.
    ours = Caller("ada", arn_of("ada"))
    assert not ask(Rights(ours, (allow,), table=(table({"AWS": ACCOUNT}, "Deny"),))).allowed
    # A session stays within its limits.
    limited = Rights(ADA, session=(), table=(table({"AWS": USER}),))
    assert not ask(limited).allowed


def test_who_calls_is_not_what_the_request_says() -> None:
    mine = policy(
        statement(Condition={"StringEquals": {"aws:username": "eve"}}),
        statement(Condition={"StringEquals": {"aws:PrincipalTag/admin": "yes"}}),
    )
    assert not ask(mine, **{"aws:username": "eve", "aws:principaltag/ADMIN": "yes"}).allowed


OWN_ITEMS = policy(
    statement(
        action=["dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"],
        Condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:username}"]}},
    )
)


def test_leading_keys_and_the_trap_of_the_empty_set() -> None:
    assert ask(OWN_ITEMS, LeadingKeys=["ada"]).allowed
    assert not ask(OWN_ITEMS, LeadingKeys=["bob"]).allowed
    assert not ask(OWN_ITEMS, LeadingKeys=["ada", "bob"]).allowed
    # A scan has no leading keys, and of none of them one can say that it is another's.
    assert ask(OWN_ITEMS, "Scan").allowed
    guarded = policy(
        statement(
            Condition={
                "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:username}"]},
                "Null": {"dynamodb:LeadingKeys": "false"},
            }
        )
    )
    assert ask(guarded, LeadingKeys=["ada"]).allowed
    assert not ask(guarded, "Scan").allowed


SOME_ATTRIBUTES = policy(
    statement(
        action=["dynamodb:GetItem", "dynamodb:UpdateItem"],
        Condition={
            "ForAllValues:StringEquals": {"dynamodb:Attributes": ["UserId", "Wins"]},
            "StringEqualsIfExists": {
                "dynamodb:Select": "SPECIFIC_ATTRIBUTES",
                "dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"],
            },
        },
    )
)


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        ({"Attributes": ["UserId", "Wins"], "Select": "SPECIFIC_ATTRIBUTES"}, True),
        ({"Attributes": ["UserId", "Wins", "Pay"], "Select": "SPECIFIC_ATTRIBUTES"}, False),
        ({"Attributes": ["UserId"], "Select": "ALL_ATTRIBUTES"}, False),
        ({"Attributes": ["UserId", "Wins"]}, True),
        ({"Attributes": ["Wins"], "ReturnValues": "UPDATED_NEW"}, True),
        ({"Attributes": ["Wins"], "ReturnValues": "ALL_NEW"}, False),
    ],
)
def test_attributes_and_what_is_selected(context: dict[str, Any], allowed: bool) -> None:
    assert ask(SOME_ATTRIBUTES, **context).allowed is allowed


def test_not_action_and_not_resource() -> None:
    # All but deleting, which stays denied by default.
    rights = Rights(ADA, (policy(statement(NotAction="dynamodb:Delete*")),))
    assert ask(rights).allowed
    assert ask(rights, "DeleteItem").outcome is Outcome.IMPLICITLY_DENIED
    # Deny all but reading: this allows nothing by itself.
    only = policy(statement("Deny", NotAction=["dynamodb:GetItem", "dynamodb:Query"]))
    assert ask(only).outcome is Outcome.IMPLICITLY_DENIED
    assert ask(only, "PutItem").outcome is Outcome.EXPLICITLY_DENIED
    assert ask(Rights(ADA, (only, policy(statement())))).allowed
    # Deny all tables but one.
    but_one = policy(statement("Deny", NotResource=[TABLE, f"{TABLE}/index/*"]))
    rights = Rights(ADA, (but_one, policy(statement())))
    assert ask(rights).allowed
    assert ask(rights, "Query", f"{TABLE}/index/byTeam").allowed
    assert not ask(rights, resource=TABLE.replace("Users", "Pay")).allowed


TRANSACTIONS = ["TransactWriteItems", "TransactGetItems"]


def test_transactions_only_or_never() -> None:
    condition = {"ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": TRANSACTIONS}}
    only = policy(statement(Condition=condition))
    assert ask(only, EnclosingOperation="TransactGetItems").allowed
    assert not ask(only).allowed
    never = policy(statement("Deny", Condition=condition), statement())
    assert not ask(never, EnclosingOperation="TransactGetItems").allowed
    assert ask(never).allowed


def test_full_table_scans_of_partiql() -> None:
    no_scans = policy(
        statement(
            "Deny", "dynamodb:PartiQLSelect", Condition={"Bool": {"dynamodb:FullTableScan": "true"}}
        ),
        statement(),
    )
    assert ask(no_scans, "PartiQLSelect", FullTableScan="false").allowed
    assert not ask(no_scans, "PartiQLSelect", FullTableScan="true").allowed


def test_deny_without_tls_and_from_elsewhere() -> None:
    mine = policy(
        statement("Deny", "*", Condition={"Bool": {"aws:SecureTransport": "false"}}),
        statement("Deny", "*", Condition={"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}),
        statement(),
    )
    inside = {"aws:SecureTransport": "true", "aws:SourceIp": "203.0.113.5"}
    assert ask(mine, **inside).allowed
    assert not ask(mine, **{**inside, "aws:SecureTransport": "false"}).allowed
    assert not ask(mine, **{**inside, "aws:SourceIp": "198.51.100.1"}).allowed
    # A negated operator holds for a key that is not there.
    assert not ask(mine, **{"aws:SecureTransport": "true"}).allowed


def test_each_statement_says_what_kept_it_from_applying() -> None:
    mine = policy(
        statement(action="dynamodb:PutItem"),
        statement(Resource=TABLE.replace("Users", "Pay")),
        statement(Condition={"StringEquals": {"dynamodb:Select": "COUNT"}}),
        statement(Condition={"StringEquals": {"aws:x": "y"}}),
        statement(),
    )
    table = policy(statement(Principal={"AWS": f"{USER}2"}), kind=Kind.TABLE, name="t")
    unread = Policy.read("{", "broken")
    request = AccessRequest(
        "dynamodb:GetItem", TABLE, context_of({"dynamodb:Select": "ALL_ATTRIBUTES"})
    )
    looked = list(explain(Rights(ADA, (mine, unread), table=(table,)), request))
    assert [each.obstacle for each in looked] == [
        "it is not about dynamodb:getitem",
        f"it is not about {TABLE}",
        "its condition StringEquals does not hold: dynamodb:select is 'ALL_ATTRIBUTES'",
        "its condition StringEquals does not hold: aws:x is not in the request",
        None,
        str(unread.error),
        f"it is not about {USER}",
    ]


SESSION = "arn:aws:sts::123456789012:assumed-role/reader/job"
ROLE = "arn:aws:iam::123456789012:role/reader"
JOB = Caller("role/reader", SESSION, userid="PLRO:job", role_arn=role_of(SESSION))


@pytest.mark.parametrize(
    ("arn", "role"),
    [
        (SESSION, ROLE),
        (ROLE, None),
        (USER, None),
        ("arn:aws:sts::123456789012:assumed-role/reader", None),
        ("arn:aws:sts::1:assumed-role/reader/job", None),
        ("arn:aws:sts::123456789012:assumed-role/a/b/c", None),
    ],
)
def test_a_sessions_arn_names_its_role(arn: str, role: str | None) -> None:
    assert role_of(arn) == role


@pytest.mark.parametrize(
    ("named", "effect", "outcome"),
    [
        (ROLE, "Allow", Outcome.ALLOWED),
        (SESSION, "Allow", Outcome.ALLOWED),
        (SESSION.replace("job", "other"), "Allow", Outcome.IMPLICITLY_DENIED),
        (USER, "Allow", Outcome.IMPLICITLY_DENIED),
        (ROLE, "Deny", Outcome.EXPLICITLY_DENIED),
        ("123456789012", "Deny", Outcome.EXPLICITLY_DENIED),
    ],
)
def test_a_table_names_a_role_or_one_of_its_sessions(
    named: str, effect: str, outcome: Outcome
) -> None:
    document = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": effect,
            "Action": "dynamodb:*",
            "Resource": "*",
            "Principal": {"AWS": named},
        },
    }
    table = Policy.parse(json.dumps(document), "table", Kind.TABLE)
    rights = Rights(JOB, (), None, (table,))
    request = AccessRequest("dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:123456789012:table/T")
    found = decide(rights, request)
    assert found.outcome is outcome
    assert (found.kind is Kind.TABLE) == (outcome is not Outcome.IMPLICITLY_DENIED)
    compiled = Compiled(rights, request.resource)
    assert compiled.allows(request.action, {}) == found.allowed


def test_conditions_see_a_session_as_its_role() -> None:
    assert JOB.context["aws:principalarn"] == (ROLE,)
    assert JOB.context["aws:userid"] == ("PLRO:job",)
    assert "aws:username" not in JOB.context
    # What a request says of its caller counts for nothing.
    told = context_of({"aws:SourceIdentity": "ann", "aws:TokenIssueTime": "2000-01-01T00:00:00Z"})
    assert "aws:sourceidentity" not in whole_context(JOB, told)
    assert "aws:tokenissuetime" not in whole_context(JOB, told)
