"""Policies of tables count for those whom they name, and AWS's words say which policy denied."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cluster.access.calling import Call, call
from cluster.access.principals import AccessKey, Principal
from cluster.access.roles import role_arn, session_arn
from cluster.access.signatures.verification import Verified
from node.access.authorizer import CALLERS_MAX, RESOURCE_MAX, Authorizer
from paceline.access.policies.context import arn_of
from paceline.access.policies.policy import Kind, Policy
from paceline.errors import RequestError
from tests.unit.node.access.asked import ADA, PLACE, TABLES, USERS

ANN = arn_of("ann")


def document(effect: str, action: str, **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def own(effect: str, action: str) -> Policy:
    return Policy.parse(document(effect, action), "own")


def of_table(effect: str, action: str, who: object, **more: Any) -> Policy:
    principal = who if who == "*" else {"AWS": who}
    return Policy.parse(document(effect, action, Principal=principal, **more), "table", Kind.TABLE)


class World:
    def __init__(self) -> None:
        self.tables: dict[str, tuple[Policy, ...]] = {}
        self.authorizer = Authorizer(
            PLACE,
            TABLES.get,
            lambda: 0.0,
            policies_of=lambda name: self.tables.get(name, ()),
            tables_have_policies=lambda: bool(self.tables),
        )
        self.version = 1

    def verified(self, principal: Principal, **more: Any) -> Verified:
        key = AccessKey("PLAK0000000000000001", "s" * 40, principal.name, **more)
        return Verified(principal, key, 0, (), 300.0, self.version)

    def asks(self, principal: Principal, operation: str, params: Any, **more: Any) -> str:
        """Why not; "" if it may."""
        token = call.set(Call(self.verified(principal, **more)))
        try:
            self.authorizer.check(operation, params, asked_for=True)
        except RequestError as error:
            return error.message
        finally:
            call.reset(token)
        return ""


GET = {"TableName": "Users", "Key": ADA}
NOBODY = Principal("ann", ANN)
SAID = f"User: {ANN} is not authorized to perform: dynamodb:GetItem on resource: {USERS}"
NOT_ALLOWED = f"{SAID} because no identity-based policy allows the dynamodb:GetItem action"


def test_it_allows_whom_it_names_and_nobody_else() -> None:
    world = World()
    world.tables["Users"] = (of_table("Allow", "dynamodb:GetItem", ANN),)
    assert world.asks(NOBODY, "GetItem", GET) == ""
    assert world.authorizer.may_get(world.verified(NOBODY), b"Users")
    assert world.asks(NOBODY, "DeleteItem", GET)
    other = Principal("bob", arn_of("bob"))
    world.version = 2
    assert world.asks(other, "GetItem", GET) == NOT_ALLOWED.replace("user/ann", "user/bob")


def test_who_may_do_something_by_a_table_alone_may_do_what_names_none() -> None:
    world = World()
    token = call.set(Call(world.verified(NOBODY)))
    try:
        with pytest.raises(RequestError, match="no policy allows any action"):
            world.authorizer.check_any("DefineAttributeListId")
        world.tables["Users"] = (of_table("Allow", "dynamodb:GetItem", ANN),)
        world.authorizer.check_any("DefineAttributeListId")
    finally:
        call.reset(token)


def test_it_is_about_its_own_table_alone() -> None:
    world = World()
    world.tables["Plays"] = (of_table("Allow", "dynamodb:*", "*"),)
    assert world.asks(NOBODY, "GetItem", GET) == NOT_ALLOWED
    elsewhere = USERS.replace("us-east-1", "eu-west-1")
    world.tables["Users"] = (of_table("Allow", "dynamodb:*", "*"),)
    world.version = 2
    assert world.asks(NOBODY, "GetItem", GET) == ""
    assert elsewhere in world.asks(NOBODY, "GetItem", {**GET, "TableName": elsewhere})
    assert world.asks(NOBODY, "ListTables", {}) != ""


def test_an_index_is_a_part_of_its_table() -> None:
    world = World()
    world.tables["Users"] = (
        of_table("Allow", "dynamodb:Query", ANN, Resource=f"{USERS}/index/byTeam"),
    )
    query = {
        "TableName": "Users",
        "KeyConditionExpression": "team = :t",
        "ExpressionAttributeValues": {":t": {"S": "a"}},
    }
    assert world.asks(NOBODY, "Query", {**query, "IndexName": "byTeam"}) == ""
    assert world.asks(NOBODY, "Query", query)


@pytest.mark.parametrize(
    ("principal", "more", "words"),
    [
        (
            replace(NOBODY, policies=(own("Allow", "*"),)),
            {},
            "with an explicit deny in a resource-based policy",
        ),
        (
            replace(NOBODY, policies=(own("Deny", "*"),)),
            {},
            "with an explicit deny in an identity-based policy",
        ),
    ],
)
def test_a_deny_says_where_it_stands(principal: Principal, more: Any, words: str) -> None:
    world = World()
    world.tables["Users"] = (of_table("Deny", "dynamodb:GetItem", "*"),)
    assert world.asks(principal, "GetItem", GET, **more) == f"{SAID} {words}"
    assert not world.authorizer.may_get(world.verified(principal), b"Users")


def test_session_policies_narrow_what_a_table_allows() -> None:
    world = World()
    role = Principal(
        "reader",
        session_arn("reader", "job"),
        userid="PLRO:job",
        role_arn=role_arn("reader"),
    )
    said = SAID.replace(ANN, role.arn)
    world.tables["Users"] = (of_table("Allow", "dynamodb:GetItem", role_arn("reader")),)
    assert world.asks(role, "GetItem", GET) == ""
    world.version = 2
    narrow = Policy.parse(document("Allow", "dynamodb:Query"), "s", Kind.SESSION)
    assert world.asks(role, "GetItem", GET, session_policies=(narrow,)) == (
        f"{said} because no session policy allows the dynamodb:GetItem action"
    )
    world.version = 3
    denying = Policy.parse(document("Deny", "dynamodb:*"), "s", Kind.SESSION)
    assert world.asks(role, "GetItem", GET, session_policies=(denying,)) == (
        f"{said} with an explicit deny in a session policy"
    )


def test_a_policy_that_cannot_be_read_denies_everything() -> None:
    world = World()
    world.tables["Users"] = (Policy.read("{", "broken", Kind.TABLE),)
    allowed = replace(NOBODY, policies=(own("Allow", "*"),))
    assert world.asks(allowed, "GetItem", GET).endswith("in a resource-based policy")


def test_a_change_counts_with_the_version_of_the_principals() -> None:
    world = World()
    assert world.asks(NOBODY, "GetItem", GET) == NOT_ALLOWED
    world.tables["Users"] = (of_table("Allow", "dynamodb:GetItem", ANN),)
    world.version = 2
    assert world.asks(NOBODY, "GetItem", GET) == ""
    world.tables.clear()
    world.version = 3
    assert world.asks(NOBODY, "GetItem", GET) == NOT_ALLOWED


def test_resources_as_long_as_they_were_sent_are_not_kept() -> None:
    world = World()
    for number in range(5):
        index = f"{number}" + "i" * 1_000_000
        params = {"TableName": "Users", "IndexName": index}
        assert "not authorized" in world.asks(NOBODY, "Query", params)
    assert world.asks(NOBODY, "GetItem", GET) == NOT_ALLOWED
    kept = world.authorizer._kept.get("PLAK0000000000000001")
    assert kept is not None
    assert list(kept.compiled) == [USERS]
    assert len(USERS) < RESOURCE_MAX


def test_callers_are_forgotten_one_by_one() -> None:
    """What is looked up for one is kept, however many others come meanwhile."""
    world = World()
    looked: list[str] = []

    def policies_of(name: str) -> tuple[Policy, ...]:
        looked.append(name)
        return ()

    world.authorizer = Authorizer(PLACE, TABLES.get, lambda: 0.0, policies_of=policies_of)

    def gets(name: str) -> int:
        """How many tables' policies had to be looked at."""
        looked.clear()
        principal = Principal(name, arn_of(name), {}, (own("Allow", "dynamodb:GetItem"),))
        key = AccessKey(f"PLAK{name}", "s" * 40, name)
        assert world.authorizer.may_get(Verified(principal, key, 0, (), 300.0, 1), b"Users")
        return len(looked)

    assert gets("ann") == 1
    for number in range(2 * CALLERS_MAX):
        assert gets(f"u{number}") == 1
        if number % 100 == 0:
            assert gets("ann") == 0
    assert gets(f"u{2 * CALLERS_MAX - 10}") == 0
    assert gets("u0") == 1


def test_what_may_be_read_whole_is_noted_with_who_asks_and_only_that() -> None:
    world = World()
    world.tables["Users"] = (of_table("Allow", "dynamodb:GetItem", ANN),)
    by = world.verified(NOBODY)
    assert world.authorizer.may_get(by, b"Users")
    assert not world.authorizer.may_get(by, b"Orders")
    assert by.may_get == {b"Users"}
    assert world.verified(NOBODY).may_get == set()
    assert replace(by).may_get == set(), "another one, of whom nothing was decided"
