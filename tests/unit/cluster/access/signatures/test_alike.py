"""Requests like one that was verified: accepted exactly if they would be the long way."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from cluster.access.denied import Denied
from cluster.access.principals import AccessKey, KnownPrincipals
from cluster.access.signatures.alike import Alike, alike
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import verify
from tests.unit.cluster.access.signatures.signing import (
    ANNA,
    KEY,
    KNOWN,
    NOW,
    RULES,
    TEMPORARY,
    presigned,
    signed,
    with_header,
)

NAMES = (b"x-amz-date", b"amz-sdk-request", b"authorization", b"content-length")


def lowered(request: SignedRequest, body: bytes = b"") -> SignedRequest:
    """As the parser gives it, with the length of its body."""
    pairs = [(name.lower(), value) for name, value in request.headers]
    told = {b"content-length": b"%d" % len(body), b"amz-sdk-request": b"attempt=1"}
    return replace(request, headers=tuple({**told, **dict(pairs)}.items()))


def request_of(
    body: bytes = b"{}",
    *,
    key: AccessKey = KEY,
    at: int = NOW,
    attempt: str = "attempt=1",
    more: str = "one",
    length: bool = True,
) -> SignedRequest:
    headers = {"X-Amz-Target": "a.b", "Amz-Sdk-Request": attempt, "More": more}
    if length:
        headers["Content-Length"] = str(len(body))
    return lowered(signed(key, at=at, headers=headers, body=body), body)


def values_of(request: SignedRequest) -> list[bytes]:
    headers = dict(request.headers)
    found = [headers[name] for name in NAMES]
    found[2] = found[2].rpartition(b"Signature=")[2]
    return found


def known(first: SignedRequest, names: tuple[bytes, ...] = NAMES) -> Alike | None:
    keys = SigningKeys()
    return alike(first, names, verify(first, KNOWN, RULES, keys, NOW), RULES, keys)


@given(
    st.binary(max_size=20),
    st.sampled_from([KEY, TEMPORARY]),
    st.integers(-400, 400),
    st.text("abc =;%", max_size=6).map(lambda text: " ".join(text.split())),
    st.booleans(),
    st.sampled_from(["nothing", "body", "signature", "date", "attempt", "key"]),
)
def test_both_ways_say_the_same(
    body: bytes, key: AccessKey, skew_s: int, attempt: str, length: bool, change: str
) -> None:
    proof = known(request_of(key=key, length=length))
    assert proof is not None
    request = request_of(body, key=key, at=NOW + skew_s, attempt=attempt, length=length)
    if change == "body":
        body += b"x"
        request = replace(request, body_sha256=sha256(body).hexdigest())
    elif change == "signature":
        told = dict(request.headers)[b"authorization"].decode()
        other = told[:-1] + ("0" if told[-1] != "0" else "1")
        request = with_header(request, "authorization", other)
    elif change == "date":
        request = with_header(request, "x-amz-date", "20260102T030406Z")
    elif change == "attempt":
        request = with_header(request, "amz-sdk-request", attempt + "1")
    principals = KNOWN
    if change == "key":
        principals = KnownPrincipals((ANNA,), (replace(key, secret="new"),), version=4)
    try:
        verify(request, principals, RULES, SigningKeys(), NOW)
        accepted = True
    except Denied:
        accepted = False
    assert proof.is_signed(values_of(request), body, principals, NOW) == accepted
    assert accepted == ((change == "nothing" and abs(skew_s) <= 300) or _same(change, skew_s))


def _same(change: str, skew_s: int) -> bool:
    """The date was changed to what it was."""
    return change == "date" and skew_s == 1


def test_what_is_not_sure_goes_the_long_way() -> None:
    proof = known(request_of())
    assert proof is not None
    good = values_of(request_of(b"b"))
    assert proof.is_signed(good, b"b", KNOWN, NOW)
    assert not proof.is_signed(good, b"b", KnownPrincipals((ANNA,), (KEY,), version=4), NOW)
    for date in (b"20260103T000000Z", b"20260102", b"\xff" * 16):
        assert not proof.is_signed([date, *good[1:]], b"b", KNOWN, NOW)
    unfolded = request_of(b"b", attempt="a  b")
    assert verify(unfolded, KNOWN, RULES, SigningKeys(), NOW)
    assert not proof.is_signed(values_of(unfolded), b"b", KNOWN, NOW)


def test_a_key_expires() -> None:
    first = request_of(key=TEMPORARY, at=NOW + 800)
    keys = SigningKeys()
    proof = alike(first, NAMES, verify(first, KNOWN, RULES, keys, NOW + 800), RULES, keys)
    assert proof is not None
    assert proof.is_signed(values_of(first), b"{}", KNOWN, NOW + 899)
    assert not proof.is_signed(values_of(first), b"{}", KNOWN, NOW + 900)


def test_what_is_not_signed_in_the_usual_way_is_not_kept() -> None:
    assert known(request_of(), NAMES[1:]) is None
    assert known(request_of(), (*NAMES, b"x-amz-date")) is None
    assert known(request_of(), (*NAMES, b"absent")) is None
    assert known(lowered(presigned())) is None
    assert known(lowered(signed(url="http://h/?a=b"))) is None
    assert known(lowered(signed(headers={"Date": "now", "X-Amz-Target": "a.b"}))) is None
    hashed = signed(headers={"X-Amz-Content-Sha256": signed().body_sha256, "X-Amz-Target": "a.b"})
    assert known(lowered(hashed)) is None
    first = request_of()
    twice = replace(first, headers=(*first.headers, (b"unsigned", b"1"), (b"unsigned", b"2")))
    assert known(twice) is None


def test_per_cents_are_only_characters() -> None:
    first = request_of(more="100% %b %%")
    proof = known(first)
    assert proof is not None
    assert proof.is_signed(values_of(first), b"{}", KNOWN, NOW)
