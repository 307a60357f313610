"""Those who call, their access keys, and where both are looked up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from paceline.access.policies.policy import Policy

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


@dataclass(frozen=True, slots=True)
class Principal:
    """One who may call: a user, or a role that was taken on."""

    name: str
    arn: str
    tags: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    policies: tuple[Policy, ...] = ()
    disabled: bool = False


class Principals(Protocol):
    """Where keys and principals are looked up. Both look-ups answer at once, from memory."""

    @property
    def version(self) -> Callable[[], int]:
        """It rises with each change, so that what was verified or compiled under an older one,
        for a connection say, is looked at again. A function, which is asked for each hit."""

    def key(self, access_key_id: str) -> AccessKey | None:
        """Denied: whether there is such a key cannot be told now."""

    def principal(self, name: str) -> Principal | None: ...


class KnownPrincipals:
    """Principals that do not change: those of a file, or of a test."""

    def __init__(
        self, principals: tuple[Principal, ...], keys: tuple[AccessKey, ...], version: int = 1
    ) -> None:
        """ValueError for two of one name, and for a key of a principal that is not there."""
        self._principals = {one.name: one for one in principals}
        self._keys = {one.id: one for one in keys}
        self._version = version
        if len(self._principals) != len(principals):
            raise ValueError("two principals have the same name")
        if len(self._keys) != len(keys):
            raise ValueError("two access keys have the same id")
        for key in keys:
            if key.principal not in self._principals:
                raise ValueError(f"access key {key.id} is of {key.principal!r}, who is not there")

    def version(self) -> int:
        return self._version

    def key(self, access_key_id: str) -> AccessKey | None:
        return self._keys.get(access_key_id)

    def principal(self, name: str) -> Principal | None:
        return self._principals.get(name)
