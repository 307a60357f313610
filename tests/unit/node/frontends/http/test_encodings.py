"""Bodies that come encoded, and who may get one."""

from __future__ import annotations

import gzip
import zlib

import pytest

from node.frontends.http.encodings import (
    MEMBERS_MAX,
    TooLarge,
    Undecodable,
    accepts_gzip,
    decoded,
)


@pytest.mark.parametrize("encoding", ["gzip", " GZIP ", "deflate", "identity", ""])
def test_a_body_is_what_it_was_before(encoding: str) -> None:
    name = encoding.strip().lower()
    made = {"gzip": gzip.compress, "deflate": zlib.compress}.get(name, bytes)(b"body")
    assert decoded(made, encoding, 4) == b"body"


def test_never_more_is_worked_out_than_the_bound() -> None:
    one, other = gzip.compress(b"12345"), gzip.compress(b"678")
    assert decoded(one + other, "gzip", 8) == b"12345678"
    for bytes_max in (7, 4):
        with pytest.raises(TooLarge):
            decoded(one + other, "gzip", bytes_max)
    with pytest.raises(TooLarge):
        decoded(gzip.compress(b"0" * 10_000_000), "gzip", 1000)


def test_what_is_half_there_or_has_something_behind_it_is_no_body() -> None:
    whole = gzip.compress(b"body")
    for body, encoding in (
        (whole[:-1], "gzip"),
        (whole + b"more", "gzip"),
        (b"body", "gzip"),
        (whole, "br"),
        (whole, "deflate"),
    ):
        with pytest.raises(Undecodable):
            decoded(body, encoding, 100)


def test_members_are_bounded() -> None:
    member = gzip.compress(b"1")
    assert decoded(member * MEMBERS_MAX, "gzip", 1000) == b"1" * MEMBERS_MAX
    with pytest.raises(Undecodable, match="members"):
        decoded(member * (MEMBERS_MAX + 1), "gzip", 1000)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (b"gzip", True),
        (b"deflate, GZIP", True),
        (b"gzip;q=0.5", True),
        (b"gzip; q=1", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000", False),
        (b"x-gzip", False),
        (b"", False),
        (b"*", False),
    ],
)
def test_gzip_is_accepted_where_it_is_named_with_a_weight(header: bytes, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
