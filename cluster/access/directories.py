"""Where principals come from: sealed ones of the log, those of a file, and both together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cluster.access.principals import AccessKey, KnownPrincipals, Principal, Principals
from cluster.access.records import PrincipalRecord, from_bytes
from cluster.access.sealing import CannotOpen, Seal
from cluster.log.sealed_principals import SealedPrincipal

Sealed = Mapping[str, SealedPrincipal]


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
        """Called with each look-up of a key. Denied: what the log has here may be outdated."""
        self._sealed = sealed
        self._seal = seal
        self._warn = warn
        self._seen: Sealed = {}
        self._version = 0
        self._records: dict[str, tuple[int, PrincipalRecord | None]] = {}
        self._principals: dict[str, Principal] = {}
        self._keys: dict[str, AccessKey] = {}

    def version(self) -> int:
        sealed = self._sealed()
        if sealed is not self._seen:
            self._open(sealed)
        return self._version

    def key(self, access_key_id: str) -> AccessKey | None:
        self.check_current()
        self.version()
        return self._keys.get(access_key_id)

    def principal(self, name: str) -> Principal | None:
        self.version()
        return self._principals.get(name)

    def record(self, name: str) -> PrincipalRecord | None:
        """With its secrets: for who changes it."""
        self.version()
        return self._records.get(name, (0, None))[1]

    def _open(self, sealed: Sealed) -> None:
        before = self._records
        self._records = {
            name: before[name]
            if name in before and before[name][0] == one.revision
            else (one.revision, self._opened(name, one))
            for name, one in sealed.items()
        }
        records = [record for _, record in self._records.values() if record is not None]
        self._principals = {record.name: record.as_principal() for record in records}
        self._keys = {key.id: key for record in records for key in record.access_keys()}
        self._version += 1
        self._seen = sealed

    def _opened(self, name: str, one: SealedPrincipal) -> PrincipalRecord | None:
        try:
            record = from_bytes(self._seal.open(name, one.sealed))
            if (record.name, record.key_ids) != (name, one.key_ids):
                raise ValueError("it is another principal's, or has other keys")
        except (CannotOpen, ValueError) as error:
            self._warn(name, str(error))
            return None
        return record


class AllPrincipals:
    """Several sources; what one has hides what later ones have of the same name or key id."""

    def __init__(self, sources: Sequence[Principals]) -> None:
        self._sources = sources
        changing = [one for one in sources if not isinstance(one, KnownPrincipals)]
        self._versions = [one.version for one in changing]
        self.version: Callable[[], int] = (
            self._versions[0] if len(changing) == 1 else self._sum_of_versions
        )
        """Asked for each hit: the one source that there usually is answers itself."""

    def _sum_of_versions(self) -> int:
        return sum(version() for version in self._versions)

    def key(self, access_key_id: str) -> AccessKey | None:
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

    def _is_of(self, source: Principals, key: AccessKey) -> bool:
        """A key is worth nothing if its principal's name is an earlier source's."""
        return self.principal(key.principal) is source.principal(key.principal)
