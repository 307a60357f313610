"""Temporary credentials: what their token says, and what it is worth now. Pure.

A token is sealed, so that every program of the cluster that has the key can tell whose it is
without having seen it before, and nobody else can read or make one. It is worth something as long
as whoever it came from could get it: his access key, and each role that was taken on with it, have
to be there, the same, and not disabled.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgpack

from cluster.access.principals import AccessKey, Principal, Principals
from cluster.access.roles import IN_LOG, Role, session_arn
from cluster.access.signatures.timestamps import text_of

if TYPE_CHECKING:
    from paceline.access.policies.policy import Policy

ROLES_MAX: Final = 8
"""Taken on one after another, each by a session of the one before."""

PACKED_BYTES_MAX: Final = 2_048
"""Of session policies and tags, compressed. It keeps tokens under the 8 KB that gRPC takes of a
call's metadata."""

_FORM: Final = 1
_PLAIN_BYTES_MAX: Final = 64 * 1024
_PROOF_INFO: Final = b"paceline: issuer of sessions, 1"
_PROOF_BYTES: Final = 16
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Session:
    """What a token says. ``issuer`` and ``issuer_key``: the principal that it came from, and its
    access key, which is no temporary one; ``issuer_proof``: see ``proof_of``.

    ``roles``: name and id of each that was taken on, the last one being who it acts as; ``name``:
    the session's, where there is a role. ``policies``: texts of session policies; None: there are
    none. ``tags``: of the session; ``transitive``: the keys of those that go on to the next role.
    Times are seconds since the epoch.
    """

    secret: str = field(repr=False)
    issuer: str
    issuer_key: str
    issuer_proof: bytes = field(repr=False)
    issued_at: int
    expires_at: int
    roles: tuple[tuple[str, str], ...] = ()
    name: str = ""
    policies: tuple[str, ...] | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    transitive: tuple[str, ...] = ()
    source_identity: str = ""


class Known(Principals, Protocol):
    """Where also roles are looked up."""

    def role(self, name: str) -> Role | None: ...


def proof_of(key: AccessKey) -> bytes:
    """Of the secret: a key of the same id with another secret is another key."""
    return hmac.digest(key.secret.encode(), _PROOF_INFO, hashlib.sha256)[:_PROOF_BYTES]


def packed(session: Session) -> bytes:
    """Policies and tags as the token has them; ``PACKED_BYTES_MAX`` at most are allowed. They are
    compressed apart from the secret, whose bytes then show nothing by their number."""
    return zlib.compress(_plain(session), 9)


def opens_again(session: Session) -> bool:
    """Whether a token of it can be read: much of the same packs to little, and is much again."""
    return len(_plain(session)) <= _PLAIN_BYTES_MAX


def _plain(session: Session) -> bytes:
    policies = None if session.policies is None else list(session.policies)
    data: bytes = msgpack.packb([policies, dict(session.tags), list(session.transitive)])
    return data


def to_bytes(session: Session) -> bytes:
    fields = [
        *(_FORM, session.secret, session.issuer, session.issuer_key, session.issuer_proof),
        *(session.issued_at, session.expires_at, [list(role) for role in session.roles]),
        *(session.name, session.source_identity, packed(session)),
    ]
    data: bytes = msgpack.packb(fields)
    return data


def from_bytes(data: bytes) -> Session:
    """ValueError for what is no session's. These bytes were sealed by the cluster itself: what is
    wrong with them is that a later release has another form."""
    try:
        form, *fields = msgpack.unpackb(data)
        if form != _FORM:
            raise ValueError(f"form {form!r} of a session is not known")
        secret, issuer, key, proof, issued_at, expires_at, roles, *rest = fields
        name, source_identity, small = rest
        policies, tags, transitive = msgpack.unpackb(_unpacked(small))
    except (TypeError, msgpack.UnpackException, zlib.error) as error:
        raise ValueError(f"no session: {error!r}") from error
    return Session(
        *(secret, issuer, key, proof, issued_at, expires_at),
        tuple((role, role_id) for role, role_id in roles),
        name,
        None if policies is None else tuple(policies),
        tags,
        tuple(transitive),
        source_identity,
    )


def _unpacked(small: Any) -> bytes:
    plain = zlib.decompressobj()
    data = plain.decompress(small, _PLAIN_BYTES_MAX)
    if not plain.eof:
        raise ValueError(f"more than {_PLAIN_BYTES_MAX} bytes of policies and tags")
    return data


def session_policies(session: Session) -> tuple[Policy, ...] | None:
    """A policy that cannot be read denies everything."""
    if session.policies is None:
        return None
    # A megabyte that a node without sessions need not have.
    from paceline.access.policies.policy import Kind, Policy  # noqa: PLC0415

    return tuple(
        Policy.read(text, f"session policy {number}", Kind.SESSION)
        for number, text in enumerate(session.policies, 1)
    )


def key_of(
    session: Session,
    access_key_id: str,
    token: str,
    policies: tuple[Policy, ...] | None,
    known: Known,
) -> AccessKey | None:
    """What ``token`` is worth now; None: nothing. ``policies``: the session's, read. Whether it has
    expired is for those to say who have a clock."""
    issuer = known.key(session.issuer_key)
    if issuer is None or issuer.disabled or issuer.principal != session.issuer:
        return None
    if not hmac.compare_digest(proof_of(issuer), session.issuer_proof):
        return None
    user = known.principal(session.issuer)
    if user is None or user.disabled:
        return None
    role = None
    for name, role_id in session.roles:
        role = known.role(name)
        if role is None or role.disabled or role.id != role_id:
            return None
    return AccessKey(
        access_key_id,
        session.secret,
        session.issuer,
        session_token=token,
        expires_at=float(session.expires_at),
        session_policies=policies,
        acts_as=_acting(session, user, role),
    )


def _acting(session: Session, user: Principal, role: Role | None) -> Principal:
    known = {"aws:TokenIssueTime": _iso(session.issued_at)}
    if role is None:
        return replace(user, known=known)
    if session.source_identity:
        known["aws:SourceIdentity"] = session.source_identity
    return Principal(
        IN_LOG + role.name,
        session_arn(role.name, session.name),
        merged(role.tags, session.tags),
        role.policies,
        userid=f"{role.id}:{session.name}",
        role_arn=role.arn,
        role_id=role.id,
        known=known,
        upstream=role.upstream,
        revision=role.revision,
    )


def merged(tags: Mapping[str, str], over: Mapping[str, str]) -> Mapping[str, str]:
    """Keys of tags know no large and small letters: one of ``over`` takes the place of another."""
    if not over:
        return tags
    taken = {key.lower() for key in over}
    return {**{key: tag for key, tag in tags.items() if key.lower() not in taken}, **over}


def _iso(seconds: int) -> str:
    text = text_of(seconds)
    return f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:]}"
