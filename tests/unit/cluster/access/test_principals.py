"""Keys and principals: what can be looked up, and what is never shown."""

from __future__ import annotations

import pytest

from cluster.access.principals import AccessKey, KnownPrincipals, Principal, Principals

ANNA = Principal("anna", "arn:aws:iam::000000000000:user/anna")
KEY = AccessKey("AKIA1", "s3cret", "anna", session_token="t0ken")


def test_keys_and_principals_are_found_by_id_and_name() -> None:
    known: Principals = KnownPrincipals((ANNA,), (KEY,), version=7)
    assert (known.key("AKIA1"), known.principal("anna"), known.version()) == (KEY, ANNA, 7)
    assert known.key("anna") is None
    assert known.principal("AKIA1") is None


def test_what_is_secret_is_not_in_a_key_as_text() -> None:
    assert "s3cret" not in repr(KEY)
    assert "t0ken" not in repr(KEY)


@pytest.mark.parametrize(
    ("principals", "keys", "message"),
    [
        ((ANNA, ANNA), (), "same name"),
        ((ANNA,), (KEY, KEY), "same id"),
        ((), (KEY,), "not there"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    principals: tuple[Principal, ...], keys: tuple[AccessKey, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        KnownPrincipals(principals, keys)
