"""Where a principal's own credentials come from: read strictly, told without secrets."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.access import role_records
from cluster.access.fields import json_of
from cluster.access.records import PrincipalRecord, as_json, from_bytes, from_json, to_bytes
from cluster.access.role_records import RoleRecord
from cluster.access.upstream import (
    Profile,
    Role,
    Source,
    StaticKey,
    session_name_of,
    source_of,
    told,
)
from cluster.access.upstream import as_json as source_as_json

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = StaticKey("AKIA0000000000000000", SECRET)
ROLE = Role("arn:aws:iam::123456789012:role/team/orders")
ROLE_ID = "PLRO0000000000000000"
SOURCES: list[Source] = [KEY, ROLE, Profile("orders")]


@pytest.mark.parametrize("source", SOURCES)
def test_they_come_back_as_they_were_and_are_shown_without_secrets(source: Source) -> None:
    assert source_of(source_as_json(source), "ann") == source
    record = PrincipalRecord("ann", upstream=source)
    assert from_bytes(to_bytes(record)) == record
    assert record.as_principal(7).upstream == source
    assert record.as_principal(7).revision == 7
    assert SECRET not in f"{source!r} {record!r} {record.as_principal()!r} {told(source)}"


@pytest.mark.parametrize("source", SOURCES)
def test_roles_have_them_too(source: Source) -> None:
    record = RoleRecord("reports", ROLE_ID, "{}", upstream=source)
    assert role_records.from_json(json_of(role_records.to_bytes(record))) == record
    assert (record.as_role(7).upstream, record.as_role(7).revision) == (source, 7)
    assert SECRET not in f"{record!r} {record.as_role()!r}"


def test_a_record_without_one_is_as_it_was_before_there_were_any() -> None:
    assert "upstream" not in as_json(PrincipalRecord("ann"))
    assert "upstream" not in role_records.as_json(RoleRecord("reports", ROLE_ID, "{}"))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "one of key"),
        ({}, "one of key"),
        ({"profile": "a", "role_arn": ROLE.arn}, "one of key"),
        ({"rolearn": ROLE.arn}, "has no 'rolearn'"),
        ({"profile": 7}, "a text expected"),
        ({"profile": ""}, "no name of a profile"),
        ({"profile": "a]\nb"}, "no name of a profile"),
        ({"role_arn": "arn:aws:iam::123456789012:user/ann"}, "no role's ARN"),
        ({"role_arn": "arn:aws:iam::12345678901:role/ann"}, "no role's ARN"),
        ({"role_arn": ROLE.arn + "\n"}, "no role's ARN"),
        ({"key": "AKIA"}, "an id and a secret"),
        ({"key": {"id": KEY.id}}, "an id and a secret"),
        ({"key": {"id": "short", "secret": SECRET}}, "16 to 128"),
        ({"key": {"id": KEY.id, "secret": SECRET + "\n"}}, "none of AWS's"),
        ({"key": {"id": KEY.id, "secret": SECRET, "token": "t"}}, "an id and a secret"),
    ],
)
def test_what_is_none_is_refused_with_what_is_wrong(found: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        from_json({"name": "ann", "upstream": found})
    assert SECRET not in str(refused.value)


def test_the_name_of_a_roles_session_is_the_principals() -> None:
    with pytest.raises(ValueError, match="2 to 64 characters"):
        source_of({"role_arn": ROLE.arn}, "a")
    source_of({"role_arn": ROLE.arn}, "role/" + "a" * 59)
    with pytest.raises(ValueError, match="2 to 64 characters"):
        source_of({"role_arn": ROLE.arn}, "role/" + "a" * 60)
    assert (session_name_of("ann"), session_name_of("role/ann")) == ("ann", "role=ann")
    assert ROLE.account == "123456789012"
