"""What is kept of a role, and its bytes: JSON, the same sealed in the log and in a file. Pure.

{"role": "orders-reader", "id": "PLRO...", "trust": "{\\"Version\\": ...}",
 "policies": {"read": "{\\"Version\\": ...}"}, "tags": {"team": "blue"},
 "session_max_s": 3600, "disabled": false,
 "upstream": {"role_arn": "arn:aws:iam::123456789012:role/orders-reader"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.access.fields import (
    check_name,
    check_policies,
    check_policy,
    check_tags,
    flag_of,
    map_of,
    only,
    text_of,
    texts_of,
)
from cluster.access.roles import (
    IN_LOG,
    ROLE_SESSION_DEFAULT_S,
    ROLE_SESSION_MAX_S,
    Role,
    role_arn,
)
from cluster.access.upstream import Source, source_of
from cluster.access.upstream import as_json as source_as_json

ID = re.compile(r"[A-Z0-9]{16,32}")
_KNOWN = {"role", "id", "trust", "policies", "tags", "session_max_s", "disabled", "upstream"}


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """``trust`` and ``policies`` are texts of IAM documents. ValueError, with what is wrong, for
    what no role may have; whether a policy can be read is another question."""

    name: str
    id: str
    trust: str
    policies: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    session_max_s: int = ROLE_SESSION_DEFAULT_S
    disabled: bool = False
    upstream: Source | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if not ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no id of a role")
        check_policy("trust", self.trust)
        check_policies(self.policies)
        check_tags(self.tags)
        if not ROLE_SESSION_DEFAULT_S <= self.session_max_s <= ROLE_SESSION_MAX_S:
            raise ValueError(
                f"sessions of {self.session_max_s} s; a role's longest have"
                f" {ROLE_SESSION_DEFAULT_S} to {ROLE_SESSION_MAX_S}"
            )

    @property
    def arn(self) -> str:
        return role_arn(self.name)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Roles have no keys."""
        return ()

    @property
    def name_in_log(self) -> str:
        return IN_LOG + self.name

    def as_role(self, revision: int = 0) -> Role:
        """A policy that cannot be read denies everything."""
        # A megabyte that a node without principals need not have.
        from paceline.access.policies.policy import Kind, Policy  # noqa: PLC0415

        return Role(
            self.name,
            self.id,
            Policy.read(self.trust, "trust", Kind.TRUST),
            tuple(Policy.read(text, name) for name, text in self.policies.items()),
            self.tags,
            self.session_max_s,
            self.disabled,
            self.upstream,
            revision,
        )


def as_json(record: RoleRecord) -> dict[str, Any]:
    """With its secrets."""
    # Only where there is one, as of principals: releases before it take no record that has it.
    source = {} if record.upstream is None else {"upstream": source_as_json(record.upstream)}
    return {
        "role": record.name,
        "id": record.id,
        "trust": record.trust,
        "policies": dict(record.policies),
        "tags": dict(record.tags),
        "session_max_s": record.session_max_s,
        "disabled": record.disabled,
        **source,
    }


def to_bytes(record: RoleRecord) -> bytes:
    return json.dumps(as_json(record), separators=(",", ":")).encode()


def from_json(found: object) -> RoleRecord:
    """ValueError, with where and what, for what is no role's."""
    fields = map_of(found, "a role")
    only(fields, _KNOWN, "a role")
    name = text_of(fields.get("role"), "role")
    longest = fields.get("session_max_s", ROLE_SESSION_DEFAULT_S)
    if not isinstance(longest, int) or isinstance(longest, bool):
        raise ValueError(f"session_max_s of {name}: a whole number of seconds expected")
    return RoleRecord(
        name,
        _id_in(fields, name),
        text_of(fields.get("trust"), f"trust of {name}"),
        texts_of(fields.get("policies", {}), f"policies of {name}"),
        texts_of(fields.get("tags", {}), f"tags of {name}"),
        longest,
        flag_of(fields.get("disabled", False), f"disabled of {name}"),
        source_of(fields["upstream"], IN_LOG + name) if "upstream" in fields else None,
    )


def _id_in(fields: Mapping[str, Any], name: str) -> str:
    """Sessions are of the role with the id. Nothing here can tell whether a role that comes again
    is the one that went, so who writes it has to say so."""
    if "id" not in fields:
        raise ValueError(
            f"id of {name}: 16 to 32 capital letters and digits, others for each role; a role that "
            "is added again with the same id is the same one, and its sessions go on"
        )
    return text_of(fields["id"], f"id of {name}")
