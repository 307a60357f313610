"""Derived keys: kept, bounded, and never those of a secret that has changed."""

from __future__ import annotations

import hmac
from dataclasses import replace
from unittest import mock

import pytest
from botocore.auth import SigV4Auth

from cluster.access.denied import Denied
from cluster.access.principals import KnownPrincipals
from cluster.access.signatures import signing_keys
from cluster.access.signatures.signing_keys import SigningKey, SigningKeys
from cluster.access.signatures.verification import verify
from paceline.auth.sigv4 import signing_key
from tests.unit.cluster.access.signatures.signing import (
    ANNA,
    KEY,
    KNOWN,
    NOW,
    RULES,
    refusal,
    signed,
    with_header,
)

DAY = ("20260102", "eu-west-1", "dynamodb")


def signs_as(key: SigningKey, of: bytes) -> bool:
    texts = (b"", b"text", b"x" * 1000, b"text")
    return all(key.signature(text) == hmac.digest(of, text, "sha256").hex() for text in texts)


def test_the_example_of_awss_documentation() -> None:
    # AWS General Reference, "Examples of how to derive a signing key for Signature Version 4".
    made = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam")
    assert made.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def test_a_key_is_derived_once_a_day() -> None:
    keys = SigningKeys()
    with mock.patch.object(signing_keys, "signing_key", side_effect=signing_key) as made:
        for _ in range(3):
            assert signs_as(keys.of(KEY, *DAY), signing_key(KEY.secret, *DAY))
        assert made.call_count == 1
        for other in (("20260103", *DAY[1:]), (DAY[0], "eu-west-2", DAY[2]), (*DAY[:2], "dax")):
            assert signs_as(keys.of(KEY, *other), signing_key(KEY.secret, *other))
    assert made.call_count == 4
    assert len(keys) == 4


def test_a_changed_secret_takes_the_place_of_the_old_one() -> None:
    keys = SigningKeys()
    first = keys.of(KEY, *DAY)
    changed = replace(KEY, secret="changed")
    assert signs_as(keys.of(changed, *DAY), signing_key("changed", *DAY))
    assert signs_as(first, signing_key(KEY.secret, *DAY))
    assert len(keys) == 1
    assert signs_as(keys.of(KEY, *DAY), signing_key(KEY.secret, *DAY))


def test_a_request_of_before_the_change_is_refused_after_it() -> None:
    keys = SigningKeys()
    request = signed()
    verify(request, KNOWN, RULES, keys, NOW)
    after = KnownPrincipals((ANNA,), (replace(KEY, secret="changed"),))
    with pytest.raises(Denied, match="does not match"):
        verify(request, after, RULES, keys, NOW)


def test_the_number_of_kept_keys_is_bounded() -> None:
    keys = SigningKeys(kept_max=3)
    used = [replace(KEY, id=f"AK{number}") for number in range(5)]
    for key in used:
        keys.of(used[0], *DAY)
        keys.of(key, *DAY)
    assert len(keys) == 3
    with mock.patch.object(signing_keys, "signing_key", side_effect=signing_key) as made:
        keys.of(used[0], *DAY)  # the latest used are kept
        assert made.call_count == 0
        keys.of(used[1], *DAY)
        assert made.call_count == 1


def test_unknown_keys_leave_one_derived_key_behind_and_cost_what_known_ones_do() -> None:
    keys = SigningKeys()
    verify(signed(), KNOWN, RULES, keys, NOW)
    for number in range(20):
        unknown = signed(replace(KEY, id=f"AKNOBODY{number}"))
        with (
            mock.patch.object(signing_keys, "signing_key", side_effect=signing_key) as made,
            mock.patch.object(SigningKey, "signature", return_value="") as signatures,
            pytest.raises(Denied, match="security token"),
        ):
            verify(unknown, KNOWN, RULES, keys, NOW)
        # As for a known key whose derived key is kept.
        assert (made.call_count, signatures.call_count) == (number == 0, 1)
    assert len(keys) == 2


def test_signatures_are_compared_in_constant_time() -> None:
    request = signed()
    [told] = [value for name, value in request.headers if name.lower() == b"authorization"]
    text = told.decode()
    with mock.patch("hmac.compare_digest", return_value=False) as compared:
        assert refusal(with_header(request, "authorization", text))[0].startswith("InvalidSig")
    given = text.rpartition("=")[2].encode()
    assert any(given in call.args for call in compared.call_args_list)


def test_botocore_derives_the_same() -> None:
    signer = SigV4Auth(mock.Mock(secret_key=KEY.secret), "dynamodb", "eu-west-1")
    request = mock.Mock(context={"timestamp": "20260102T030405Z"})
    assert signer.signature("text", request) == SigningKeys().of(KEY, *DAY).signature(b"text")
