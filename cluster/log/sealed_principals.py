"""Principals as the replicated log has them: sealed, and found by name. So are roles, and policies
of tables. Pure.

The log never sees a secret: what a principal is, its keys included, is sealed with a key that no
log or snapshot holds (``cluster/access/sealing.py``). Only the ids of its access keys are in
clear, so that no two principals get the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.log.commands import PutPrincipal

T = TypeVar("T")

PRINCIPALS_MAX = 5_000
"""More people and programs than one cluster's tables have; more belong to an identity provider."""

SEALED_BYTES_MAX = 64 * 1024
"""Of one principal: its policies are most of it (10 240 characters each)."""

ALL_BYTES_MAX = 32 * 1024 * 1024
"""Of all principals, names and key ids included: they are in every snapshot of the log, and in
every node's memory."""

KEYS_MAX = 8
"""Of one principal: the one in use, its successor, and a few for programs apart."""


@dataclass(frozen=True, slots=True)
class SealedPrincipal:
    """``revision``: grows with each change of any principal, so none comes twice."""

    key_ids: tuple[str, ...]
    sealed: bytes
    revision: int


@dataclass(slots=True)
class SealedPrincipals:
    """``by_name`` is replaced, never changed, so that who holds it can tell that it is another."""

    by_name: Mapping[str, SealedPrincipal]
    revision: int = 0
    """Of the latest change."""
    removed: int = 0
    """The revision of the latest removal."""

    def put(self, command: PutPrincipal) -> tuple[int, str]:
        """Returns the principal's revision, and why it was refused, or an empty text.

        A command that is applied twice, because its proposer did not hear of the first time, says
        the second time what it did the first.
        """
        before = self.by_name.get(command.name)
        if command.sealed is None:
            return self._drop(command, before)
        if before is not None and before.sealed == command.sealed:
            return before.revision, ""
        refused = self._refusal(command, before)
        if refused:
            return 0, refused
        self.revision += 1
        after = SealedPrincipal(command.key_ids, command.sealed, self.revision)
        self.by_name = {**self.by_name, command.name: after}
        return self.revision, ""

    def _drop(self, command: PutPrincipal, before: SealedPrincipal | None) -> tuple[int, str]:
        if before is None:
            return self.revision, ""
        if command.creates or before.revision != command.expected:
            return 0, _changed(command)
        self.revision += 1
        self.removed = self.revision
        self.by_name = {name: one for name, one in self.by_name.items() if name != command.name}
        return self.revision, ""

    def _refusal(self, command: PutPrincipal, before: SealedPrincipal | None) -> str:
        sealed = command.sealed or b""
        if command.creates and before is not None:
            return f"there is a {called(command.name)} already"
        if not command.creates and before is None:
            return f"there is no {called(command.name)}"
        if command.expected != before.revision if before else command.expected < self.removed:
            return _changed(command)
        if len(sealed) > SEALED_BYTES_MAX:
            return f"{called(command.name)}: {len(sealed)} bytes; the most is {SEALED_BYTES_MAX}"
        if len(command.key_ids) > KEYS_MAX:
            return f"a principal has at most {KEYS_MAX} access keys"
        if before is None and len(self.by_name) >= PRINCIPALS_MAX:
            return (
                f"the cluster has {PRINCIPALS_MAX} principals, roles and tables' policies already"
            )
        others = [one for name, one in self.by_name.items() if name != command.name]
        size = sum(
            _bytes_of(name, one.key_ids, one.sealed)
            for name, one in self.by_name.items()
            if name != command.name
        )
        if size + _bytes_of(command.name, command.key_ids, sealed) > ALL_BYTES_MAX:
            return f"all principals together would have more than {ALL_BYTES_MAX} bytes"
        taken = {key for one in others for key in one.key_ids}.intersection(command.key_ids)
        if taken:
            return f"the access key {min(taken)} is another principal's"
        return ""

    def fields(self) -> list[object]:
        """For a snapshot."""
        rows = sorted(self.by_name.items())
        return [
            self.revision,
            self.removed,
            [[name, list(p.key_ids), p.sealed, p.revision] for name, p in rows],
        ]

    @classmethod
    def from_fields(cls, fields: object) -> SealedPrincipals:
        """Of a snapshot's. ValueError, TypeError: they are something else."""
        if fields is None:  # of a release without principals
            return cls({})
        revision, removed, rows = _checked(fields, list)
        by_name = {
            _checked(name, str): SealedPrincipal(
                tuple(_checked(key, str) for key in _checked(key_ids, list)),
                _checked(sealed, bytes),
                _checked(its_revision, int),
            )
            for name, key_ids, sealed, its_revision in _checked(rows, list)
        }
        return cls(by_name, _checked(revision, int), _checked(removed, int))


def _checked(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _bytes_of(name: str, key_ids: tuple[str, ...], sealed: bytes) -> int:
    return len("".join((name, *key_ids)).encode()) + len(sealed)


def _changed(command: PutPrincipal) -> str:
    return f"the {called(command.name)} was changed meanwhile; look at it, and try again"


def called(name: str) -> str:
    """What people call an entry. Roles, and tables with policies, stand behind a word and a slash,
    which no principal's name has."""
    kind, slash, rest = name.partition("/")
    return f"{kind} {rest}" if slash else f"principal {name}"
