"""Commands on roles and on tables' policies, on a log of one node."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from cluster.access.directories import LogPrincipals
from cluster.access.sealing import Seal
from cluster.agent import Agent
from cluster.log import commands as c
from node.admin.principals import PrincipalCommands
from node.admin.roles import RoleCommands
from node.admin.sealed_log import SealedLog
from node.admin.table_policies import TablePolicyCommands
from paceline.errors import RequestError
from tests.unit.node.admin.test_principals import READ, Log

ANN = {"AWS": "arn:aws:iam::000000000000:user/ann"}
TRUST = json.dumps({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": ANN}})
SHARED = json.dumps(
    {
        "Statement": {
            "Effect": "Deny",
            "Action": "dynamodb:*",
            "Resource": "*",
            "Principal": "*",
        }
    }
)


class Setup:
    def __init__(self, log: Log | None = None, *keys: str) -> None:
        self.log = log or Log()
        seal = Seal(keys or ["k" * 32], "c")
        self.known = LogPrincipals(
            lambda: self.log.state.principals.by_name, seal, lambda name, why: None
        )
        sealed = SealedLog(cast(Agent, self.log), self.known, seal)
        self.commands = {
            **PrincipalCommands(sealed).commands,
            **RoleCommands(sealed).commands,
            **TablePolicyCommands(sealed).commands,
        }

    async def __call__(self, path: str, **query: str) -> dict[str, Any]:
        return await self.commands[f"/{path}"](query)


async def test_a_role_from_its_beginning_to_its_end() -> None:
    ask = Setup()
    added = await ask("roles/add", name="reader", trust=TRUST, policies=json.dumps({"r": READ}))
    assert added["arn"] == "arn:aws:iam::000000000000:role/reader"
    role = ask.known.role("reader")
    assert role is not None
    assert (role.id, role.session_max_s, len(role.policies)) == (added["id"], 3_600, 1)
    assert role.trust.statements[0].named is not None
    with pytest.raises(RequestError, match="there is a role reader already"):
        await ask("roles/add", name="reader", trust=TRUST)
    changed = await ask(
        "roles/change", name="reader", session_max_s="7200", tags='{"a": "b"}', disabled="true"
    )
    assert (changed["id"], changed["session_max_s"], changed["disabled"]) == (role.id, 7_200, True)
    assert changed["policies"] == {"r": READ}
    assert (await ask("roles/list"))["roles"] == [changed]
    assert (await ask("principals/list"))["principals"] == [], "a role is none"
    await ask("roles/remove", name="reader")
    assert ask.known.role("reader") is None
    again = await ask("roles/add", name="reader", trust=TRUST)
    assert again["id"] != role.id


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "name is missing"),
        ({"name": "r"}, "trust is missing"),
        ({"name": "a/b", "trust": TRUST}, "is no name"),
        ({"name": "r", "trust": READ}, "trust policy names resources"),
        ({"name": "r", "trust": "{"}, "trust"),
        ({"name": "r", "trust": TRUST, "policies": json.dumps({"p": TRUST})}, "neither Resource"),
        ({"name": "r", "trust": TRUST, "policies": "[]"}, "JSON object"),
        ({"name": "r", "trust": TRUST, "session_max_s": "60"}, "3600 to 43200"),
        ({"name": "r", "trust": TRUST, "session_max_s": "long"}, "invalid literal"),
    ],
)
async def test_what_is_no_role_is_refused(query: dict[str, str], said: str) -> None:
    ask = Setup()
    with pytest.raises(RequestError, match=said):
        await ask("roles/add", **query)
    assert ask.log.seen == []


async def test_a_table_gets_policies_and_loses_them() -> None:
    ask = Setup()
    assert ask.known.table_policies("Users") == ()
    told = await ask("table-policies/attach", table="Users", name="one", policy=SHARED)
    assert told == {"table": "Users", "policies": {"one": SHARED}}
    version = ask.known.version()
    await ask("table-policies/attach", table="Users", name="two", policy=SHARED)
    assert [one.name for one in ask.known.table_policies("Users")] == ["one", "two"]
    assert ask.known.version() > version, "what was compiled is looked at again"
    shown = await ask("table-policies/show")
    assert [list(one["policies"]) for one in shown["tables"]] == [["one", "two"]]
    assert (await ask("table-policies/show", table="Other"))["tables"] == [
        {"table": "Other", "policies": {}}
    ]
    await ask("table-policies/detach", table="Users", name="one")
    await ask("table-policies/detach", table="Users", name="two")
    assert ask.known.table_policies("Users") == ()
    assert ask.log.state.principals.by_name == {}
    with pytest.raises(RequestError, match="no policy two of Users"):
        await ask("table-policies/detach", table="Users", name="two")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"table": "a/b", "name": "p", "policy": SHARED}, "no name of a table"),
        ({"table": "Users", "name": "p/q", "policy": SHARED}, "no name of a policy"),
        ({"table": "Users", "name": "p", "policy": READ}, "names no principal"),
        ({"table": "Users", "name": "p"}, "policy is missing"),
    ],
)
async def test_what_is_no_tables_policy_is_refused(query: dict[str, str], said: str) -> None:
    ask = Setup()
    with pytest.raises(RequestError, match=said):
        await ask("table-policies/attach", **query)
    assert ask.log.seen == []


async def test_two_commands_at_once_do_not_undo_each_other() -> None:
    ask, other = Setup(), Setup()
    other.log.state = ask.log.state
    await ask("roles/add", name="reader", trust=TRUST)
    await ask("table-policies/attach", table="Users", name="one", policy=SHARED)

    def meanwhile(change: c.PutPrincipal) -> Callable[[], None]:
        def apply() -> None:
            ask.log.before = lambda: None
            assert ask.log.state.apply_command(change).ok

        return apply

    entries = ask.log.state.principals.by_name
    for name, path, query in (
        ("role/reader", "roles/change", {"name": "reader", "disabled": "true"}),
        (
            "table/Users",
            "table-policies/attach",
            {"table": "Users", "name": "two", "policy": SHARED},
        ),
    ):
        change = c.PutPrincipal(name, entries[name].revision, False, (), b"another's")
        ask.log.before = meanwhile(change)
        with pytest.raises(RequestError, match=f"the {name.replace('/', ' ')} was changed mean"):
            await ask(path, **query)


async def test_all_kinds_are_sealed_anew() -> None:
    before = Setup()
    await before("principals/add", name="ann")
    await before("roles/add", name="reader", trust=TRUST)
    await before("table-policies/attach", table="Users", name="one", policy=SHARED)
    both = Setup(before.log, "n" * 32, "k" * 32)
    done = await both("principals/reseal")
    assert done["resealed"] == ["ann", "role/reader", "table/Users"]
    after = Setup(before.log, "n" * 32)
    assert after.known.principal("ann") is not None
    assert after.known.role("reader") is not None
    assert len(after.known.table_policies("Users")) == 1


async def test_what_cannot_be_opened_is_told_and_not_overwritten() -> None:
    ask = Setup()
    for name in ("role/old", "table/Old"):
        revision = ask.log.state.principals.revision
        ask.log.state.apply_command(c.PutPrincipal(name, revision, True, (), b"another key's"))
    (found,) = (await ask("roles/list"))["roles"]
    assert "does not have" in found["trouble"]
    with pytest.raises(RequestError, match="there is a role old already"):
        await ask("roles/add", name="old", trust=TRUST)
    with pytest.raises(RequestError, match="does not have"):
        await ask("table-policies/attach", table="Old", name="one", policy=SHARED)
    await ask("roles/remove", name="old")
    assert list(ask.log.state.principals.by_name) == ["table/Old"]


async def test_one_kind_is_not_found_as_another() -> None:
    ask = Setup()
    await ask("principals/add", name="reader")
    await ask("roles/add", name="reader", trust=TRUST)
    with pytest.raises(RequestError, match="no principal role/reader"):
        await ask("principals/remove", name="role/reader")
    with pytest.raises(RequestError, match="no principal role/reader"):
        await ask("principals/rotate", name="role/reader")
    await ask("principals/remove", name="reader")
    assert ask.known.role("reader") is not None
