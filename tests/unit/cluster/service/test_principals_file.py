"""Principals of a file: what it may say, and what happens while it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.service.principals_file import PrincipalsFile, records_of
from paceline.errors import ConfigError

ANN = """\
principals:
  - name: ann
    tags: {team: blue}
    keys:
      - {id: PLAK0000000000000001, secret: ssssssssssssssssssssssssssssssssssssssss}
    policies:
      read:
        Version: "2012-10-17"
        Statement: {Effect: Allow, Action: "dynamodb:GetItem", Resource: "*"}
      text: '{"Version": "2012-10-17"}'
"""


def test_what_it_may_say() -> None:
    (ann,) = records_of(ANN).principals
    assert ann.name == "ann"
    assert ann.key_ids == ("PLAK0000000000000001",)
    assert ann.policies["read"].startswith('{"Version": "2012-10-17", "Statement": {"Effect"')
    assert ann.policies["text"] == '{"Version": "2012-10-17"}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "map with a list"),
        ("principals: 7", "no list"),
        ("principal: []", "map with a list"),
        ("principals: [7]", "a map expected"),
        ("principals: [{name: a, disabled: true, disabled: false}]", "'disabled' is there twice"),
        ("principals: [&a {name: a}, *a]", "aliases"),
        ("principals: !!python/object:os.system {}", "no YAML"),
        ("principals: [{name: 2026-01-01}]", "text expected"),
        ("a: [" * 2_000, "no YAML"),
        ("[" * 100_000, "no YAML"),
    ],
)
def test_what_it_may_not(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        records_of(text)


@given(st.text(max_size=60))
def test_any_text_is_principals_or_a_value_error(text: str) -> None:
    try:
        records_of(text)
    except ValueError:
        return


def replace_file(path: Path, text: str) -> None:
    """As an editor does, so that it is another file."""
    other = path.with_suffix(".new")
    other.write_text(text)
    os.replace(other, path)


async def test_it_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    path.write_text(ANN)
    file = PrincipalsFile(path)
    assert file.key("PLAK0000000000000001") is not None
    version = file.version()
    await file.look()
    assert file.version() == version
    replace_file(path, ANN.replace("0001", "0002"))
    await file.look()
    assert file.key("PLAK0000000000000001") is None
    assert file.key("PLAK0000000000000002") is not None
    assert file.version() > version


async def test_a_file_that_is_spoilt_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    path.write_text(ANN)
    file = PrincipalsFile(path)
    for text in (ANN[:60], "", ANN + ANN.removeprefix("principals:\n")):
        replace_file(path, text)
        await file.look()
        assert file.principal("ann") is not None
    path.unlink()
    await file.look()
    assert file.principal("ann") is not None
    path.write_text(ANN.replace("name: ann", "name: bob"))
    await file.look()
    assert file.principal("ann") is None
    assert file.principal("bob") is not None


def test_without_a_file_that_can_be_read_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        PrincipalsFile(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        PrincipalsFile(tmp_path / "bad.yaml")


ROLES = (
    ANN
    + """\
roles:
  - role: reader
    id: PLRO0123456789ABCDEF
    session_max_s: 7200
    tags: {team: blue}
    trust:
      Version: "2012-10-17"
      Statement:
        Effect: Allow
        Action: sts:AssumeRole
        Principal: {AWS: "arn:aws:iam::000000000000:root"}
    policies:
      read: {Statement: {Effect: Allow, Action: "dynamodb:GetItem", Resource: "*"}}
tables:
  - table: Users
    policies:
      all: {Statement: {Effect: Deny, Principal: "*", Action: "*", Resource: "*"}}
"""
)


def test_it_may_have_roles_and_policies_of_tables(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(ROLES)
    file = PrincipalsFile(tmp_path / "p.yaml")
    role = file.role("reader")
    assert role is not None
    assert (role.session_max_s, role.tags, role.disabled) == (7_200, {"team": "blue"}, False)
    assert role.id == "PLRO0123456789ABCDEF"
    assert role.trust.error is None
    assert [one.error for one in role.policies] == [None]
    (policy,) = file.table_policies("Users")
    assert policy.error is None
    assert file.table_policies("Other") == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("role: reader", "name: reader", "a role has no 'name'"),
        ("role: reader", "role: a/b", "is no name"),
        ("session_max_s: 7200", "session_max_s: soon", "whole number"),
        ("session_max_s: 7200", "session_max_s: true", "whole number"),
        ("session_max_s: 7200", "session_max_s: 86400", "3600 to 43200"),
        ("id: PLRO0123456789ABCDEF", "id: x", "is no id of a role"),
        ("    id: PLRO0123456789ABCDEF\n", "", "id of reader: 16 to 32"),
        ("table: Users", "table: a/b", "no name of a table"),
        ("table: Users", "name: Users", "a table has no 'name'"),
        ("tables:\n", "tables:\n  - table: Users\n", "same name"),
        ("PLAK0000000000000001", "PLAS0000000000000001", "only temporary keys"),
    ],
)
def test_what_roles_and_tables_may_not_be(old: str, new: str, said: str) -> None:
    assert old in ROLES
    with pytest.raises(ValueError, match=said):
        records_of(ROLES.replace(old, new))
