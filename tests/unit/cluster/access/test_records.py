"""What is kept of a principal: what it may have, and its bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access.fields import POLICIES_MAX, TAGS_MAX
from cluster.access.records import (
    KeyRecord,
    PrincipalRecord,
    as_json,
    from_bytes,
    from_json,
    to_bytes,
)
from cluster.log.sealed_principals import KEYS_MAX

KEY = KeyRecord("PLAK0000000000000001", "s" * 40, created="2026-01-31T12:00:00Z")
ANN = PrincipalRecord("ann", (KEY,), {"read": "{}"}, {"team": "blue"})


@given(
    st.builds(
        PrincipalRecord,
        st.from_regex(r"\A[A-Za-z0-9+=,.@_-]{1,64}\Z"),
        st.lists(
            st.builds(
                KeyRecord,
                st.from_regex(r"\A[A-Z0-9]{16,20}\Z"),
                st.text(st.characters(codec="ascii"), min_size=16, max_size=128),
                st.booleans(),
                st.text(max_size=30),
            ),
            max_size=3,
            unique_by=lambda key: key.id,
        ).map(tuple),
        st.dictionaries(st.from_regex(r"\A[a-z]{1,9}\Z"), st.text(max_size=50), max_size=3),
        st.dictionaries(st.text(min_size=1, max_size=128), st.text(max_size=256), max_size=3),
        st.booleans(),
    )
)
def test_round_trip(record: PrincipalRecord) -> None:
    assert from_bytes(to_bytes(record)) == record


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_other_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_bytes(data)


def test_deep_bytes_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested"):
        from_bytes(b"[" * 100_000)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "no name"),
        ({"name": "a b"}, "no name"),
        ({"name": 7}, "text expected"),
        ({"disabled": 0}, "true or false"),
        ({"dissabled": True}, "has no 'dissabled'"),
        ({"keys": {}}, "list expected"),
        ({"keys": [{"id": "short", "secret": "s" * 40}]}, "no access key id"),
        ({"keys": [{"id": "P" * 20, "secret": "short"}]}, "16 to 128 characters"),
        ({"keys": [{"id": "P" * 20, "secret": "é" * 40}]}, "16 to 128 characters"),
        ({"keys": [{"id": "P" * 20}]}, "secret of a key of ann: a text expected"),
        ({"keys": [{"id": "P" * 20, "secret": "s" * 40, "disable": True}]}, "has no 'disable'"),
        ({"keys": [as_json(ANN)["keys"][0]] * 2}, "same id"),
        ({"policies": {"a b": ""}}, "no name of a policy"),
        ({"policies": {"a": "x" * 10_241}}, "10241 characters"),
        ({"policies": {"a": {}}}, "policies of ann, a: a text expected"),
        ({"policies": {f"p{n}": "" for n in range(POLICIES_MAX + 1)}}, "11 policies"),
        ({"tags": {"": "x"}}, "the tag ''"),
        ({"tags": {"k": "x" * 257}}, "the tag 'k'"),
        ({"tags": {f"t{n}": "" for n in range(TAGS_MAX + 1)}}, "51 tags"),
    ],
)
def test_what_no_principal_may_have(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_json({**as_json(ANN), **change})


def test_keys_come_and_go() -> None:
    other = KeyRecord("PLAK0000000000000002", "t" * 40)
    assert ANN.with_key(other).key_ids == (KEY.id, other.id)
    assert ANN.with_key(replace(KEY, disabled=True)).keys == (replace(KEY, disabled=True),)
    assert ANN.with_key(other).without_key(KEY.id).keys == (other,)
    full = ANN
    for number in range(KEYS_MAX - 1):
        full = full.with_key(KeyRecord(f"PLAK{number:016}X", "t" * 40))
    with pytest.raises(ValueError, match="access keys"):
        full.with_key(other)


def test_no_text_of_it_has_a_secret() -> None:
    assert KEY.secret not in repr(ANN)
    assert KEY.secret not in repr(ANN.access_keys())
    assert KEY.secret in json.dumps(as_json(ANN))
