"""Operators' commands on principals, and what is told of them: never a secret but once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.access.records import KeyRecord, PrincipalRecord
from cluster.access.upstream import told as source_told
from cluster.iso_times import second_text
from cluster.service.commands import AdminCommand
from node.admin.sealed_log import (
    Query,
    SealedLog,
    checked,
    given,
    tags_and_policies,
    upstream_in,
)
from paceline.clock import wall_time
from paceline.errors import RequestError

KEY_ID_PREFIX = "PLAK"
_KEY_ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class PrincipalCommands:
    def __init__(self, log: SealedLog) -> None:
        self._log = log

    @property
    def commands(self) -> Mapping[str, AdminCommand]:
        """By the path of their POST."""
        verbs = (self.list, self.add, self.rotate, self.change, self.remove, self.reseal)
        return {f"/principals/{verb.__name__}": verb for verb in verbs}

    async def list(self, query: Query) -> dict[str, Any]:
        """All of them, or the one of ``name``; without secrets."""
        names = [self._record(query).name] if "name" in query else self._log.names()
        found = {name: self._log.record(name, PrincipalRecord) for name in names}
        return {"principals": [_told(name, record) for name, record in found.items()]}

    async def add(self, query: Query) -> dict[str, Any]:
        """``name``; maybe ``tags``, ``policies`` and ``upstream``, as JSON. It gets an access key,
        whose secret is told now and never again."""
        name = given(query, "name")
        if self._log.record(name, PrincipalRecord) is not None:
            raise RequestError("ValidationException", f"there is a principal {name} already")
        key = _new_key()
        record = checked(lambda: _with_parts(PrincipalRecord(name, (key,)), query))
        await self._log.put(record, creates=True)
        return {**_told(name, record), "new_key": _shown(key)}

    async def rotate(self, query: Query) -> dict[str, Any]:
        """``name``: it gets one more access key. ``now``: all others go at once."""
        record = self._record(query)
        key = _new_key()
        if query.get("now") == "true":
            record = replace(record, keys=())
        record = checked(lambda: record.with_key(key))
        await self._log.put(record, creates=False)
        return {**_told(record.name, record), "new_key": _shown(key)}

    async def change(self, query: Query) -> dict[str, Any]:
        """``name``; ``disabled`` (true, false) of it, or of its ``key``; ``tags``, ``policies``,
        ``upstream`` (an empty one: none any more)."""
        record = self._record(query)
        record = checked(lambda: _with_parts(record, query))
        if "disabled" in query:
            disabled = query["disabled"] == "true"
            if "key" in query:
                key = _key_of(record, query["key"])
                record = record.with_key(replace(key, disabled=disabled))
            else:
                record = replace(record, disabled=disabled)
        await self._log.put(record, creates=False)
        return _told(record.name, record)

    async def remove(self, query: Query) -> dict[str, Any]:
        """``name``, and all of its keys; or its ``key`` alone."""
        if "key" not in query:
            name = given(query, "name")
            if "/" in name or not await self._log.remove(name):
                raise _no_such(name)
            return {"name": name, "removed": True}
        record = self._record(query)
        record = record.without_key(_key_of(record, query["key"]).id)
        await self._log.put(record, creates=False)
        return _told(record.name, record)

    async def reseal(self, query: Query) -> dict[str, Any]:
        """Seals all anew that an older key has sealed, which may leave the key file then: roles and
        policies of tables, too."""
        return {"resealed": await self._log.reseal()}

    def _record(self, query: Query) -> PrincipalRecord:
        name = given(query, "name")
        record = self._log.record(name, PrincipalRecord)
        if record is None:
            raise _no_such(name)
        return record


def _no_such(name: str) -> RequestError:
    return RequestError(
        "ValidationException",
        f"the log has no principal {name} that this node can open; 'paceline principal list'",
    )


def _with_parts(record: PrincipalRecord, query: Query) -> PrincipalRecord:
    """ValueError."""
    return replace(record, **tags_and_policies(query), **upstream_in(query, record.name_in_log))


def _key_of(record: PrincipalRecord, key_id: str) -> KeyRecord:
    for key in record.keys:
        if key.id == key_id:
            return key
    raise RequestError("ValidationException", f"{record.name} has no access key {key_id}")


def _new_key() -> KeyRecord:
    """An id of 20 characters, 80 bits of chance; a secret of 40, 240 bits."""
    tail = "".join(secrets.choice(_KEY_ID_CHARACTERS) for _ in range(16))
    created = second_text(wall_time())
    return KeyRecord(KEY_ID_PREFIX + tail, secrets.token_urlsafe(30), created=created)


def _shown(key: KeyRecord) -> dict[str, str]:
    return {"access_key_id": key.id, "secret_access_key": key.secret}


def _told(name: str, record: PrincipalRecord | None) -> dict[str, Any]:
    if record is None:
        return {"name": name, "trouble": "it was sealed with a key that this node does not have"}
    return {
        "name": name,
        "arn": record.arn,
        "disabled": record.disabled,
        "tags": dict(record.tags),
        "policies": dict(record.policies),
        "keys": [
            {"id": key.id, "disabled": key.disabled, "created": key.created} for key in record.keys
        ],
        "upstream": None if record.upstream is None else source_told(record.upstream),
    }
