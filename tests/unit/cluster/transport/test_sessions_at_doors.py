"""A sealed token at DAX connections, calls by gRPC and known heads of HTTP: until it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.access.denied import Denied
from cluster.access.directories import AllPrincipals
from cluster.access.principals import TEMPORARY, AccessKey, KnownPrincipals, Principal
from cluster.access.session_tokens import SessionTokens
from cluster.access.sessions import Session, proof_of
from cluster.access.signatures.alike import alike
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import Rules, Verified, verify
from cluster.transport.dax_callers import DaxCaller, DaxCallers
from cluster.transport.grpc_callers import GrpcCallers
from paceline.auth.grpc_calls import sign_call
from paceline.auth.sigv4 import sign_dax
from paceline.dax.request_types import Authorize
from tests.unit.cluster.access.signatures.signing import BODY, NOW, REGION, signed

ANN = Principal("ann", "arn:aws:iam::000000000000:user/ann")
KEY = AccessKey("PLAK0000000000000001", "s" * 40, "ann")
ID = TEMPORARY + "A" * 16
SECRET = "t" * 40
END = NOW + 200
TOKENS = SessionTokens(["k" * 32], "c")
TOKEN = TOKENS.seal(ID, Session(SECRET, "ann", KEY.id, proof_of(KEY), NOW, END), bytes(12))
EXPIRED, UNKNOWN = "ExpiredTokenException", "UnrecognizedClientException"
METHOD = "/paceline.v1.Data/GetItem"


class World:
    """What the programs take for the time, and whom they know."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.know(KEY)

    def know(self, *keys: AccessKey, version: int = 1) -> None:
        self._known = AllPrincipals([Changing((ANN,), keys, version)], TOKENS)

    def version(self) -> int:
        return self._known.version()

    def key(self, access_key_id: str, token: str | None = None) -> AccessKey | None:
        return self._known.key(access_key_id, token)

    def principal(self, name: str) -> Principal | None:
        return self._known.principal(name)

    def __call__(self) -> float:
        return self.now


class Changing(KnownPrincipals):
    """Counts among sources that change."""

    def __new__(cls, *args: Any) -> Any:
        return object.__new__(cls)


def dax(world: World, token: str | None = TOKEN, key_id: str = ID) -> DaxCaller:
    caller = DaxCallers(world, Rules(REGION), world).caller(lambda data, by: b"hit")
    signature = sign_dax(SECRET, REGION, datetime.fromtimestamp(world.now, UTC))
    caller.sign(Authorize(key_id, signature.signature, signature.string_to_sign, token))
    return caller


def said(caller: DaxCaller) -> str:
    refused = caller.refusal()
    return "" if refused is None else str(getattr(refused, "code", refused))


def hit(caller: DaxCaller) -> bool:
    return caller.answered(b"") is not None


def test_an_open_connection_ends_with_its_session() -> None:
    world = World()
    caller = dax(world)
    assert said(caller) == ""
    assert hit(caller)
    world.now = END - 1.0
    assert said(caller) == ""
    assert hit(caller)
    world.now = float(END)
    assert not hit(caller)
    assert EXPIRED in said(caller)
    assert EXPIRED in said(dax(world)), "a new one, too"


def test_an_open_connection_ends_with_the_key_it_came_from() -> None:
    world = World()
    caller = dax(world)
    for number, changed in enumerate(
        (replace(KEY, disabled=True), replace(KEY, secret="x" * 40)), 2
    ):
        world.know(changed, version=2 * number)
        again = DaxCallers(world, Rules(REGION), world)
        assert again
        assert UNKNOWN in said(dax(world))
    assert caller.verified is not None


@pytest.mark.parametrize(
    ("token", "key_id"),
    [(None, ID), ("", ID), (TOKEN[:-4], ID), (TOKEN, TEMPORARY + "B" * 16), (TOKEN, KEY.id)],
)
def test_a_connection_needs_the_keys_own_token(token: str | None, key_id: str) -> None:
    refused = said(dax(World(), token, key_id))
    assert UNKNOWN in refused or "InvalidSignature" in refused


def call(world: World, token: str | None = TOKEN) -> None:
    key = AccessKey(ID, SECRET, "ann", session_token=token)

    class Credentials:
        access_key, secret_key = key.id, key.secret

    Credentials.token = token  # type: ignore[attr-defined]
    at = datetime.fromtimestamp(world.now, UTC)
    metadata = sign_call(Credentials, REGION, METHOD, b"m", at)  # type: ignore[arg-type]
    GrpcCallers(world, Rules(REGION), world).verify(METHOD, metadata, "127.0.0.1")


def test_a_call_by_grpc_has_its_token() -> None:
    world = World()
    call(world)
    with pytest.raises(Denied, match="UnrecognizedClient"):
        call(world, None)
    world.now = float(END)
    with pytest.raises(Denied, match="ExpiredToken"):
        call(world)


def test_a_request_that_is_like_one_before_ends_with_the_session() -> None:
    world = World()
    key = AccessKey(ID, SECRET, "ann", session_token=TOKEN)
    request = signed(key)
    keys = SigningKeys()
    rules = Rules(REGION)
    found: Verified = verify(request, world, rules, keys, world.now)
    assert found.valid_until == END
    headers = dict(request.headers)
    names = [name.lower() for name in headers if name.lower() in (b"x-amz-date", b"authorization")]
    lower = replace(
        request, headers=tuple((name.lower(), value) for name, value in request.headers)
    )
    proof = alike(lower, names, found, rules, keys)
    assert proof is not None

    def values(at: int) -> list[bytes]:
        sent = {name.lower(): value for name, value in signed(key, at=at).headers}
        return [
            sent[name].rpartition(b"Signature=")[2] if name == b"authorization" else sent[name]
            for name in names
        ]

    assert proof.is_signed(values(NOW + 1), BODY, world, NOW + 1.0)
    assert proof.is_signed(values(END - 1), BODY, world, END - 1.0)
    assert not proof.is_signed(values(END), BODY, world, float(END))
