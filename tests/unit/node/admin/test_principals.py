"""Commands on principals, on a log of one node: secrets once, races told, outcomes true."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from cluster.access.directories import LogPrincipals
from cluster.access.sealing import Seal
from cluster.agent import Agent
from cluster.log import commands as c
from cluster.log.sealed_principals import KEYS_MAX
from cluster.log.state import CommandResult, ReplicatedState
from node.admin.principals import PrincipalCommands
from node.admin.sealed_log import SealedLog
from paceline.errors import RequestError, Unavailable

READ = json.dumps({"Statement": {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}})


class Log:
    """Stands for the agent: commands are applied at once, after what ``before`` does."""

    def __init__(self) -> None:
        self.state = ReplicatedState()
        self.before: Callable[[], None] = lambda: None
        self.fails = False
        self.seen: list[bytes] = []

    async def commit(self, command: c.Command, timeout_s: float) -> CommandResult:
        self.before()
        data = c.encode(command)
        self.seen.append(data)
        result = self.state.apply(data)
        if self.fails:
            raise Unavailable("the replicated log did not answer: no leader")
        return result


class Setup:
    def __init__(self, log: Log | None = None, *keys: str) -> None:
        self.log = log or Log()
        seal = Seal(keys or ["k" * 32], "c")
        self.known = LogPrincipals(
            lambda: self.log.state.principals.by_name, seal, lambda name, why: None
        )
        self.commands = PrincipalCommands(
            SealedLog(cast(Agent, self.log), self.known, seal)
        ).commands

    async def __call__(self, verb: str, **query: str) -> dict[str, Any]:
        return await self.commands[f"/principals/{verb}"](query)


async def test_a_principal_from_its_beginning_to_its_end() -> None:
    ask = Setup()
    added = await ask("add", name="ann", tags='{"team": "blue"}')
    first = added["new_key"]
    assert len(first["access_key_id"]) == 20
    assert len(first["secret_access_key"]) == 40
    key = ask.known.key(first["access_key_id"])
    assert key is not None
    assert key.secret == first["secret_access_key"]
    rotated = await ask("rotate", name="ann")
    second = rotated["new_key"]["access_key_id"]
    assert [one["id"] for one in rotated["keys"]] == [first["access_key_id"], second]
    await ask("change", name="ann", key=second, disabled="true")
    disabled = ask.known.key(second)
    assert disabled is not None
    assert disabled.disabled
    await ask("remove", name="ann", key=first["access_key_id"])
    assert ask.known.key(first["access_key_id"]) is None
    third = (await ask("rotate", name="ann", now="true"))["new_key"]["access_key_id"]
    assert ask.known.key(second) is None
    told = await ask("change", name="ann", disabled="true", policies=json.dumps({"read": READ}))
    assert (told["disabled"], told["policies"]) == (True, {"read": READ})
    (listed,) = (await ask("list"))["principals"]
    assert [one["id"] for one in listed["keys"]] == [third]
    await ask("remove", name="ann")
    assert (await ask("list"))["principals"] == []


async def test_secrets_are_told_once_and_are_in_no_log() -> None:
    ask = Setup()
    secret = (await ask("add", name="ann"))["new_key"]["secret_access_key"]
    assert secret not in json.dumps(await ask("list"))
    assert secret not in json.dumps(await ask("change", name="ann", tags="{}"))
    assert not any(secret.encode() in data for data in ask.log.seen)
    assert secret.encode() not in ask.log.state.snapshot()


async def test_what_is_refused() -> None:
    ask = Setup()
    await ask("add", name="ann")
    unreadable = json.dumps({"p": READ.replace("Allow", "No")})
    for said, verb, query in [
        ("already", "add", {"name": "ann"}),
        ("missing", "add", {}),
        ("no name", "add", {"name": "a b"}),
        ("JSON object", "add", {"name": "bob", "tags": "[]"}),
        ("JSON object", "add", {"name": "bob", "tags": '{"a": 1}'}),
        (
            "Effect",
            "add",
            {"name": "bob", "policies": unreadable},
        ),
        ("no principal", "rotate", {"name": "bob"}),
        ("no principal", "remove", {"name": "bob"}),
        ("no access key", "remove", {"name": "ann", "key": "PLAK"}),
        ("no access key", "change", {"name": "ann", "key": "PLAK", "disabled": "true"}),
    ]:
        with pytest.raises(RequestError, match=said):
            await ask(verb, **query)
    for _ in range(KEYS_MAX - 1):
        await ask("rotate", name="ann")
    with pytest.raises(RequestError, match="access keys"):
        await ask("rotate", name="ann")


async def test_of_two_changes_at_once_one_is_refused() -> None:
    ask = Setup()
    await ask("add", name="ann")
    by_name = ask.log.state.principals.by_name

    def another() -> None:
        ann = by_name["ann"]
        ask.log.state.apply_command(
            c.PutPrincipal("ann", ann.revision, False, ann.key_ids, ann.sealed + b"x")
        )

    ask.log.before = another
    with pytest.raises(RequestError, match="meanwhile"):
        await ask("rotate", name="ann")


async def test_an_outcome_that_is_not_known_is_told_as_such() -> None:
    ask = Setup()
    ask.log.fails = True
    with pytest.raises(Unavailable, match="may still happen"):
        await ask("add", name="ann")
    ask.log.fails = False
    (found,) = (await ask("list"))["principals"]
    assert found["name"] == "ann"


async def test_a_principal_that_cannot_be_opened_is_told_and_can_be_removed() -> None:
    ask = Setup()
    ask.log.state.apply_command(c.PutPrincipal("old", 0, True, ("K",), b"another key's"))
    (found,) = (await ask("list"))["principals"]
    assert "does not have" in found["trouble"]
    with pytest.raises(RequestError, match="can open"):
        await ask("rotate", name="old")
    await ask("remove", name="old")
    assert (await ask("list"))["principals"] == []


async def test_after_resealing_the_former_key_is_needed_no_more() -> None:
    before = Setup()
    await before("add", name="ann")
    both = Setup(before.log, "n" * 32, "k" * 32)
    await both("add", name="bob")
    assert (await both("reseal"))["resealed"] == ["ann"]
    assert (await both("reseal"))["resealed"] == []
    after = Setup(before.log, "n" * 32)
    assert after.known.principal("ann") is not None
    assert after.known.principal("bob") is not None


async def test_without_a_key_file_there_are_none() -> None:
    commands = PrincipalCommands(SealedLog(cast(Agent, Log()), None, None)).commands
    for command in commands.values():
        with pytest.raises(RequestError, match="PRINCIPALS_KEY_FILE"):
            await command({"name": "ann"})


async def test_its_own_credentials_come_and_go_and_their_secret_is_never_told() -> None:
    ask, secret = Setup(), "w" * 40
    key = json.dumps({"key": {"id": "AKIA0000000000000000", "secret": secret}})
    added = await ask("add", name="ann", upstream=key)
    assert added["upstream"] == {"key": "AKIA0000000000000000"}
    assert secret not in str(added)
    assert not any(secret.encode() in data for data in ask.log.seen)
    changed = await ask("change", name="ann", upstream='{"profile": "orders"}')
    assert changed["upstream"] == {"profile": "orders"}
    assert (await ask("change", name="ann", tags="{}"))["upstream"] == {"profile": "orders"}
    assert (await ask("change", name="ann", upstream=""))["upstream"] is None


@pytest.mark.parametrize(
    "upstream", ["{", '{"key": {"id": "AKIA", "secret": "hush"}}', "[]", "[" * 100_000]
)
async def test_what_are_no_credentials_is_refused_without_telling_them(upstream: str) -> None:
    ask = Setup()
    with pytest.raises(RequestError) as refused:
        await ask("add", name="ann", upstream=upstream)
    assert "hush" not in str(refused.value)
