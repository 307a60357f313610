from datetime import UTC, datetime, timedelta, timezone

import pytest

from paceline.auth.sigv4 import parse_string_to_sign, sign_dax, verify_dax
from tests.unit.dax.vectors import connection_vectors

[VECTOR] = connection_vectors()["authorizations"]


def test_the_string_to_sign_of_an_official_client():
    parsed = parse_string_to_sign(VECTOR["string_to_sign"].encode())
    assert parsed.region == VECTOR["region"]
    assert parsed.signed_at == datetime.fromisoformat(VECTOR["signed_at"])
    signed = sign_dax("any", parsed.region, parsed.signed_at)
    assert signed.string_to_sign.decode() == VECTOR["string_to_sign"]


def test_the_signature_agrees_with_the_official_client():
    generator = pytest.importorskip("amazondax.SigV4Gen")
    credentials = pytest.importorskip("botocore.credentials").Credentials("AK", "a secret")
    at = datetime(2026, 11, 21, 2, 3, 7, tzinfo=UTC)
    made = generator.generate_signature(
        credentials, "dax.amazonaws.com", "eu-west-1", b"", now=at.replace(tzinfo=None)
    )
    ours = sign_dax("a secret", "eu-west-1", at)
    assert ours.signature == made.signature
    assert ours.string_to_sign.decode() == made.string_to_sign


def test_the_signature_of_gos_client():
    """As aws-dax-go-v2 1.0.3 made it: its host is a whole URL."""
    string_to_sign = (
        b"AWS4-HMAC-SHA256\n20261130T152006Z\n20261130/us-east-1/dax/aws4_request\n"
        b"558aa529b1d15a0798037ec31d9e0ef1d8a3263028f90cdf744785fb52bf2848"
    )
    signature = "6d8a047e9520481a53a447db5cfcdf20eaeea89332570f048f5c931970f61089"
    assert verify_dax("secret-of-the-official-clients", string_to_sign, signature)
    assert not verify_dax("another secret", string_to_sign, signature)


def test_times_are_in_utc():
    east = timezone(timedelta(hours=9))
    here = sign_dax("s", "r", datetime(2026, 1, 1, 3, tzinfo=east))
    assert here == sign_dax("s", "r", datetime(2025, 12, 31, 18, tzinfo=UTC))


def test_verification():
    signed = sign_dax("secret", "us-east-1", datetime(2026, 1, 2, tzinfo=UTC))
    assert verify_dax("secret", signed.string_to_sign, signed.signature)
    assert not verify_dax("other", signed.string_to_sign, signed.signature)
    assert not verify_dax("secret", signed.string_to_sign, signed.signature[:-1] + "x")
    assert not verify_dax("secret", signed.string_to_sign, "é")
    changed = signed.string_to_sign[:-1] + (b"0" if signed.string_to_sign[-1:] != b"0" else b"1")
    assert not verify_dax("secret", changed, signed.signature)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"AWS4-HMAC-SHA256",
        b"\xff\n\n\n",
        b"AWS4-HMAC-SHA1\n20260102T000000Z\n20260102/r/dax/aws4_request\nh",
        b"AWS4-HMAC-SHA256\n2026-01-02\n20260102/r/dax/aws4_request\nh",
        b"AWS4-HMAC-SHA256\n20260102T000000Z\n20260103/r/dax/aws4_request\nh",
        b"AWS4-HMAC-SHA256\n20260102T000000Z\n20260102/r/s3/aws4_request\nh",
        b"AWS4-HMAC-SHA256\n20260102T000000Z\n20260102/r/dax\nh",
        b"AWS4-HMAC-SHA256\n20260102T000000Z\n20260102/r/dax/aws4_request\nh\nmore",
        b"A" * 1000,
    ],
)
def test_malformed_strings_to_sign(data):
    with pytest.raises(ValueError):  # noqa: PT011 any message will do
        verify_dax("secret", data, "0" * 64)
