"""A token opens anywhere, for its own key id alone, and is worth what its issuer still is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access import session_tokens
from cluster.access.denied import Denied
from cluster.access.directories import AllPrincipals
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.roles import Role
from cluster.access.session_tokens import TOKEN_CHARACTERS_MAX, SessionTokens
from cluster.access.sessions import (
    PACKED_BYTES_MAX,
    ROLES_MAX,
    Session,
    from_bytes,
    packed,
    proof_of,
    to_bytes,
)
from paceline.access.policies.policy import Kind, Policy

OLD, NEW = "k" * 32, "n" * 32
TOKENS = SessionTokens([OLD], "c")
NONCE = bytes(12)
ID = "PLASABCDEFGHIJKLMNOP"

ANN = Principal("ann", "arn:aws:iam::000000000000:user/ann", {"team": "blue"})
KEY = AccessKey("PLAK0000000000000001", "s" * 40, "ann")
TRUST = Policy("trust", Kind.TRUST, ())
ROLE = Role("reader", "PLRO0000000000000001", TRUST, tags={"Team": "red", "cost": "7"})
OTHER = Role("writer", "PLRO0000000000000002", TRUST)

SESSION = Session("t" * 40, "ann", KEY.id, proof_of(KEY), 1_000, 4_600)
ASSUMED = replace(
    SESSION,
    roles=((ROLE.name, ROLE.id),),
    name="job",
    tags={"team": "green"},
    source_identity="ann@example.com",
)


def known(
    principals: tuple[Principal, ...] = (ANN,),
    keys: tuple[AccessKey, ...] = (KEY,),
    roles: tuple[Role, ...] = (ROLE, OTHER),
    tokens: SessionTokens | None = TOKENS,
) -> AllPrincipals:
    return AllPrincipals([KnownPrincipals(principals, keys, roles=roles)], tokens)


def sealed(session: Session = SESSION, key_id: str = ID) -> str:
    return TOKENS.seal(key_id, session, NONCE)


def test_a_token_is_a_key_of_its_issuer_to_whoever_has_the_key_file() -> None:
    found = known(tokens=SessionTokens([OLD], "c")).key(ID, sealed())
    acts_as = replace(ANN, known={"aws:TokenIssueTime": "1970-01-01T00:16:40Z"})
    assert found == AccessKey(ID, "t" * 40, "ann", False, sealed(), 4_600.0, None, acts_as)


def test_a_role_acts_in_its_own_name() -> None:
    found = known().key(ID, sealed(ASSUMED))
    assert found is not None
    acts_as = found.acts_as
    assert acts_as is not None
    assert acts_as.arn == "arn:aws:sts::000000000000:assumed-role/reader/job"
    assert acts_as.userid == "PLRO0000000000000001:job"
    assert acts_as.tags == {"cost": "7", "team": "green"}, "the session's tag, whatever its letters"
    context = acts_as.as_caller().context
    assert context["aws:principalarn"] == ("arn:aws:iam::000000000000:role/reader",)
    assert context["aws:sourceidentity"] == ("ann@example.com",)
    assert context["aws:tokenissuetime"] == ("1970-01-01T00:16:40Z",)
    assert "aws:username" not in context


@pytest.mark.parametrize(
    "now",
    [
        known(keys=()),
        known(keys=(replace(KEY, disabled=True),)),
        known(principals=(replace(ANN, disabled=True),)),
        known(keys=(replace(KEY, secret="x" * 40),)),
        known(keys=(replace(KEY, principal="bob"),), principals=(replace(ANN, name="bob"),)),
        known(roles=()),
        known(roles=(replace(ROLE, disabled=True),)),
        known(roles=(replace(ROLE, id="PLRO0000000000000009"),)),
        known(tokens=None),
        known(tokens=SessionTokens([NEW], "c")),
        known(tokens=SessionTokens([OLD], "another")),
    ],
)
def test_what_its_issuer_has_no_more_is_worth_nothing(now: AllPrincipals) -> None:
    token = sealed(ASSUMED)
    assert known().key(ID, token) is not None
    assert now.key(ID, token) is None


def test_a_role_on_the_way_counts_as_the_last_one_does() -> None:
    token = sealed(replace(ASSUMED, roles=((OTHER.name, OTHER.id), (ROLE.name, ROLE.id))))
    assert known().key(ID, token) is not None
    assert known(roles=(ROLE,)).key(ID, token) is None


def test_the_key_file_is_changed_under_tokens() -> None:
    both = SessionTokens([NEW, OLD], "c")
    assert known(tokens=both).key(ID, sealed()) is not None
    fresh = both.seal(ID, SESSION, NONCE)
    assert known().key(ID, fresh) is None, "the new key sealed it"
    assert known(tokens=SessionTokens([NEW], "c")).key(ID, fresh) is not None


def test_another_keys_token_is_none() -> None:
    other = ID[:-1] + "Q"
    assert known().key(other, sealed()) is None
    assert known().key(KEY.id, sealed()) == KEY, "it has no token, as who asks compares"
    assert known().key(ID) is None
    assert known().key(ID, "") is None


@given(st.data())
def test_a_changed_token_is_none(data: Any) -> None:
    token = sealed(ASSUMED)
    place = data.draw(st.integers(0, len(token) - 1))
    instead = data.draw(st.sampled_from("ABCxyz019+/=\n \xe9"))
    changes: list[Callable[[], str]] = [
        lambda: token[:place],
        lambda: token[:place] + instead + token[place + 1 :],
        lambda: token[:place] + instead + token[place:],
        lambda: token + instead,
    ]
    changed = data.draw(st.sampled_from(changes))()
    assert (known().key(ID, changed) is None) == (changed != token)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_any_text_is_no_token(text: str) -> None:
    assert known().key(ID, text) is None


texts = st.text(max_size=20)
sessions = st.builds(
    Session,
    texts,
    texts,
    texts,
    st.binary(max_size=16),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    st.lists(st.tuples(texts, texts), max_size=4).map(tuple),
    texts,
    st.none() | st.lists(texts, max_size=2).map(tuple),
    st.dictionaries(texts, texts, max_size=5),
    st.lists(texts, max_size=3).map(tuple),
    texts,
)


@given(sessions)
def test_a_session_survives_its_bytes(session: Session) -> None:
    assert from_bytes(to_bytes(session)) == session


@given(st.binary(max_size=64))
def test_any_bytes_are_a_session_or_a_value_error(data: bytes) -> None:
    try:
        from_bytes(data)
    except ValueError:
        return
    raise AssertionError("so few bytes are no session")


def test_the_largest_session_has_a_token_that_fits() -> None:
    largest = replace(
        SESSION,
        secret="s" * 40,
        issuer="i" * 64,
        issuer_key="K" * 128,
        roles=tuple((f"{n}" * 64, f"{n}" * 32) for n in range(ROLES_MAX)),
        name="n" * 64,
        source_identity="d" * 64,
        policies=("".join(hashlib.sha256(bytes((n,))).hexdigest() for n in range(55)),),
    )
    assert 0.8 * PACKED_BYTES_MAX < len(packed(largest)) <= PACKED_BYTES_MAX
    assert len(TOKENS.seal(ID, largest, NONCE)) <= TOKEN_CHARACTERS_MAX


def test_session_policies_come_with_the_key() -> None:
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"},
        }
    )
    found = known().key(ID, sealed(replace(ASSUMED, policies=(text, "{}"))))
    assert found is not None
    assert found.session_policies is not None
    good, bad = found.session_policies
    assert (good.name, good.kind, good.error) == ("session policy 1", Kind.SESSION, None)
    assert len(good.statements) == 1
    assert bad.error is not None, "it denies everything"
    none = known().key(ID, sealed(replace(ASSUMED, policies=())))
    assert none is not None
    assert none.session_policies == ()


def test_what_stays_open_is_bounded_and_strangers_are_not_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_tokens, "OPENED_MAX", 3)
    tokens = SessionTokens([OLD], "c")
    mine = known(tokens=tokens)
    ids = [f"PLAS{number:016}" for number in range(5)]
    for key_id in ids:
        assert mine.key(key_id, sealed(key_id=key_id)) is not None
        assert mine.key(key_id, "stranger") is None
    assert len(tokens) == 3
    assert mine.key(ids[0], sealed(key_id=ids[0])) is not None


def test_no_secret_is_shown() -> None:
    assert "t" * 40 not in repr(SESSION)
    assert str(proof_of(KEY)) not in repr(SESSION)


class Moving:
    """What is known, with a version; ``outdated``: it cannot be gone by."""

    def __init__(self) -> None:
        self.number = 1
        self.outdated = False
        self.roles_outdated = False
        self.now = known()

    def version(self) -> int:
        return self.number

    def key(self, access_key_id: str, token: str | None = None) -> AccessKey | None:
        if self.outdated:
            raise Denied("ThrottlingException", "outdated")
        return self.now.key(access_key_id)

    def principal(self, name: str) -> Principal | None:
        return self.now.principal(name)

    def role(self, name: str) -> Role | None:
        if self.roles_outdated:
            raise Denied("ThrottlingException", "outdated")
        return self.now.role(name)


def test_what_it_is_worth_is_found_anew_with_each_version() -> None:
    tokens, moving = SessionTokens([OLD], "c"), Moving()
    token = sealed(ASSUMED)
    first = tokens.key(ID, token, moving)
    assert first is not None
    assert tokens.key(ID, token, moving) is first
    moving.now = known(roles=())
    moving.number = 2
    assert tokens.key(ID, token, moving) is None
    assert tokens.key(ID, token, moving) is None
    moving.now = known()
    moving.number = 3
    assert tokens.key(ID, token, moving) == first
    assert tokens.key(ID, token, known(roles=())) is None, "of somebody else's knowledge"


def test_what_cannot_be_told_now_is_not_kept() -> None:
    tokens, moving = SessionTokens([OLD], "c"), Moving()
    token = sealed(ASSUMED)
    for version in (1, 2):
        moving.number = version
        for _ in range(2):
            moving.outdated = True
            with pytest.raises(Denied, match="outdated"):
                tokens.key(ID, token, moving)
            moving.outdated = False
            assert tokens.key(ID, token, moving) is not None


def test_a_role_of_the_log_may_be_outdated_where_its_issuer_is_not() -> None:
    """The issuer may be one of a file on the very machine."""
    tokens, moving = SessionTokens([OLD], "c"), Moving()
    token = sealed(ASSUMED)
    assert tokens.key(ID, token, moving) is not None
    moving.roles_outdated = True
    with pytest.raises(Denied, match="outdated"):
        tokens.key(ID, token, moving)


def test_policies_that_stay_open_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_tokens, "POLICY_CHARACTERS_MAX", 250)
    tokens = SessionTokens([OLD], "c")
    mine = known(tokens=tokens)
    narrowed = replace(ASSUMED, policies=("x" * 100,))
    for number in range(6):
        key_id = f"PLAS{number:016}"
        assert mine.key(key_id, sealed(narrowed, key_id)) is not None
    assert len(tokens) == 2
    for number in range(6, 12):
        key_id = f"PLAS{number:016}"
        assert mine.key(key_id, sealed(key_id=key_id)) is not None
    assert len(tokens) == 8, "those without policies take none of that room"
    longest = replace(ASSUMED, policies=("x" * 251,))
    assert mine.key(ID, sealed(longest)) is not None
    assert len(tokens) == 0
