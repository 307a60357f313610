"""A coordinator between an agent and drivers that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, cast

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Position
from cluster.coherence.takeover_report import TakeoverReport
from cluster.log.primary_lease import Acquired, Lost
from cluster.log.view import ClusterView, Member
from cluster.settings import CacheSettings, LeaseSettings
from node.cache.caches import Caches
from node.replication.coordinator import Coordinator
from node.replication.primary_driver import PrimaryDriver
from paceline.errors import Unavailable
from tests.unit.node.fakes import Clock

NAMES = ("n1", "n2", "n3")
ENDS_S = 10.0
"""For what waits for no successor: who does waits for ever, since the clock stands still."""


def view(epoch: int, primary: str | None, names: tuple[str, ...] = NAMES) -> ClusterView:
    members = tuple(Member(name, "a", "i", addresses={"members": f"{name}:1"}) for name in names)
    return ClusterView("c", members, epoch, primary, names)


class State:
    def __init__(self, names: tuple[str, ...]) -> None:
        self.voters = {name: f"{name}:0" for name in names}
        self.epoch_members: dict[int, tuple[str, ...]] = {}


class LeaseAgent:
    """The agent as the coordinator sees it; the test plays the log."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.view = view(0, None, names)
        self.primary_until = float("-inf")
        self.release_error: Exception | None = None
        self.released = 0
        self.declined = 0
        self.resumed = 0
        self.state = State(names)
        self.epochs_wanted = 0
        self._on_view: Callable[[ClusterView], None] = lambda view: None
        self._on_lease: Callable[[Any], None] = lambda event: None

    def on_lease(self, callback: Callable[[Any], None]) -> None:
        self._on_lease = callback

    def subscribe(self, callback: Callable[[ClusterView], None]) -> None:
        self._on_view = callback

    def acquire(self, epoch: int, until_s: float) -> None:
        self.primary_until = until_s
        names = tuple(self.state.voters)
        self.state.epoch_members[epoch] = names
        self._on_lease(Acquired(epoch, names, epoch == 1, until_s))
        self.show(epoch, "n1")

    def lose(self, epoch: int) -> None:
        self.primary_until = float("-inf")
        self._on_lease(Lost(epoch))

    def begin_epoch(self) -> None:
        self.epochs_wanted += 1

    def show(self, epoch: int, primary: str | None) -> None:
        self.state.epoch_members.setdefault(epoch, self.names)
        self.view = view(epoch, primary, self.names)
        self._on_view(self.view)

    def resume(self) -> None:
        self.resumed += 1

    def decline(self) -> None:
        self.declined += 1
        self.primary_until = float("-inf")

    async def release(self, timeout_s: float) -> None:
        self.decline()
        self.released += 1
        if self.release_error is not None:
            raise self.release_error
        self.show(self.view.epoch, None)


class Following:
    """The replica driver as the coordinator sees it."""

    def __init__(self) -> None:
        self.targets: list[Any] = []
        self.handed_back = 0

    def follow(self, target: Any) -> None:
        self.targets.append(target)

    def leave(self, epoch: int) -> None:
        if self.targets and self.targets[-1] is not None and self.targets[-1].epoch < epoch:
            self.targets.append(None)

    def hand_back(self) -> None:
        self.handed_back += 1

    def tick(self) -> None: ...

    def deadline(self) -> float:
        return inf

    async def run(self) -> None:
        await asyncio.Event().wait()


class Node:
    def __init__(self, names: tuple[str, ...] = NAMES, *, untouched: bool = True) -> None:
        """``untouched``: no cluster has written to this DynamoDB before."""
        self.clock = Clock()
        self.agent = cast(Any, LeaseAgent(names))
        guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
        self.primary = PrimaryDriver("n1", guard, LeaseSettings(), self.clock)
        self.replica = cast(Any, Following())
        self.reports: dict[str, TakeoverReport | None] = {}
        self.asked: list[tuple[str, int, Position | None]] = []
        self.guard = guard
        self.untouched = [untouched]
        self.coordinator = Coordinator(
            "n1",
            self.agent,
            guard,
            self.primary,
            self.replica,
            self.recall,
            self.clock,
            lambda: bool(self.untouched) and self.untouched.pop(),
        )

    async def recall(self, address: str, epoch: int, position: Position | None) -> TakeoverReport:
        self.asked.append((address, epoch, position))
        report = self.reports.get(address)
        if report is None:
            raise Unavailable("not there")
        return report


KEY = ("t", b"k")


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
