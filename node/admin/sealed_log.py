"""Changes the sealed entries of the log: principals, roles, policies of tables."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cluster.access.directories import LogPrincipals, R, Record, bytes_of
from cluster.access.records import PrincipalRecord
from cluster.access.role_records import RoleRecord
from cluster.access.sealing import NONCE_BYTES, Seal
from cluster.access.table_records import TableRecord
from cluster.access.upstream import source_of
from cluster.agent import Agent
from cluster.log.commands import PutPrincipal
from paceline.access.policies.problems import PolicyError
from paceline.errors import RequestError, Unavailable

CHANGE_S = 20.0
"""The time for one change: a leader may have to be elected first."""

Query = Mapping[str, str]
Made = TypeVar("Made")


class SealedLog:
    """``known``, ``seal``: None where the node has no key to open and seal entries with."""

    def __init__(self, agent: Agent, known: LogPrincipals | None, seal: Seal | None) -> None:
        self._agent = agent
        self._known = known
        self._seal = seal

    def names(self, prefix: str = "") -> list[str]:
        """Of all entries that begin so, without it; "": of principals. RequestError as below."""
        self.opened()
        found = sorted(self._agent.state.principals.by_name)
        if not prefix:
            return [name for name in found if "/" not in name]
        return [name.removeprefix(prefix) for name in found if name.startswith(prefix)]

    def record(self, name_in_log: str, kind: type[R]) -> R | None:
        """None: there is no such one, or it was sealed with a key that this node does not have.
        RequestError: it has none at all."""
        known, _ = self.opened()
        return known.record(name_in_log, kind)

    def opened(self) -> tuple[LogPrincipals, Seal]:
        """RequestError: the node has no key for it."""
        if self._known is None or self._seal is None:
            raise RequestError(
                "ValidationException",
                "this node has no key for principals: set PACELINE_ACCESS__PRINCIPALS_KEY_FILE",
            )
        return self._known, self._seal

    async def reseal(self) -> list[str]:
        """Seals all anew that an older key has sealed; returns the names in the log."""
        known, seal = self.opened()
        done = []
        for name, one in sorted(self._agent.state.principals.by_name.items()):
            record: Record | None = (
                known.record(name, PrincipalRecord)
                or known.record(name, RoleRecord)
                or known.record(name, TableRecord)
            )
            if record is not None and not seal.is_latest(one.sealed):
                await self.put(record, creates=False)
                done.append(name)
        return done

    async def put(self, record: Record, *, creates: bool) -> None:
        """RequestError: it was changed meanwhile, or may not be. Unavailable: the outcome is not
        known."""
        _, seal = self.opened()
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = seal.seal(record.name_in_log, bytes_of(record), nonce)
        await self._commit(record.name_in_log, record.key_ids, sealed, creates=creates)

    async def remove(self, name_in_log: str) -> bool:
        """Also what this node cannot open. False: there is none. RequestError as above."""
        self.opened()
        if name_in_log not in self._agent.state.principals.by_name:
            return False
        await self._commit(name_in_log, (), None, creates=False)
        return True

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
                f"{error}; it may still happen: 'list' and 'show' tell, and a new key whose secret "
                "nobody has seen is to be removed"
            ) from error
        if not result.ok:
            raise RequestError("ValidationException", result.reason)


def given(query: Query, parameter: str) -> str:
    """RequestError: it is missing."""
    value = query.get(parameter, "").strip()
    if not value:
        raise RequestError("ValidationException", f"the parameter {parameter} is missing")
    return value


def checked(make: Callable[[], Made]) -> Made:
    """What it makes; RequestError for its ValueError, and for a policy that cannot be read."""
    try:
        return make()
    except (ValueError, PolicyError) as error:
        raise RequestError("ValidationException", str(error)) from error


def json_of(text: str) -> Any:
    """None for what is nested too deeply, and for what is none: that of a parser's error may have
    a secret in it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def texts_of(text: str, what: str) -> dict[str, str]:
    """Of a JSON object. ValueError."""
    found = json_of(text)
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise ValueError(f"{what}: a JSON object of texts is expected")
    return found


def tags_and_policies(query: Query) -> dict[str, Any]:
    """Those that the query has, as a record's fields. ValueError; PolicyError for what cannot be
    read."""
    found = {part: texts_of(query[part], part) for part in ("tags", "policies") if part in query}
    if "policies" in found:
        from paceline.access.policies.policy import Policy  # noqa: PLC0415 - see records

        for name, text in found["policies"].items():
            Policy.parse(text, name)
    return found


def upstream_in(query: Query, name_in_log: str) -> dict[str, Any]:
    """``upstream`` as a record's field, where the query has it. ValueError."""
    if "upstream" not in query:
        return {}
    text = query["upstream"]
    return {"upstream": source_of(json_of(text), name_in_log) if text else None}
