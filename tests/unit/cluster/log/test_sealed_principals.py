"""Principals in the replicated log: revisions, bounds, and commands that come late or twice."""

from __future__ import annotations

import msgpack
import pytest

from cluster.log import sealed_principals
from cluster.log.commands import PutPrincipal
from cluster.log.sealed_principals import KEYS_MAX, SEALED_BYTES_MAX, SealedPrincipals
from cluster.log.state import ReplicatedState


def created(name: str, seen: int = 0, key: str = "", sealed: bytes = b"1") -> PutPrincipal:
    return PutPrincipal(name, seen, True, (key or f"K-{name}",), sealed)


def changed(name: str, expected: int, key: str, sealed: bytes = b"2") -> PutPrincipal:
    return PutPrincipal(name, expected, False, (key,), sealed)


def removed(name: str, expected: int) -> PutPrincipal:
    return PutPrincipal(name, expected, False, (), None)


def put(state: SealedPrincipals, command: PutPrincipal) -> int:
    revision, refused = state.put(command)
    assert not refused
    return revision


def test_it_is_created_changed_and_removed() -> None:
    state = SealedPrincipals({})
    assert put(state, created("ann")) == 1
    assert put(state, changed("ann", 1, "K2")) == 2
    assert state.by_name["ann"].key_ids == ("K2",)
    assert put(state, removed("ann", 2)) == 3
    assert state.by_name == {}


def test_who_has_seen_an_older_one_changes_nothing() -> None:
    state = SealedPrincipals({})
    put(state, created("ann"))
    put(state, changed("ann", 1, "K2"))
    before = state.by_name
    for late in (changed("ann", 1, "K3", b"3"), removed("ann", 1)):
        _, refused = state.put(late)
        assert "meanwhile" in refused
    assert state.by_name is before


def test_a_command_that_is_applied_twice_says_what_it_said_first() -> None:
    state = SealedPrincipals({})
    for command in (created("ann"), changed("ann", 1, "K2"), removed("ann", 2)):
        assert state.put(command) == state.put(command)


def test_a_late_creation_brings_nobody_back_who_was_removed() -> None:
    state = SealedPrincipals({})
    put(state, created("bob"))
    late = created("ann", state.revision)
    put(state, late)
    put(state, removed("ann", 2))
    _, refused = state.put(late)
    assert "meanwhile" in refused
    assert put(state, created("ann", state.revision)) == 4


def test_a_late_change_brings_no_key_back() -> None:
    state = SealedPrincipals({})
    put(state, created("ann"))
    late = changed("ann", 1, "K2")
    put(state, late)
    put(state, changed("ann", 2, "K3", b"3"))
    assert state.put(late)[1]
    assert state.by_name["ann"].key_ids == ("K3",)


def test_names_and_keys_are_one_principals() -> None:
    state = SealedPrincipals({})
    put(state, created("ann", key="K1"))
    assert "already" in state.put(created("ann", 1, key="K9", sealed=b"9"))[1]
    assert "another principal's" in state.put(created("bob", 1, key="K1"))[1]
    assert "no principal" in state.put(changed("bob", 1, "K2"))[1]
    assert state.put(removed("bob", 1)) == (1, "")
    put(state, removed("ann", 1))
    assert not state.put(created("bob", 2, key="K1"))[1]


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    state = SealedPrincipals({})
    assert "bytes" in state.put(created("ann", sealed=bytes(SEALED_BYTES_MAX + 1)))[1]
    many = tuple(f"K{n}" for n in range(KEYS_MAX + 1))
    assert "at most" in state.put(PutPrincipal("ann", 0, True, many, b"1"))[1]
    put(state, created("ann", sealed=b"1234"))
    monkeypatch.setattr(sealed_principals, "ALL_BYTES_MAX", len("annK1") + 6)
    assert "together" in state.put(created("bob", 1, sealed=b"123"))[1]
    assert not state.put(changed("ann", 1, "K", b"123456"))[1], "its former bytes count no more"
    monkeypatch.setattr(sealed_principals, "PRINCIPALS_MAX", 1)
    assert "already" in state.put(created("bob", 2))[1]


def test_a_snapshot_without_principals_has_none() -> None:
    state = ReplicatedState()
    state.apply_command(created("ann"))
    fields = msgpack.unpackb(state.snapshot())
    del fields["principals"]
    state.restore(msgpack.packb(fields))
    assert state.principals.by_name == {}


@pytest.mark.parametrize("fields", [7, [1], [1, 0, [["ann"]]], [1, 0, [["ann", ["K"], 5, 1]]]])
def test_a_snapshot_with_other_things_in_their_place_is_refused(fields: object) -> None:
    state = ReplicatedState()
    whole = msgpack.unpackb(state.snapshot())
    with pytest.raises(ValueError, match="snapshot"):
        state.restore(msgpack.packb({**whole, "principals": fields}))
