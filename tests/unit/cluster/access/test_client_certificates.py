"""Which principal a certificate names, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from cluster.access.client_certificates import Certificate, check_same, read, verified_by
from cluster.access.denied import Denied
from cluster.access.directories import AllPrincipals, LogPrincipals
from cluster.access.member_key import NAME as MEMBER
from cluster.access.member_key import member_principals
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.sealing import Seal
from cluster.access.signatures.verification import checked_again
from tests.support.certificates import ClientAuthority

AUTHORITY = ClientAuthority()
NOW = 1000.0
ARN = "arn:aws:iam::000000000000:user/"
ORDERS = Principal("orders", ARN + "orders")
KNOWN = KnownPrincipals((ORDERS, Principal("off", ARN + "off", disabled=True)), ())
SHOWN = Certificate("orders", NOW + 10)


def name_in(directory: Path, common: str, sans: Sequence[x509.GeneralName] = ()) -> str:
    return read(AUTHORITY.issue(directory, common, sans=sans)[0].read_bytes()).name


@pytest.mark.parametrize(
    ("common", "sans", "name"),
    [
        ("orders", [], "orders"),
        ("ann@example.com", [], "ann@example.com"),
        ("other", [x509.DNSName("orders")], "orders"),
        ("other", [x509.RFC822Name("orders@x.com")], "orders@x.com"),
        ("orders", [x509.DNSName("a"), x509.DNSName("b")], ""),
        ("orders", [x509.DNSName("a"), x509.RFC822Name("b@c")], ""),
        ("orders", [x509.UniformResourceIdentifier("spiffe://x/orders")], ""),
        (MEMBER, [], ""),
        ("a b", [], ""),
        ("x" * 64, [], "x" * 64),
    ],
)
def test_the_name(tmp_path: Path, common: str, sans: list[x509.GeneralName], name: str) -> None:
    assert name_in(tmp_path, common, sans) == name


def test_what_is_no_certificate_names_nobody() -> None:
    assert read(b"no certificate") == Certificate("", 0.0)


def test_its_end_is_the_certificates(tmp_path: Path) -> None:
    pem = AUTHORITY.issue(tmp_path, "orders", lasts=timedelta(hours=1))[0].read_bytes()
    until = x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
    assert read(pem).not_after == until
    found = verified_by(SHOWN, KNOWN, NOW)
    assert (found.principal, found.valid_until) == (ORDERS, NOW + 10)
    with pytest.raises(Denied, match="ExpiredToken"):
        checked_again(found, KNOWN, NOW + 10)


@pytest.mark.parametrize("name", ["", "nobody", "off"])
def test_nobody_else_is_let_in(name: str) -> None:
    with pytest.raises(Denied, match="UnrecognizedClient"):
        verified_by(Certificate(name, NOW + 10), KNOWN, NOW)


def test_a_change_of_its_principal_acts(tmp_path: Path) -> None:
    found = verified_by(SHOWN, KNOWN, NOW)
    tagged = replace(ORDERS, tags={"team": "blue"})
    after = KnownPrincipals((tagged,), (), version=2)
    again = checked_again(found, after, NOW)
    assert (again.principal, again.version) == (tagged, 2)
    with pytest.raises(Denied, match="UnrecognizedClient"):
        checked_again(again, KnownPrincipals((replace(ORDERS, disabled=True),), (), 3), NOW)
    with pytest.raises(Denied, match="UnrecognizedClient"):
        checked_again(again, KnownPrincipals((), (), 4), NOW)


def test_no_key_is_found_by_what_stands_for_one() -> None:
    secret = "s" * 40
    directory = AllPrincipals([member_principals(secret, "paceline"), KNOWN])
    assert SHOWN.key.id == "certificate:orders"
    assert directory.key(SHOWN.key.id) is None
    assert directory.calling("orders") is ORDERS


def test_a_log_that_may_be_outdated_says_nothing_of_it() -> None:
    """What the file has is known all the same."""

    def outdated() -> None:
        raise Denied("ThrottlingException", "stale")

    log = LogPrincipals(dict, Seal(["k" * 40], "paceline"), lambda name, why: None)
    log.check_current = outdated
    both = AllPrincipals([KNOWN, log])
    assert verified_by(SHOWN, both, NOW).principal is ORDERS
    with pytest.raises(Denied, match="Throttling"):
        verified_by(Certificate("of-the-log", NOW + 10), both, NOW)


def test_the_signature_is_of_the_same() -> None:
    key = AccessKey("PLAK0000000000000001", "s" * 40, "orders")
    signed = replace(verified_by(SHOWN, KNOWN, NOW), key=key)
    check_same(SHOWN, signed, KNOWN, NOW)
    role = Principal("orders", "arn:aws:sts::000000000000:assumed-role/r/orders")
    with pytest.raises(Denied, match="InvalidSignature"):
        check_same(SHOWN, replace(signed, principal=role), KNOWN, NOW)
    with pytest.raises(Denied, match="UnrecognizedClient"):
        check_same(Certificate("nobody", NOW + 10), signed, KNOWN, NOW)
