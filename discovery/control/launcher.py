"""Who starts and stops nodes and further clusters: a program beside discovery, asked over a unix
socket, or a command that is run for each question.

A line of JSON goes there, {"verb": "restart", "node": "node-2"} (or "add", with "zone", or
"remove"), and once it is done a line comes back: {"ok": true}, or {"error": "why not"}. Before
any of it is written down, {"verb": "check", "acts": [...]} with all such lines asks whether they
can be done. With "cluster" it is about a further cluster's node; "start", "end" and "list" are
about further clusters themselves (``paceline_local/launcher.py`` has their form). Whoever may open
the socket may do this; ``paceline up`` lets its own user.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from discovery.control.records import Site
from discovery.control.world import Act, ClusterAct, Listed
from paceline.clock import now
from paceline.errors import ConfigError, Unavailable

ACT_S = 120.0
"""The time for one: a node that joins gets the whole log first."""
CHECK_S = 5.0
LIST_COMMAND_S = 5.0
"""How often a command is run to tell which clusters there are."""
LINE_BYTES_MAX = 64 * 1024


class Launcher(Protocol):
    async def do(self, act: Act | ClusterAct) -> None:
        """Returns once it is done. Unavailable, with why it was not, or is not known to be."""

    async def check(self, acts: Sequence[Act | ClusterAct]) -> None:
        """Does nothing. Unavailable, with why these cannot be done."""

    async def listed(self) -> Mapping[str, Listed]:
        """The further clusters that it runs. Unavailable."""


class _Lines:
    """``secret_of``: that of a further cluster, by its id."""

    def __init__(self, secret_of: Callable[[str], str], named: str) -> None:
        """``named``: the launcher, for messages."""
        self._secret_of = secret_of
        self._named = named

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
                told = json.loads(await self._answer(json.dumps(asked).encode() + b"\n"))
        except TimeoutError:
            raise Unavailable(f"the launcher did not answer within {within_s:g} s") from None
        except (OSError, ValueError, RecursionError, asyncio.LimitOverrunError) as error:
            raise Unavailable(f"the launcher {self._named} failed: {error}") from error
        if not isinstance(told, dict) or told.get("ok") is not True:
            why = told.get("error") if isinstance(told, dict) else None
            raise Unavailable(str(why or "the launcher did not say why"))
        return told

    async def _answer(self, line: bytes) -> bytes:
        """OSError, ValueError, LimitOverrunError. The caller has a deadline."""
        raise NotImplementedError

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


class SocketLauncher(_Lines):
    def __init__(self, path: Path, secret_of: Callable[[str], str]) -> None:
        super().__init__(secret_of, f"at {path}")
        self._path = path

    async def _answer(self, line: bytes) -> bytes:
        path = str(self._path)
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
        try:
            writer.write(line)
            await writer.drain()
            return await reader.readline()
        finally:
            writer.close()


class CommandLauncher(_Lines):
    """Runs a program with the line on its standard input. Its first line of output is the answer,
    what it says on its standard error goes to this process's. It is ended, with what it has
    started in its session, once it has answered and closed its output, or is given up."""

    def __init__(self, command: Sequence[str], secret_of: Callable[[str], str]) -> None:
        super().__init__(secret_of, command[0])
        self._command = tuple(command)
        self._heard_at = float("-inf")
        self._heard: Mapping[str, Listed] = {}

    async def listed(self) -> Mapping[str, Listed]:
        """Of the last seconds: each look is a program that starts."""
        at = now()
        if at - self._heard_at >= LIST_COMMAND_S:
            self._heard, self._heard_at = await super().listed(), at
        return self._heard

    async def _answer(self, line: bytes) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # One that does not read what it is asked may answer yet.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(line)
                await process.stdin.drain()
            process.stdin.close()
            answer = await process.stdout.readline()
            if not answer:
                raise OSError(f"it ended with {await process.wait()} and no answer")
            return answer
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # It is dead already, so this takes no time.
            await process.wait()


def launcher_of(
    socket: Path | None, command: Sequence[str], secret_of: Callable[[str], str]
) -> Launcher | None:
    """ConfigError for both at once."""
    if socket is not None and command:
        raise ConfigError("set PACELINE_LAUNCHER_SOCKET or PACELINE_LAUNCHER_COMMAND, not both")
    if command:
        return CommandLauncher(command, secret_of)
    return None if socket is None else SocketLauncher(socket, secret_of)


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
