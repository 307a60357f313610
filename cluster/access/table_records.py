"""What is kept of a table's policies, and its bytes: JSON, sealed in the log. Pure.

{"table": "Orders", "policies": {"partners": "{\\"Version\\": ...}"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster.access.fields import check_policies, map_of, only, text_of, texts_of

if TYPE_CHECKING:
    from paceline.access.policies.policy import Policy

IN_LOG = "table/"
"""In front of a table's name in the log, where no principal's name has a slash."""

NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
"""Those of DynamoDB's tables."""


@dataclass(frozen=True, slots=True)
class TableRecord:
    """``policies``: name to the text of an IAM document. ValueError, with what is wrong."""

    name: str
    policies: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a table")
        check_policies(self.policies)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Tables have no keys."""
        return ()

    @property
    def name_in_log(self) -> str:
        return IN_LOG + self.name

    def as_policies(self) -> tuple[Policy, ...]:
        """A policy that cannot be read denies everything."""
        # A megabyte that a node without principals need not have.
        from paceline.access.policies.policy import Kind, Policy  # noqa: PLC0415

        return tuple(Policy.read(text, name, Kind.TABLE) for name, text in self.policies.items())


def as_json(record: TableRecord) -> dict[str, Any]:
    return {"table": record.name, "policies": dict(record.policies)}


def to_bytes(record: TableRecord) -> bytes:
    return json.dumps(as_json(record), separators=(",", ":")).encode()


def from_json(found: object) -> TableRecord:
    """ValueError, with where and what, for what is no table's."""
    fields = map_of(found, "a table")
    only(fields, {"table", "policies"}, "a table")
    name = text_of(fields.get("table"), "table")
    return TableRecord(name, texts_of(fields.get("policies", {}), f"policies of {name}"))
