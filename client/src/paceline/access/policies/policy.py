"""A policy document, from its text. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

from paceline.access.policies import conditions, json_text
from paceline.access.policies.arns import ResourcePattern
from paceline.access.policies.conditions import Condition
from paceline.access.policies.json_text import CHARACTERS_MAX, Number, member
from paceline.access.policies.problems import PolicyError, Wrong, shown
from paceline.access.policies.statements import ActionPattern, Effect, Named, Statement

Made = TypeVar("Made")

VERSION: Final = "2012-10-17"
OLD_VERSION: Final = "2008-10-17"
"""What a document without a version has; it knows no variables."""


class Kind(Enum):
    """What a policy is attached to, which says whether it names principals."""

    IDENTITY = "identity"
    SESSION = "session"
    TABLE = "table"
    TRUST = "trust"
    """Of a role: it says who may take it on, and is about no other resource."""


_SID = re.compile(r"[A-Za-z0-9]*", re.ASCII)
_TABLE_SID = re.compile(r"[A-Za-z0-9 _.-]*", re.ASCII)
_MEMBERS: Final = ("Version", "Id", "Statement")
_STATEMENT_MEMBERS: Final = (
    *("Sid", "Effect", "Principal", "Action", "NotAction"),
    *("Resource", "NotResource", "Condition"),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """``name`` is what its text was called when it was read. One with an ``error`` could not be
    read: it has no statements, and denies everything."""

    name: str
    kind: Kind
    statements: tuple[Statement, ...]
    error: PolicyError | None = None

    @staticmethod
    def parse(
        text: str,
        where: str,
        kind: Kind = Kind.IDENTITY,
        characters_max: int = CHARACTERS_MAX,
    ) -> Policy:
        """Raises PolicyError. ``where`` names the document in messages and decisions."""
        return _Reader(where, kind).policy(json_text.read(text, where, characters_max))

    @staticmethod
    def read(
        text: str,
        where: str,
        kind: Kind = Kind.IDENTITY,
        characters_max: int = CHARACTERS_MAX,
    ) -> Policy:
        """Never raises: what cannot be read denies everything, and says why in ``error``."""
        try:
            return Policy.parse(text, where, kind, characters_max)
        except PolicyError as error:
            return Policy(where, kind, (), error)


class _Reader:
    def __init__(self, where: str, kind: Kind) -> None:
        self._where = where
        self._kind = kind

    def _wrong(self, path: str, wrong: str, allowed: str) -> PolicyError:
        return PolicyError(self._where, path, wrong, allowed)

    def _members(self, value: Any, path: str, allowed: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(path, "this is no object", f"it has {', '.join(allowed)}")
        for name in value:
            if name not in allowed:
                raise self._wrong(
                    member(path, name), "there is no such element", f"allowed: {', '.join(allowed)}"
                )
        return value

    def policy(self, root: Any) -> Policy:
        document = self._members(root, "$", _MEMBERS)
        version = document.get("Version", OLD_VERSION)
        if version not in (VERSION, OLD_VERSION):
            raise self._wrong(
                "$.Version", f"{shown(version)} is no version", f"{VERSION} or {OLD_VERSION}"
            )
        if not self._is_text(document.get("Id", "")):
            raise self._wrong("$.Id", "the id is no text", "a text, or none")
        if "Statement" not in document:
            raise self._wrong("$.Statement", "there are no statements", "one, or a list of them")
        given = document["Statement"]
        listed = given if isinstance(given, list) else [given]
        if not listed:
            raise self._wrong("$.Statement", "there are no statements", "one, or a list of them")
        made: dict[str, Statement] = {}
        for index, one in enumerate(listed):
            path = f"$.Statement[{index}]" if isinstance(given, list) else "$.Statement"
            statement = self._statement(one, path, index, variables=version == VERSION)
            if statement.name in made:
                raise self._wrong(
                    f"{path}.Sid", "another statement has the same Sid", "each has its own"
                )
            made[statement.name] = statement
        return Policy(self._where, self._kind, tuple(made.values()))

    @staticmethod
    def _is_text(value: Any) -> bool:
        return isinstance(value, str) and not isinstance(value, Number)

    def _statement(self, value: Any, path: str, index: int, *, variables: bool) -> Statement:
        members = self._members(value, path, _STATEMENT_MEMBERS)
        effect = members.get("Effect")
        if effect not in ("Allow", "Deny"):
            said = "there is no effect" if effect is None else f"{shown(effect)} is no effect"
            raise self._wrong(f"{path}.Effect", said, "Allow or Deny")
        actions, not_actions = self._texts(members, path, "Action", "NotAction")
        resources, not_resources = self._resources(members, path)
        return Statement(
            self._sid(members, path) or f"#{index}",
            Effect(effect),
            self._named(members, path),
            tuple(self._made(ActionPattern, at, text) for at, text in actions),
            not_actions,
            tuple(
                self._made(lambda text: ResourcePattern(text, variables=variables), at, text)
                for at, text in resources
            ),
            not_resources,
            self._conditions(members, path, variables=variables),
        )

    def _sid(self, members: dict[str, Any], path: str) -> str:
        sid = members.get("Sid", "")
        table = self._kind is Kind.TABLE
        if not self._is_text(sid) or not (_TABLE_SID if table else _SID).fullmatch(sid):
            more = ", spaces, _, . and -" if table else ""
            raise self._wrong(
                f"{path}.Sid", f"{shown(sid)} is no Sid", f"it has letters and digits{more}"
            )
        return str(sid)

    def _texts(
        self, members: dict[str, Any], path: str, name: str, negated: str
    ) -> tuple[list[tuple[str, str]], bool]:
        """Path and text of each entry, and whether they are those that are left out."""
        both = [each for each in (name, negated) if each in members]
        if len(both) != 1:
            said = f"there is {'both' if both else 'neither'} {name} {'and' if both else 'nor'}"
            raise self._wrong(path, f"{said} {negated}", "exactly one of them")
        given = members[both[0]]
        at = f"{path}.{both[0]}"
        return list(self._list(given, at)), both[0] == negated

    def _resources(self, members: dict[str, Any], path: str) -> tuple[list[tuple[str, str]], bool]:
        if self._kind is not Kind.TRUST:
            return self._texts(members, path, "Resource", "NotResource")
        for name in ("Resource", "NotResource"):
            if name in members:
                raise self._wrong(
                    f"{path}.{name}",
                    "a role's trust policy names resources",
                    "it is about the role that has it",
                )
        return [(path, "*")], False

    def _list(self, given: Any, path: str) -> list[tuple[str, str]]:
        listed = given if isinstance(given, list) else [given]
        if not listed:
            raise self._wrong(path, "the list is empty", "a text, or a list of at least one")
        entries = []
        for index, text in enumerate(listed):
            at = f"{path}[{index}]" if isinstance(given, list) else path
            if not self._is_text(text):
                raise self._wrong(at, f"{shown(text)} is no text", "a text, or a list of texts")
            entries.append((at, text))
        return entries

    def _named(self, members: dict[str, Any], path: str) -> Named | None:
        at = f"{path}.Principal"
        if self._kind not in (Kind.TABLE, Kind.TRUST):
            if "Principal" in members:
                raise self._wrong(
                    at,
                    f"a policy of an {self._kind.value} names principals",
                    "it is about whoever has it; principals stand in policies of tables and roles",
                )
            return None
        if "Principal" not in members:
            raise self._wrong(
                at,
                f"a {self._kind.value} policy's statement names no principal",
                '"*" or {"AWS": [ARNs]}',
            )
        given = members["Principal"]
        if given == "*":
            return Named.read(["*"])
        aws = self._members(given, at, ("AWS",))
        if "AWS" not in aws:
            raise self._wrong(at, "it names nobody", '"*" or {"AWS": [ARNs]}')
        entries = self._list(aws["AWS"], f"{at}.AWS")
        for entry_at, text in entries:
            self._made(lambda one: Named.read([one]), entry_at, text)
        return Named.read([text for _, text in entries])

    def _conditions(
        self, members: dict[str, Any], path: str, *, variables: bool
    ) -> tuple[Condition, ...]:
        at = f"{path}.Condition"
        try:
            return tuple(
                conditions.read(members.get("Condition", {}), variables=variables, path=at)
            )
        except conditions.At as found:
            raise self._wrong(found.path, found.wrong.wrong, found.wrong.allowed) from None

    def _made(self, make: Callable[[str], Made], path: str, text: str) -> Made:
        try:
            return make(text)
        except Wrong as wrong:
            raise self._wrong(path, wrong.wrong, wrong.allowed) from None
