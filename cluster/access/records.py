"""What is kept of a principal, and its bytes: JSON, the same sealed in the log and in a file. Pure.

{"name": "ann", "tags": {"team": "blue"}, "disabled": false,
 "policies": {"read": "{\\"Version\\": ...}"},
 "keys": [{"id": "PLAK...", "secret": "...", "disabled": false, "created": "2026-01-31T12:00Z"}],
 "upstream": {"role_arn": "arn:aws:iam::123456789012:role/ann"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.access.fields import (
    check_name,
    check_policies,
    check_tags,
    flag_of,
    json_of,
    map_of,
    only,
    text_of,
    texts_of,
)
from cluster.access.principals import TEMPORARY, AccessKey, Principal
from cluster.access.upstream import Source, source_of
from cluster.access.upstream import as_json as source_as_json
from cluster.log.sealed_principals import KEYS_MAX
from paceline.access.policies.context import arn_of

KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
"""Those of IAM's access keys."""

SECRET_CHARACTERS = range(16, 129)


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
    upstream: Source | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.keys) > KEYS_MAX:
            raise ValueError(f"{len(self.keys)} access keys; a principal has at most {KEYS_MAX}")
        ids = [key.id for key in self.keys]
        if len(set(ids)) != len(ids):
            raise ValueError("two access keys have the same id")
        for key in self.keys:
            if not KEY_ID.fullmatch(key.id):
                raise ValueError(f"{key.id!r} is no access key id: 16 to 128 letters and digits")
            if key.id.startswith(TEMPORARY):
                raise ValueError(f"{key.id}: only temporary keys begin with {TEMPORARY}")
            if len(key.secret) not in SECRET_CHARACTERS or not key.secret.isascii():
                raise ValueError(f"the secret of {key.id} does not have 16 to 128 characters")
        check_policies(self.policies)
        check_tags(self.tags)

    @property
    def arn(self) -> str:
        return arn_of(self.name)

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(key.id for key in self.keys)

    @property
    def name_in_log(self) -> str:
        return self.name

    def with_key(self, key: KeyRecord) -> PrincipalRecord:
        """With it, in place of one of the same id. ValueError as for any."""
        return replace(self, keys=(*(one for one in self.keys if one.id != key.id), key))

    def without_key(self, key_id: str) -> PrincipalRecord:
        return replace(self, keys=tuple(one for one in self.keys if one.id != key_id))

    def access_keys(self) -> tuple[AccessKey, ...]:
        return tuple(AccessKey(k.id, k.secret, self.name, k.disabled) for k in self.keys)

    def as_principal(self, revision: int = 0) -> Principal:
        """A policy that cannot be read denies everything."""
        # A megabyte that a node without principals need not have.
        from paceline.access.policies.policy import Policy  # noqa: PLC0415

        policies = tuple(Policy.read(text, name) for name, text in self.policies.items())
        return Principal(
            self.name,
            self.arn,
            self.tags,
            policies,
            self.disabled,
            upstream=self.upstream,
            revision=revision,
        )


def as_json(record: PrincipalRecord) -> dict[str, Any]:
    """With its secrets."""
    # Only where there is one: releases before it take no record that has it, and so let nobody
    # in whom they would send upstream with the node's own rights.
    source = {} if record.upstream is None else {"upstream": source_as_json(record.upstream)}
    return {
        "name": record.name,
        "disabled": record.disabled,
        "tags": dict(record.tags),
        "policies": dict(record.policies),
        "keys": [
            {"id": k.id, "secret": k.secret, "disabled": k.disabled, "created": k.created}
            for k in record.keys
        ],
        **source,
    }


def to_bytes(record: PrincipalRecord) -> bytes:
    return json.dumps(as_json(record), separators=(",", ":")).encode()


def from_bytes(data: bytes) -> PrincipalRecord:
    """ValueError for what is no principal's."""
    return from_json(json_of(data))


def from_json(found: object) -> PrincipalRecord:
    """ValueError, with where and what, for what is no principal's: what is unknown is refused too,
    since a misspelt ``disabled`` would let somebody in."""
    fields = map_of(found, "a principal")
    only(fields, {"name", "disabled", "tags", "policies", "keys", "upstream"}, "a principal")
    name = text_of(fields.get("name"), "name")
    keys = fields.get("keys", [])
    if not isinstance(keys, list):
        raise ValueError(f"keys of {name}: a list expected, not {type(keys).__name__}")
    return PrincipalRecord(
        name,
        tuple(_key(key, name) for key in keys),
        texts_of(fields.get("policies", {}), f"policies of {name}"),
        texts_of(fields.get("tags", {}), f"tags of {name}"),
        flag_of(fields.get("disabled", False), f"disabled of {name}"),
        source_of(fields["upstream"], name) if "upstream" in fields else None,
    )


def _key(found: object, of: str) -> KeyRecord:
    where = f"a key of {of}"
    fields = map_of(found, where)
    only(fields, {"id", "secret", "disabled", "created"}, where)
    return KeyRecord(
        text_of(fields.get("id"), f"id of {where}"),
        text_of(fields.get("secret"), f"secret of {where}"),
        flag_of(fields.get("disabled", False), f"disabled of {where}"),
        text_of(fields.get("created", ""), f"created of {where}"),
    )
