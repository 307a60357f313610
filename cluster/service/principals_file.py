"""Principals of a YAML file, which is read again when it changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import structlog
import yaml

from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.records import PrincipalRecord, from_json
from paceline.errors import ConfigError

LOOK_S = 0.5
"""A change acts within a second on the file's own host."""

FILE_BYTES_MAX = 4 * 1024 * 1024

_log = structlog.get_logger()

_Stamp = tuple[int, int, int]


class PrincipalsFile:
    """A list of principals under ``principals``; keys and names as in ``access.records``, policies
    as text or as maps. A file that cannot be read changes nothing, and is told in the log: one that
    is half written would else lock everybody out."""

    def __init__(self, path: Path) -> None:
        """ConfigError, with what is wrong, for a file that cannot be read: a start without it would
        lock everybody out, too."""
        self._path = path
        self._stamp = _stamp(path)
        self._known = _read(path, 1)

    def version(self) -> int:
        return self._known.version()

    def key(self, access_key_id: str) -> AccessKey | None:
        return self._known.key(access_key_id)

    def principal(self, name: str) -> Principal | None:
        return self._known.principal(name)

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
            self._known = await asyncio.to_thread(_read, self._path, self._known.version() + 1)
        except ConfigError as error:
            _log.error("principals were not read; those of before stay", reason=str(error))
            return
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
        records = principals_of(data.decode())
        return KnownPrincipals(
            tuple(record.as_principal() for record in records),
            tuple(key for record in records for key in record.access_keys()),
            version,
        )
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def principals_of(text: str) -> list[PrincipalRecord]:
    """ValueError, with where and what, for what are no principals."""
    try:
        found = yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no YAML: {error}") from None
    if not isinstance(found, dict) or set(found) != {"principals"}:
        raise ValueError("it has to be a map with a list, 'principals', and nothing else")
    rows = found["principals"]
    if not isinstance(rows, list):
        raise ValueError("'principals' is no list")
    return [from_json(_with_texts(row)) for row in rows]


def _with_texts(row: object) -> object:
    """Policies that are written as maps, as JSON."""
    if not isinstance(row, dict) or not isinstance(row.get("policies"), dict):
        return row
    policies = {
        name: json.dumps(document) if isinstance(document, dict) else document
        for name, document in row["policies"].items()
    }
    return {**row, "policies": policies}


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
