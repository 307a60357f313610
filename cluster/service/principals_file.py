"""Principals of a YAML file, which is read again when it changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
import yaml

from cluster.access import records, role_records, table_records
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.records import PrincipalRecord
from cluster.access.role_records import RoleRecord
from cluster.access.roles import Role
from cluster.access.table_records import TableRecord
from paceline.errors import ConfigError

if TYPE_CHECKING:
    from paceline.access.policies.policy import Policy

LOOK_S = 0.5
"""A change acts within a second on the file's own host."""

FILE_BYTES_MAX = 4 * 1024 * 1024

_log = structlog.get_logger()

_Stamp = tuple[int, int, int]


class PrincipalsFile:
    """Lists under ``principals``, ``roles`` and ``tables``; what is in them as in
    ``access.records`` and its kin, policies as text or as maps. A file that cannot be read changes
    nothing, and is told in the log: one that is half written would else lock everybody out."""

    def __init__(self, path: Path) -> None:
        """ConfigError, with what is wrong, for a file that cannot be read: a start without it would
        lock everybody out, too."""
        self._path = path
        self._stamp = _stamp(path)
        self._version = 1
        self._known = _read(path, self._version)

    def version(self) -> int:
        return self._version

    def key(self, access_key_id: str, token: str | None = None) -> AccessKey | None:
        return self._known.key(access_key_id)

    def principal(self, name: str) -> Principal | None:
        return self._known.principal(name)

    def calling(self, name: str) -> Principal | None:
        return self._known.calling(name)

    def role(self, name: str) -> Role | None:
        return self._known.role(name)

    def table_policies(self, table: str) -> tuple[Policy, ...]:
        return self._known.table_policies(table)

    def has_table_policies(self) -> bool:
        return self._known.has_table_policies()

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Reads the file if it has changed."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            # Not on the loop: it takes a second for the largest file.
            known = await asyncio.to_thread(_read, self._path, self._version + 1)
        except ConfigError as error:
            _log.error("principals were not read; those of before stay", reason=str(error))
            return
        self._known, self._version = known, known.version()
        _log.info("principals were read", file=str(self._path))


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, version: int) -> KnownPrincipals:
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} has more than {FILE_BYTES_MAX} bytes")
    try:
        found = records_of(data.decode())
        return KnownPrincipals(
            tuple(record.as_principal(version) for record in found.principals),
            tuple(key for record in found.principals for key in record.access_keys()),
            version,
            tuple(record.as_role(version) for record in found.roles),
            {record.name: record.as_policies() for record in found.tables},
        )
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


class Records(NamedTuple):
    """All that a file has."""

    principals: list[PrincipalRecord]
    roles: list[RoleRecord]
    tables: list[TableRecord]


def records_of(text: str) -> Records:
    """ValueError, with where and what, for what are no principals."""
    try:
        found = yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no YAML: {error}") from None
    if not isinstance(found, dict) or not found or not set(found) <= set(Records._fields):
        raise ValueError(
            "it has to be a map with a list, 'principals', maybe 'roles' and 'tables', and"
            " nothing else"
        )
    principals, roles, tables = (_rows(found, name) for name in Records._fields)
    made = Records(
        [records.from_json(_with_texts(row)) for row in principals],
        [role_records.from_json(_with_texts(row)) for row in roles],
        [table_records.from_json(_with_texts(row)) for row in tables],
    )
    names = [one.name for one in made.tables]
    if len(set(names)) < len(names):
        raise ValueError("two entries of 'tables' have the same name")
    return made


def _rows(found: dict[str, Any], name: str) -> list[object]:
    rows = found.get(name, [])
    if not isinstance(rows, list):
        raise ValueError(f"{name!r} is no list")
    return rows


def _with_texts(row: object) -> object:
    """Policies that are written as maps, as JSON."""
    if not isinstance(row, dict):
        return row
    changed = dict(row)
    if isinstance(row.get("policies"), dict):
        changed["policies"] = {name: _text(one) for name, one in row["policies"].items()}
    if "trust" in row:
        changed["trust"] = _text(row["trust"])
    return changed


def _text(document: object) -> object:
    return json.dumps(document) if isinstance(document, dict) else document


class _Loader(yaml.SafeLoader):
    """Without anchors, of which a few lines can make billions, and without two values of a key, of
    which YAML takes the last one: ``disabled: true`` would be undone further down."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.YAMLError(f"{key!r} is there twice (line {node.start_mark.line + 1})")
        return super().construct_mapping(node, deep)
