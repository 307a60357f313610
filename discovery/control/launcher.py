"""Who starts and stops nodes: a program beside discovery, asked over a unix socket.

A line of JSON goes there, {"verb": "restart", "node": "node-2"} (or "add", with "zone", or
"remove"), and once it is done a line comes back: {"ok": true}, or {"error": "why not"}. Before
any of it is written down, {"verb": "check", "acts": [...]} with all such lines asks whether they
can be done. Whoever may open the socket may do this; ``paceline up`` lets its own user.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from discovery.control.world import Act
from paceline.errors import Unavailable

ACT_S = 120.0
"""The time for one: a node that joins gets the whole log first."""
CHECK_S = 3.0
LINE_BYTES_MAX = 64 * 1024


class Launcher(Protocol):
    async def do(self, act: Act) -> None:
        """Returns once it is done. Unavailable, with why it was not, or is not known to be."""

    async def check(self, acts: Sequence[Act]) -> None:
        """Does nothing. Unavailable, with why these cannot be done."""


class SocketLauncher:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def do(self, act: Act) -> None:
        await self._told(_line(act), ACT_S)

    async def check(self, acts: Sequence[Act]) -> None:
        await self._told({"verb": "check", "acts": [_line(act) for act in acts]}, CHECK_S)

    async def _told(self, asked: Mapping[str, object], within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                told = await self._asked(asked)
        except TimeoutError:
            raise Unavailable(f"the launcher did not answer within {within_s:g} s") from None
        except (OSError, ValueError, asyncio.LimitOverrunError) as error:
            raise Unavailable(f"the launcher at {self._path} failed: {error}") from error
        if told.get("ok") is not True:
            raise Unavailable(str(told.get("error") or "the launcher did not say why"))

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


def _line(act: Act) -> Mapping[str, str]:
    return {"verb": act.kind, "node": act.node, "zone": act.zone}
