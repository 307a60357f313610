"""Who starts and stops nodes: a program beside discovery, asked over a unix socket.

A line of JSON goes there, {"verb": "restart", "node": "node-2"} (or "add", with "zone", or
"remove"), and once it is done a line comes back: {"ok": true}, or {"error": "why not"}. Before
any of it is written down, {"verb": "check", "acts": [...]} with all such lines asks whether they
can be done. With "cluster" it is about a further cluster's node; "start", "end" and "list" are
about further clusters themselves (``paceline_local/launcher.py`` has their form). Whoever may open
the socket may do this; ``paceline up`` lets its own user.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from discovery.control.records import Site
from discovery.control.world import Act, ClusterAct, Listed
from paceline.errors import Unavailable

ACT_S = 120.0
"""The time for one: a node that joins gets the whole log first."""
CHECK_S = 3.0
LINE_BYTES_MAX = 64 * 1024


class Launcher(Protocol):
    async def do(self, act: Act | ClusterAct) -> None:
        """Returns once it is done. Unavailable, with why it was not, or is not known to be."""

    async def check(self, acts: Sequence[Act | ClusterAct]) -> None:
        """Does nothing. Unavailable, with why these cannot be done."""

    async def listed(self) -> Mapping[str, Listed]:
        """The further clusters that it runs. Unavailable."""


class SocketLauncher:
    """``secret_of``: that of a further cluster, by its id."""

    def __init__(self, path: Path, secret_of: Callable[[str], str]) -> None:
        self._path = path
        self._secret_of = secret_of

    async def do(self, act: Act | ClusterAct) -> None:
        await self._told(self._line(act), ACT_S)

    async def check(self, acts: Sequence[Act | ClusterAct]) -> None:
        lines = [self._line(act) for act in acts]
        await self._told({"verb": "check", "acts": lines}, CHECK_S)

    async def listed(self) -> Mapping[str, Listed]:
        told = await self._told({"verb": "list"}, CHECK_S)
        try:
            return listed_in(told.get("clusters"))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Unavailable(f"the launcher's list cannot be read: {error!r}") from error

    async def _told(self, asked: Mapping[str, object], within_s: float) -> Mapping[str, object]:
        try:
            async with asyncio.timeout(within_s):
                told = await self._asked(asked)
        except TimeoutError:
            raise Unavailable(f"the launcher did not answer within {within_s:g} s") from None
        except (OSError, ValueError, asyncio.LimitOverrunError) as error:
            raise Unavailable(f"the launcher at {self._path} failed: {error}") from error
        if told.get("ok") is not True:
            raise Unavailable(str(told.get("error") or "the launcher did not say why"))
        return told

    async def _asked(self, asked: Mapping[str, object]) -> Mapping[str, object]:
        path = str(self._path)
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
        try:
            writer.write(json.dumps(asked).encode() + b"\n")
            await writer.drain()
            told = json.loads(await reader.readline())
        finally:
            writer.close()
        return told if isinstance(told, dict) else {}

    def _line(self, act: Act | ClusterAct) -> Mapping[str, object]:
        if isinstance(act, Act):
            line = {"verb": act.kind, "node": act.node, "zone": act.zone}
            return {**line, "cluster": act.cluster} if act.cluster else line
        if act.kind == "end":
            return {"verb": "end", "cluster": act.cluster}
        return {
            "verb": "start",
            "cluster": act.cluster,
            "id": act.id,
            "nodes": [list(one) for one in act.nodes],
            "cache_bytes": act.cache_bytes,
            "secret": self._secret_of(act.id),
        }


def listed_in(clusters: Any) -> Mapping[str, Listed]:
    """As a launcher tells them. TypeError, ValueError, KeyError, AttributeError."""
    found = {}
    for name, one in clusters.items():
        site = None
        if one["ready"]:
            seeds = tuple(str(seed) for seed in one["seeds"])
            site = Site(str(one["host"]), int(one["port"]), int(one["tls_port"]), seeds)
        found[str(name)] = Listed(str(one["id"]), site)
    return found
