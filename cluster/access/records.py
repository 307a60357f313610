"""What is kept of a principal, and its bytes: JSON, the same sealed in the log and in a file. Pure.

{"name": "ann", "tags": {"team": "blue"}, "disabled": false,
 "policies": {"read": "{\\"Version\\": ...}"},
 "keys": [{"id": "PLAK...", "secret": "...", "disabled": false, "created": "2026-01-31T12:00Z"}]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.access.principals import AccessKey, Principal
from cluster.log.sealed_principals import KEYS_MAX
from paceline.access.policies.context import arn_of
from paceline.access.policies.json_text import CHARACTERS_MAX as POLICY_CHARACTERS_MAX

NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
"""Those of IAM's users, so that what names them elsewhere (ARNs, variables) can."""

KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
"""Those of IAM's access keys."""

SECRET_CHARACTERS = range(16, 129)
TAGS_MAX = 50
TAG_KEY_CHARACTERS_MAX = 128
TAG_VALUE_CHARACTERS_MAX = 256
POLICIES_MAX = 10


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """``created``: in UTC, as ISO 8601 has it; for people only."""

    id: str
    secret: str = field(repr=False)
    disabled: bool = False
    created: str = ""


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """``policies``: name to the text of an IAM document. ValueError, with what is wrong, for what
    no principal may have; whether a policy can be read is another question."""

    name: str
    keys: tuple[KeyRecord, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    disabled: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name: 1 to 64 of letters, digits and +=,.@_-")
        if len(self.keys) > KEYS_MAX:
            raise ValueError(f"{len(self.keys)} access keys; a principal has at most {KEYS_MAX}")
        ids = [key.id for key in self.keys]
        if len(set(ids)) != len(ids):
            raise ValueError("two access keys have the same id")
        for key in self.keys:
            if not KEY_ID.fullmatch(key.id):
                raise ValueError(f"{key.id!r} is no access key id: 16 to 128 letters and digits")
            if len(key.secret) not in SECRET_CHARACTERS or not key.secret.isascii():
                raise ValueError(f"the secret of {key.id} does not have 16 to 128 characters")
        if len(self.policies) > POLICIES_MAX:
            raise ValueError(f"{len(self.policies)} policies; the most are {POLICIES_MAX}")
        for name, text in self.policies.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a policy")
            if len(text) > POLICY_CHARACTERS_MAX:
                raise ValueError(
                    f"the policy {name} has {len(text)} characters; the most are"
                    f" {POLICY_CHARACTERS_MAX}"
                )
        if len(self.tags) > TAGS_MAX:
            raise ValueError(f"{len(self.tags)} tags; the most are {TAGS_MAX}")
        for tag, value in self.tags.items():
            if not 0 < len(tag) <= TAG_KEY_CHARACTERS_MAX or len(value) > TAG_VALUE_CHARACTERS_MAX:
                raise ValueError(
                    f"the tag {tag!r}: a key has 1 to {TAG_KEY_CHARACTERS_MAX} characters, a value"
                    f" {TAG_VALUE_CHARACTERS_MAX} at most"
                )

    @property
    def arn(self) -> str:
        return arn_of(self.name)

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(key.id for key in self.keys)

    def with_key(self, key: KeyRecord) -> PrincipalRecord:
        """With it, in place of one of the same id. ValueError as for any."""
        return replace(self, keys=(*(one for one in self.keys if one.id != key.id), key))

    def without_key(self, key_id: str) -> PrincipalRecord:
        return replace(self, keys=tuple(one for one in self.keys if one.id != key_id))

    def access_keys(self) -> tuple[AccessKey, ...]:
        return tuple(AccessKey(k.id, k.secret, self.name, k.disabled) for k in self.keys)

    def as_principal(self) -> Principal:
        """A policy that cannot be read denies everything."""
        # A megabyte that a node without principals need not have.
        from paceline.access.policies.policy import Policy  # noqa: PLC0415

        policies = tuple(Policy.read(text, name) for name, text in self.policies.items())
        return Principal(self.name, self.arn, self.tags, policies, self.disabled)


def as_json(record: PrincipalRecord) -> dict[str, Any]:
    """With its secrets."""
    return {
        "name": record.name,
        "disabled": record.disabled,
        "tags": dict(record.tags),
        "policies": dict(record.policies),
        "keys": [
            {"id": k.id, "secret": k.secret, "disabled": k.disabled, "created": k.created}
            for k in record.keys
        ],
    }


def to_bytes(record: PrincipalRecord) -> bytes:
    return json.dumps(as_json(record), separators=(",", ":")).encode()


def from_bytes(data: bytes) -> PrincipalRecord:
    """ValueError for what is no principal's."""
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return from_json(found)


def from_json(found: object) -> PrincipalRecord:
    """ValueError, with where and what, for what is no principal's: what is unknown is refused too,
    since a misspelt ``disabled`` would let somebody in."""
    fields = _map(found, "a principal")
    _only(fields, {"name", "disabled", "tags", "policies", "keys"}, "a principal")
    name = _text(fields.get("name"), "name")
    keys = fields.get("keys", [])
    if not isinstance(keys, list):
        raise ValueError(f"keys of {name}: a list expected, not {type(keys).__name__}")
    return PrincipalRecord(
        name,
        tuple(_key(key, name) for key in keys),
        _texts(fields.get("policies", {}), f"policies of {name}"),
        _texts(fields.get("tags", {}), f"tags of {name}"),
        _flag(fields.get("disabled", False), f"disabled of {name}"),
    )


def _key(found: object, of: str) -> KeyRecord:
    where = f"a key of {of}"
    fields = _map(found, where)
    _only(fields, {"id", "secret", "disabled", "created"}, where)
    return KeyRecord(
        _text(fields.get("id"), f"id of {where}"),
        _text(fields.get("secret"), f"secret of {where}"),
        _flag(fields.get("disabled", False), f"disabled of {where}"),
        _text(fields.get("created", ""), f"created of {where}"),
    )


def _only(fields: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise ValueError(f"{where} has no {unknown[0]!r}; it has {', '.join(sorted(known))}")


def _map(found: object, where: str) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{where}: a map expected, not {type(found).__name__}")
    return found


def _text(found: object, where: str) -> str:
    if not isinstance(found, str):
        raise ValueError(f"{where}: a text expected, not {type(found).__name__}")
    return found


def _texts(found: object, where: str) -> dict[str, str]:
    return {key: _text(value, f"{where}, {key}") for key, value in _map(found, where).items()}


def _flag(found: object, where: str) -> bool:
    if not isinstance(found, bool):
        raise ValueError(f"{where}: true or false expected, not {type(found).__name__}")
    return found
