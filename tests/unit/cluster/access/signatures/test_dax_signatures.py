"""DAX connections: what authorises one, for how long, and how a refusal goes out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access.denied import Denied
from cluster.access.principals import AccessKey, KnownPrincipals
from cluster.access.signatures.dax import as_dax_error, authorize, check_authorized
from cluster.access.signatures.refusals import MISMATCH
from cluster.access.signatures.verification import Verified, checked_again
from paceline.auth.sigv4 import sign_dax
from paceline.dax.cbor import Reader
from paceline.dax.errors import decode_error, encode_error
from paceline.dax.request_types import Authorize
from tests.unit.cluster.access.signatures.signing import (
    ANNA,
    DISABLED,
    KEY,
    KNOWN,
    NOW,
    OF_GONE,
    REGION,
    RULES,
    TEMPORARY,
)


def frame(key: AccessKey = KEY, *, at: int = NOW, region: str = REGION) -> Authorize:
    made = sign_dax(key.secret, region, datetime.fromtimestamp(at, UTC))
    return Authorize(key.id, made.signature, made.string_to_sign, key.session_token, "any")


def authorized(signed: Authorize, now: float = NOW) -> Verified:
    return authorize(signed, KNOWN, RULES, now)


def refusal(signed: Authorize, now: float = NOW) -> tuple[str, str]:
    with pytest.raises(Denied) as caught:
        authorized(signed, now)
    return caught.value.error_name, caught.value.message


def test_a_connection_has_a_principal_for_five_minutes() -> None:
    found = authorized(frame(), NOW + 0.5)
    assert (found.principal, found.key, found.signed_at) == (ANNA, KEY, NOW)
    check_authorized(found, NOW + 300.4)
    with pytest.raises(Denied, match="MissingAuthenticationToken"):
        check_authorized(found, NOW + 300.5)


def test_a_client_whose_clock_is_behind_has_its_five_minutes_too() -> None:
    found = authorized(frame(at=NOW - 299))
    assert found.valid_until == NOW + 300


def test_without_a_signature() -> None:
    with pytest.raises(Denied, match="Request is missing Authentication Token"):
        check_authorized(None, NOW)


def test_a_temporary_key() -> None:
    found = authorized(frame(TEMPORARY), NOW)
    assert found.valid_until == NOW + 300
    late = authorized(frame(TEMPORARY, at=NOW + 700), NOW + 700)
    assert late.valid_until == NOW + 900
    with pytest.raises(Denied, match="ExpiredTokenException"):
        check_authorized(late, NOW + 900)
    assert refusal(frame(TEMPORARY, at=NOW + 900), NOW + 900)[0] == "ExpiredTokenException"
    for token in (None, "", "other"):
        assert refusal(replace(frame(TEMPORARY), token=token)) == (
            "UnrecognizedClientException",
            "The security token included in the request is invalid",
        )
    assert refusal(replace(frame(), token="t"))[0] == "UnrecognizedClientException"
    assert refusal(replace(frame(), token="t" * 20_000))[0] == "IncompleteSignatureException"


def test_a_key_that_changes_ends_what_it_authorised() -> None:
    found = authorized(frame())
    later = KnownPrincipals((ANNA,), (KEY,), version=9)
    assert checked_again(found, later, NOW).valid_until == found.valid_until
    with pytest.raises(Denied, match="security token"):
        checked_again(found, KnownPrincipals((ANNA,), ()), NOW)


@pytest.mark.parametrize("key", [DISABLED, OF_GONE, AccessKey("AKNOBODY", "secret", "anna")])
def test_unknown_keys(key: AccessKey) -> None:
    message = "The security token included in the request is invalid."
    assert refusal(frame(key)) == ("UnrecognizedClientException", message)
    other = replace(key, secret="other")
    assert refusal(frame(other)) == ("UnrecognizedClientException", message)


@given(st.integers(-(10**5), 10**5))
def test_a_clock_may_be_five_minutes_off(skew_s: int) -> None:
    made = frame(at=NOW + skew_s)
    if -300 <= skew_s <= 300:
        assert authorized(made).signed_at == NOW + skew_s
    else:
        said = "Signature not yet current: " if skew_s > 0 else "Signature expired: "
        assert refusal(made)[1].startswith(said)


@given(st.text(max_size=40).filter(lambda text: text not in (KEY.secret,)))
def test_another_secret(secret: str) -> None:
    if text_is_plain(secret):
        assert refusal(frame(replace(KEY, secret=secret))) == (
            "InvalidSignatureException",
            MISMATCH,
        )


def text_is_plain(text: str) -> bool:
    return text.encode("utf-8", "ignore").decode() == text


@given(st.data())
def test_one_changed_byte(data: st.DataObject) -> None:
    made = frame()
    place = data.draw(st.integers(0, len(made.string_to_sign) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != made.string_to_sign[place]))
    text = made.string_to_sign[:place] + bytes([byte]) + made.string_to_sign[place + 1 :]
    assert refusal(replace(made, string_to_sign=text))[0] == "InvalidSignatureException"
    at = data.draw(st.integers(0, 63))
    other = data.draw(st.characters().filter(lambda char: char != made.signature[at]))
    signature = made.signature[:at] + other + made.signature[at + 1 :]
    if text_is_plain(signature):
        assert refusal(replace(made, signature=signature)) == (
            "InvalidSignatureException",
            MISMATCH,
        )


def test_another_region() -> None:
    assert refusal(frame(region="us-east-1")) == (
        "InvalidSignatureException",
        "Credential should be scoped to a valid region, not 'us-east-1'. ",
    )


@given(st.text(max_size=80), st.text(max_size=80), st.binary(max_size=600), st.none() | st.text())
def test_whatever_comes_is_authorised_or_denied(
    key: str, signature: str, text: bytes, token: str | None
) -> None:
    if all(map(text_is_plain, (key, signature, token or ""))):
        assert refusal(Authorize(key, signature, text, token))[0]


def test_a_refusal_has_the_codes_after_which_clients_sign_again() -> None:
    for denied in (Denied("ExpiredTokenException", "a"), Denied("InvalidSignatureException", "b")):
        error = decode_error(Reader(encode_error(as_dax_error(denied))))
        assert (error.name, error.message, error.status) == (denied.error_name, denied.message, 400)
        assert encode_error(as_dax_error(denied))[:6] == bytes.fromhex("840417181f18")
