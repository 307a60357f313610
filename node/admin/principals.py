"""Operators' commands on principals, and what is told of them: never a secret but once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cluster.access.directories import LogPrincipals
from cluster.access.records import KeyRecord, PrincipalRecord, to_bytes
from cluster.access.sealing import NONCE_BYTES, Seal
from cluster.access.upstream import source_of
from cluster.access.upstream import told as source_told
from cluster.agent import Agent
from cluster.log.commands import PutPrincipal
from cluster.service.commands import AdminCommand
from paceline.access.policies.problems import PolicyError
from paceline.errors import RequestError, Unavailable

CHANGE_S = 20.0
"""The time for one change: a leader may have to be elected first."""

KEY_ID_PREFIX = "PLAK"
_KEY_ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

Query = Mapping[str, str]


class PrincipalCommands:
    """``known``, ``seal``: None where the node has no key to open and seal them with."""

    def __init__(self, agent: Agent, known: LogPrincipals | None, seal: Seal | None) -> None:
        self._agent = agent
        self._known = known
        self._seal = seal

    @property
    def commands(self) -> Mapping[str, AdminCommand]:
        """By the path of their POST."""
        verbs = (self.list, self.add, self.rotate, self.change, self.remove, self.reseal)
        return {f"/principals/{verb.__name__}": verb for verb in verbs}

    async def list(self, query: Query) -> dict[str, Any]:
        """All of them, or the one of ``name``; without secrets."""
        known, _ = self._opened()
        names = sorted(self._agent.state.principals.by_name)
        if "name" in query:
            names = [self._record(query).name]
        return {"principals": [_told(name, known.record(name, PrincipalRecord)) for name in names]}

    async def add(self, query: Query) -> dict[str, Any]:
        """``name``; maybe ``tags``, ``policies`` and ``upstream``, as JSON. It gets an access key,
        whose secret is told now and never again."""
        known, _ = self._opened()
        name = _name(query)
        if known.record(name, PrincipalRecord) is not None:
            raise RequestError("ValidationException", f"there is a principal {name} already")
        key = _new_key()
        record = _checked(lambda: _with_parts(PrincipalRecord(name, (key,)), query))
        await self._put(record, creates=True)
        return {**_told(name, record), "new_key": _shown(key)}

    async def rotate(self, query: Query) -> dict[str, Any]:
        """``name``: it gets one more access key. ``now``: all others go at once."""
        self._opened()
        record = self._record(query)
        key = _new_key()
        if query.get("now") == "true":
            record = replace(record, keys=())
        record = _checked(lambda: record.with_key(key))
        await self._put(record, creates=False)
        return {**_told(record.name, record), "new_key": _shown(key)}

    async def change(self, query: Query) -> dict[str, Any]:
        """``name``; ``disabled`` (true, false) of it, or of its ``key``; ``tags``, ``policies``,
        ``upstream`` (an empty one: none any more)."""
        self._opened()
        record = self._record(query)
        record = _checked(lambda: _with_parts(record, query))
        if "disabled" in query:
            disabled = query["disabled"] == "true"
            if "key" in query:
                key = _key_of(record, query["key"])
                record = record.with_key(replace(key, disabled=disabled))
            else:
                record = replace(record, disabled=disabled)
        await self._put(record, creates=False)
        return _told(record.name, record)

    async def remove(self, query: Query) -> dict[str, Any]:
        """``name``, and all of its keys; or its ``key`` alone."""
        self._opened()
        if "key" not in query:
            name = _name(query)
            if name not in self._agent.state.principals.by_name:
                raise _no_such(name)
            await self._commit(name, (), None, creates=False)
            return {"name": name, "removed": True}
        record = self._record(query)
        record = record.without_key(_key_of(record, query["key"]).id)
        await self._put(record, creates=False)
        return _told(record.name, record)

    async def reseal(self, query: Query) -> dict[str, Any]:
        """Seals all anew that an older key has sealed, which may leave the key file then."""
        known, seal = self._opened()
        done = []
        for name, one in sorted(self._agent.state.principals.by_name.items()):
            record = known.record(name, PrincipalRecord)
            if record is not None and not seal.is_latest(one.sealed):
                await self._put(record, creates=False)
                done.append(name)
        return {"resealed": done}

    def _opened(self) -> tuple[LogPrincipals, Seal]:
        if self._known is None or self._seal is None:
            raise RequestError(
                "ValidationException",
                "this node has no key for principals: set PACELINE_ACCESS__PRINCIPALS_KEY_FILE",
            )
        return self._known, self._seal

    def _record(self, query: Query) -> PrincipalRecord:
        known, _ = self._opened()
        name = _name(query)
        record = known.record(name, PrincipalRecord)
        if record is None:
            raise _no_such(name)
        return record

    async def _put(self, record: PrincipalRecord, *, creates: bool) -> None:
        _, seal = self._opened()
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = seal.seal(record.name, to_bytes(record), nonce)
        await self._commit(record.name, record.key_ids, sealed, creates=creates)

    async def _commit(
        self, name: str, key_ids: tuple[str, ...], sealed: bytes | None, *, creates: bool
    ) -> None:
        principals = self._agent.state.principals
        before = principals.by_name.get(name)
        expected = principals.revision if creates or before is None else before.revision
        command = PutPrincipal(name, expected, creates, key_ids, sealed)
        try:
            result = await self._agent.commit(command, CHANGE_S)
        except Unavailable as error:
            raise Unavailable(
                f"{error}; it may still happen: 'paceline principal list' tells, and a new key "
                "whose secret nobody has seen is to be removed"
            ) from error
        if not result.ok:
            raise RequestError("ValidationException", result.reason)


def _name(query: Query) -> str:
    name = query.get("name", "").strip()
    if not name:
        raise RequestError("ValidationException", "the parameter name is missing")
    return name


def _no_such(name: str) -> RequestError:
    return RequestError(
        "ValidationException",
        f"the log has no principal {name} that this node can open; 'paceline principal list'",
    )


def _checked(make: Callable[[], PrincipalRecord]) -> PrincipalRecord:
    try:
        return make()
    except (ValueError, PolicyError) as error:
        raise RequestError("ValidationException", str(error)) from error


def _with_parts(record: PrincipalRecord, query: Query) -> PrincipalRecord:
    """ValueError."""
    if "tags" in query:
        record = replace(record, tags=_texts(query["tags"], "tags"))
    if "policies" in query:
        policies = _texts(query["policies"], "policies")
        from paceline.access.policies.policy import Policy  # noqa: PLC0415 - see records

        for name, text in policies.items():
            Policy.parse(text, name)
        record = replace(record, policies=policies)
    if "upstream" in query:
        text = query["upstream"]
        source = source_of(_json(text), record.name) if text else None
        record = replace(record, upstream=source)
    return record


def _json(text: str) -> Any:
    """None for what is nested too deeply, and for what is none: that of a parser's error may have
    a secret in it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _texts(text: str, what: str) -> dict[str, str]:
    found = _json(text)
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise ValueError(f"{what}: a JSON object of texts is expected")
    return found


def _key_of(record: PrincipalRecord, key_id: str) -> KeyRecord:
    for key in record.keys:
        if key.id == key_id:
            return key
    raise RequestError("ValidationException", f"{record.name} has no access key {key_id}")


def _new_key() -> KeyRecord:
    """An id of 20 characters, 80 bits of chance; a secret of 40, 240 bits."""
    tail = "".join(secrets.choice(_KEY_ID_CHARACTERS) for _ in range(16))
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
