"""Has the launcher do what the records ask for, one act after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from cluster.access.denied import Denied
from discovery.control.faults import fault
from discovery.control.launcher import Launcher
from discovery.control.world import Act, ClusterAct, Listed
from paceline.errors import PacelineError, Unavailable

Finish = Callable[[Act | ClusterAct, str], Awaitable[None]]
"""Writes down that it was done, or why it was not. Unavailable."""

_REFUSED: Final[Mapping[str, str]] = {
    "add": "InsufficientClusterCapacityFault",
    "start": "InsufficientClusterCapacityFault",
    "end": "InvalidClusterStateFault",
    "remove": "InvalidClusterStateFault",
    "restart": "InvalidClusterStateFault",
}

_log = structlog.get_logger()


class Actor:
    """One per discovery process. ``finish`` may fail: an act that stays in the records counts as
    over after a while."""

    def __init__(self, launcher: Launcher | None, finish: Finish) -> None:
        self._launcher = launcher
        self._finish = finish
        self._tasks: set[asyncio.Task[None]] = set()

    async def check(self, acts: Sequence[Act | ClusterAct]) -> None:
        """Denied: the launcher says that they cannot be done. Before they are written down, so that
        who has asked is told at once."""
        if self._launcher is None or not acts:
            return
        try:
            await self._launcher.check(acts)
        except Unavailable as error:
            raise fault(
                _REFUSED[acts[0].kind], f"{str(error)[:1].upper()}{str(error)[1:]}"
            ) from None

    def begin(self, acts: Sequence[Act | ClusterAct]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(acts))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def listed(self) -> Mapping[str, Listed] | None:
        """None: there is no launcher, or it does not tell."""
        if self._launcher is None:
            return None
        try:
            return await self._launcher.listed()
        except Unavailable as error:
            _log.info("the launcher does not tell of clusters", why=str(error))
            return None

    async def aclose(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, acts: Sequence[Act | ClusterAct]) -> None:
        failed = ""
        for act in acts:
            if not failed:
                failed = await self._done(act)
            try:
                await self._finish(act, failed)
            except (PacelineError, Denied) as error:
                _log.warning("the end of an act is not written down", act=act, why=str(error))

    async def _done(self, act: Act | ClusterAct) -> str:
        """Why it failed, or an empty text. After a failure the rest is not begun."""
        assert self._launcher is not None
        try:
            await self._launcher.do(act)
        except Unavailable as error:
            _log.warning("a launcher failed", act=act, why=str(error))
            return str(error)
        return ""
