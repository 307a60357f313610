"""What is sealed opens with the same key, for the same name and cluster; changed, never."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access.sealing import CannotOpen, Seal

OLD, NEW = "k" * 32, "n" * 32
NONCE = bytes(range(12))


def test_it_opens_where_it_was_sealed_for() -> None:
    seal = Seal([OLD], "c")
    sealed = seal.seal("ann", b"data", NONCE)
    assert b"data" not in sealed
    assert seal.open("ann", sealed) == b"data"
    for other, name in ((seal, "bob"), (Seal([OLD], "d"), "ann"), (Seal([NEW], "c"), "ann")):
        with pytest.raises(CannotOpen):
            other.open(name, sealed)


def test_names_and_clusters_do_not_run_together() -> None:
    sealed = Seal([OLD], "c").seal("ann", b"data", NONCE)
    with pytest.raises(CannotOpen):
        Seal([OLD], "ca").open("nn", sealed)


@given(st.integers(0, 36), st.integers(1, 255))
def test_any_changed_byte_is_noticed(at: int, by: int) -> None:
    seal = Seal([OLD], "c")
    sealed = bytearray(seal.seal("ann", b"data", NONCE))
    assert len(sealed) == 37
    sealed[at] ^= by
    with pytest.raises(CannotOpen):
        seal.open("ann", bytes(sealed))


@given(st.binary(max_size=60))
def test_other_bytes_do_not_open(data: bytes) -> None:
    with pytest.raises(CannotOpen):
        Seal([OLD], "c").open("ann", data)


def test_a_new_key_in_front_of_the_old_one() -> None:
    before = Seal([OLD], "c").seal("ann", b"data", NONCE)
    both = Seal([NEW, OLD], "c")
    assert both.open("ann", before) == b"data"
    assert not both.is_latest(before)
    after = both.seal("ann", b"data", NONCE)
    assert both.is_latest(after)
    assert Seal([NEW], "c").open("ann", after) == b"data"
    with pytest.raises(CannotOpen, match="key file"):
        Seal([OLD], "c").open("ann", after)


@pytest.mark.parametrize("keys", [[], ["short"], [OLD, "x" * 31]])
def test_keys_that_are_none(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="key"):
        Seal(keys, "c")
