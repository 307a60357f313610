"""Operators' commands on roles, and what is told of them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.access.role_records import RoleRecord
from cluster.access.roles import IN_LOG
from cluster.access.upstream import told as source_told
from cluster.service.commands import AdminCommand
from node.admin.sealed_log import (
    Query,
    SealedLog,
    checked,
    given,
    tags_and_policies,
    upstream_in,
)
from paceline.errors import RequestError

ID_PREFIX = "PLRO"
_ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class RoleCommands:
    def __init__(self, log: SealedLog) -> None:
        self._log = log

    @property
    def commands(self) -> Mapping[str, AdminCommand]:
        """By the path of their POST."""
        verbs = (self.list, self.add, self.change, self.remove)
        return {f"/roles/{verb.__name__}": verb for verb in verbs}

    async def list(self, query: Query) -> dict[str, Any]:
        """All of them, or the one of ``name``."""
        names = [self._record(query).name] if "name" in query else self._log.names(IN_LOG)
        return {
            "roles": [_told(name, self._log.record(IN_LOG + name, RoleRecord)) for name in names]
        }

    async def add(self, query: Query) -> dict[str, Any]:
        """``name`` and ``trust``; maybe ``tags``, ``policies`` and ``upstream``, as JSON, and
        ``session_max_s``."""
        name, trust = given(query, "name"), given(query, "trust")
        if self._log.record(IN_LOG + name, RoleRecord) is not None:
            raise RequestError("ValidationException", f"there is a role {name} already")
        made = checked(lambda: _with_parts(RoleRecord(name, _new_id(), trust), query))
        await self._log.put(made, creates=True)
        return _told(name, made)

    async def change(self, query: Query) -> dict[str, Any]:
        """``name``; ``disabled`` (true, false), ``trust``, ``tags``, ``policies``,
        ``session_max_s``, ``upstream`` (an empty one: none any more)."""
        record = self._record(query)
        record = checked(lambda: _with_parts(record, query))
        if "disabled" in query:
            record = replace(record, disabled=query["disabled"] == "true")
        await self._log.put(record, creates=False)
        return _told(record.name, record)

    async def remove(self, query: Query) -> dict[str, Any]:
        """``name``; its sessions end."""
        name = given(query, "name")
        if not await self._log.remove(IN_LOG + name):
            raise _no_such(name)
        return {"name": name, "removed": True}

    def _record(self, query: Query) -> RoleRecord:
        name = given(query, "name")
        record = self._log.record(IN_LOG + name, RoleRecord)
        if record is None:
            raise _no_such(name)
        return record


def _no_such(name: str) -> RequestError:
    return RequestError(
        "ValidationException",
        f"the log has no role {name} that this node can open; 'paceline role list'",
    )


def _with_parts(record: RoleRecord, query: Query) -> RoleRecord:
    """ValueError, PolicyError."""
    from paceline.access.policies.policy import Kind, Policy  # noqa: PLC0415 - see records

    parts = {**tags_and_policies(query), **upstream_in(query, record.name_in_log)}
    record = replace(record, **parts)
    if "session_max_s" in query:
        record = replace(record, session_max_s=int(query["session_max_s"]))
    if "trust" in query:
        Policy.parse(query["trust"], "trust", Kind.TRUST)
        record = replace(record, trust=query["trust"])
    return record


def _new_id() -> str:
    """80 bits of chance: no later role of the name is this one."""
    return ID_PREFIX + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(16))


def _told(name: str, record: RoleRecord | None) -> dict[str, Any]:
    if record is None:
        return {"name": name, "trouble": "it was sealed with a key that this node does not have"}
    return {
        "name": name,
        "arn": record.arn,
        "id": record.id,
        "disabled": record.disabled,
        "session_max_s": record.session_max_s,
        "trust": record.trust,
        "tags": dict(record.tags),
        "policies": dict(record.policies),
        "upstream": None if record.upstream is None else source_told(record.upstream),
    }
