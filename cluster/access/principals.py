"""Those who call, their access keys, and where both are looked up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cluster.access.upstream import Source
from paceline.access.policies.context import Caller

if TYPE_CHECKING:
    from cluster.access.roles import Role
    from paceline.access.policies.policy import Policy

TEMPORARY = "PLAS"
"""How ids of temporary access keys begin: those are found by their token, in no directory."""

CERTIFICATE = "certificate:"
"""In front of a principal's name: the id of what stands for a key where a certificate was shown. No
key has a colon in its id, so no directory has such a one."""

ROLE = "role:"
"""The same in front of a role's id, where a session of it calls: its key is in no directory."""

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What a caller signs with. A key with ``session_token`` is temporary: its token has to come
    with each request, and ``expires_at`` ends it (seconds since the epoch, by the wall clock).

    ``session_policies`` narrow what the principal's policies allow; None: there are none, which
    is not the same as an empty tuple, by which nothing is allowed.
    """

    id: str
    secret: str = field(repr=False)
    principal: str
    """The name of the principal that it belongs to."""
    disabled: bool = False
    session_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    session_policies: tuple[Policy, ...] | None = None
    acts_as: Principal | None = None
    """Who it acts as, if that is not its principal as it stands: a role that was taken on, or the
    principal with what is known of the session."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One who may call: a user, or a session of a role that was taken on. The latter has a
    ``role_arn``, which is how policies name it, the role's id and a ``userid`` of its own.
    ``known``: further condition keys that say something of it."""

    name: str
    arn: str
    tags: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    policies: tuple[Policy, ...] = ()
    disabled: bool = False
    userid: str | None = None
    role_arn: str | None = None
    role_id: str | None = None
    known: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    upstream: Source | None = None
    """Its own credentials at AWS, where requests are made in callers' names."""
    revision: int = 0
    """Another one whenever it is not what it was."""

    def as_caller(self) -> Caller:
        """As policies see it."""
        return Caller(self.name, self.arn, self.tags, self.userid, self.role_arn, self.known)


class Principals(Protocol):
    """Where keys and principals are looked up. Both look-ups answer at once, from memory."""

    @property
    def version(self) -> Callable[[], int]:
        """It rises with each change, so that what was verified or compiled under an older one,
        for a connection say, is looked at again. A function, which is asked for each hit."""

    def key(self, access_key_id: str, token: str | None = None) -> AccessKey | None:
        """``token``: the session's, that came with it; temporary keys are found by nothing else.
        Denied: whether there is such a key cannot be told now."""

    def principal(self, name: str) -> Principal | None: ...

    def calling(self, name: str) -> Principal | None:
        """The same of one who calls by its name alone, with a certificate. Denied: as of a key."""


class KnownPrincipals:
    """Principals that do not change: those of a file, or of a test."""

    def __init__(
        self,
        principals: tuple[Principal, ...],
        keys: tuple[AccessKey, ...],
        version: int = 1,
        roles: tuple[Role, ...] = (),
        tables: Mapping[str, tuple[Policy, ...]] | None = None,
    ) -> None:
        """ValueError for two of one name, and for a key of a principal that is not there."""
        self._principals = {one.name: one for one in principals}
        self._keys = {one.id: one for one in keys}
        self._roles = {one.name: one for one in roles}
        self._tables = tables or {}
        self._version = version
        if len(self._principals) != len(principals):
            raise ValueError("two principals have the same name")
        if len(self._keys) != len(keys):
            raise ValueError("two access keys have the same id")
        if len(self._roles) != len(roles):
            raise ValueError("two roles have the same name")
        for key in keys:
            if key.principal not in self._principals:
                raise ValueError(f"access key {key.id} is of {key.principal!r}, who is not there")

    def version(self) -> int:
        return self._version

    def key(self, access_key_id: str, token: str | None = None) -> AccessKey | None:
        return self._keys.get(access_key_id)

    def principal(self, name: str) -> Principal | None:
        return self._principals.get(name)

    def calling(self, name: str) -> Principal | None:
        return self._principals.get(name)

    def role(self, name: str) -> Role | None:
        return self._roles.get(name)

    def table_policies(self, table: str) -> tuple[Policy, ...]:
        return self._tables.get(table, ())

    def has_table_policies(self) -> bool:
        return any(self._tables.values())


def found(
    principals: Principals, access_key_id: str, token: str | None
) -> tuple[AccessKey, Principal] | None:
    """The key, and who it acts as. None: there is no such key, or it or its principal is
    disabled."""
    key = principals.key(access_key_id, token)
    if key is None or key.disabled:
        return None
    principal = principals.principal(key.principal)
    if principal is None or principal.disabled:
        return None
    return key, key.acts_as or principal
