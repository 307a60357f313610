"""Where principals come from: sealed ones of the log, those of a file, and both together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from cluster.access import records, role_records, table_records
from cluster.access.fields import json_of
from cluster.access.principals import (
    TEMPORARY,
    AccessKey,
    KnownPrincipals,
    Principal,
    Principals,
)
from cluster.access.records import PrincipalRecord
from cluster.access.role_records import RoleRecord
from cluster.access.roles import IN_LOG as ROLE_IN_LOG
from cluster.access.roles import Role
from cluster.access.sealing import CannotOpen, Seal
from cluster.access.table_records import TableRecord
from cluster.log.sealed_principals import SealedPrincipal

if TYPE_CHECKING:
    from cluster.access.session_tokens import SessionTokens
    from paceline.access.policies.policy import Policy

Sealed = Mapping[str, SealedPrincipal]

Record = PrincipalRecord | RoleRecord | TableRecord

R = TypeVar("R", PrincipalRecord, RoleRecord, TableRecord)


class Directory(Principals, Protocol):
    """What there is besides principals and their keys."""

    def role(self, name: str) -> Role | None: ...

    def table_policies(self, table: str) -> tuple[Policy, ...]:
        """Those that are attached to a table, by its name."""

    def has_table_policies(self) -> bool:
        """Whether any table has some."""


class LogPrincipals:
    """The principals of the replicated log, as of the latest change that is applied here.

    ``sealed`` gives what the log has; another object whenever something in it has changed. So
    nothing has to be told: each look-up sees the latest, a revocation too. ``warn(name, why)``
    is called once for a principal that cannot be opened; it is nobody then.
    """

    def __init__(
        self, sealed: Callable[[], Sealed], seal: Seal, warn: Callable[[str, str], None]
    ) -> None:
        self.check_current: Callable[[], None] = lambda: None
        """Called for each key or role. Denied: what the log has here may be outdated."""
        self._sealed = sealed
        self._seal = seal
        self._warn = warn
        self._seen: Sealed = {}
        self._version = 0
        self._records: dict[str, tuple[int, Record | None]] = {}
        self._principals: dict[str, Principal] = {}
        self._keys: dict[str, AccessKey] = {}
        self._roles: dict[str, Role] = {}
        self._tables: dict[str, tuple[Policy, ...]] = {}

    def version(self) -> int:
        sealed = self._sealed()
        if sealed is not self._seen:
            self._open(sealed)
        return self._version

    def key(self, access_key_id: str, token: str | None = None) -> AccessKey | None:
        self.check_current()
        self.version()
        return self._keys.get(access_key_id)

    def principal(self, name: str) -> Principal | None:
        self.version()
        return self._principals.get(name)

    def calling(self, name: str) -> Principal | None:
        self.check_current()
        return self.principal(name)

    def role(self, name: str) -> Role | None:
        self.check_current()
        self.version()
        return self._roles.get(name)

    def table_policies(self, table: str) -> tuple[Policy, ...]:
        self.version()
        return self._tables.get(table, ())

    def has_table_policies(self) -> bool:
        self.version()
        return any(self._tables.values())

    def record(self, name_in_log: str, kind: type[R]) -> R | None:
        """With its secrets: for who changes it."""
        self.version()
        found = self._records.get(name_in_log, (0, None))[1]
        return found if isinstance(found, kind) else None

    def _open(self, sealed: Sealed) -> None:
        before = self._records
        self._records = {
            name: before[name]
            if name in before and before[name][0] == one.revision
            else (one.revision, self._opened(name, one))
            for name, one in sealed.items()
        }
        found = [record for _, record in self._records.values()]
        known = [one for one in found if isinstance(one, PrincipalRecord)]
        self._principals = {
            one.name: one.as_principal(self._records[one.name_in_log][0]) for one in known
        }
        self._keys = {key.id: key for one in known for key in one.access_keys()}
        self._roles = {
            one.name: one.as_role(self._records[one.name_in_log][0])
            for one in found
            if isinstance(one, RoleRecord)
        }
        self._tables = {
            one.name: one.as_policies() for one in found if isinstance(one, TableRecord)
        }
        self._version += 1
        self._seen = sealed

    def _opened(self, name: str, one: SealedPrincipal) -> Record | None:
        try:
            record = _read(name, self._seal.open(name, one.sealed))
            if (record.name_in_log, record.key_ids) != (name, one.key_ids):
                raise ValueError("it is another principal's, or has other keys")
        except (CannotOpen, ValueError) as error:
            self._warn(name, str(error))
            return None
        return record


def _read(name_in_log: str, data: bytes) -> Record:
    """ValueError."""
    found = json_of(data)
    if name_in_log.startswith(ROLE_IN_LOG):
        return role_records.from_json(found)
    if name_in_log.startswith(table_records.IN_LOG):
        return table_records.from_json(found)
    return records.from_json(found)


def bytes_of(record: Record) -> bytes:
    """As they are sealed."""
    match record:
        case RoleRecord():
            return role_records.to_bytes(record)
        case TableRecord():
            return table_records.to_bytes(record)
        case _:
            return records.to_bytes(record)


class AllPrincipals:
    """Several sources; what one has hides what later ones have of the same name or key id. Policies
    of a table count wherever they are. ``tokens``: of temporary keys; None: there are none."""

    def __init__(self, sources: Sequence[Directory], tokens: SessionTokens | None = None) -> None:
        self._sources = sources
        self._tokens = tokens
        changing = [one for one in sources if not isinstance(one, KnownPrincipals)]
        self.version: Callable[[], int] = _version_of([one.version for one in changing])
        """Asked for each hit: the one source that there usually is answers itself."""

    def key(self, access_key_id: str, token: str | None = None) -> AccessKey | None:
        if access_key_id.startswith(TEMPORARY):
            return None if self._tokens is None else self._tokens.key(access_key_id, token, self)
        for source in self._sources:
            key = source.key(access_key_id)
            if key is not None:
                return key if self._is_of(source, key) else None
        return None

    def principal(self, name: str) -> Principal | None:
        for source in self._sources:
            principal = source.principal(name)
            if principal is not None:
                return principal
        return None

    def calling(self, name: str) -> Principal | None:
        for source in self._sources:
            principal = source.calling(name)
            if principal is not None:
                return principal
        return None

    def role(self, name: str) -> Role | None:
        for source in self._sources:
            role = source.role(name)
            if role is not None:
                return role
        return None

    def table_policies(self, table: str) -> tuple[Policy, ...]:
        return tuple(one for source in self._sources for one in source.table_policies(table))

    def has_table_policies(self) -> bool:
        return any(source.has_table_policies() for source in self._sources)

    def _is_of(self, source: Principals, key: AccessKey) -> bool:
        """A key is worth nothing if its principal's name is an earlier source's."""
        return self.principal(key.principal) is source.principal(key.principal)


def _version_of(versions: Sequence[Callable[[], int]]) -> Callable[[], int]:
    """Of all together: each of them rises."""
    match versions:
        case (one,):
            return one
        case (one, other):
            return lambda: one() + other()
    return lambda: sum(version() for version in versions)
