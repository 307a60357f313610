"""Foundings whose processes are killed, or whose directories are emptied, between any two durable
steps: one log comes of it, or what stands in its way is said."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.consensus import beginning as module
from cluster.consensus.beginning import Beginning
from cluster.consensus.core.messages import Durable
from cluster.consensus.disk.directory import File, OsDirectory
from cluster.consensus.disk.opening import open_disk
from cluster.consensus.founding import Answer, Disks, Introduction
from cluster.consensus.interface import Welcome
from cluster.data_dir import CONSENSUS_LOG_FILE, DataDir
from tests.support.waiting import until

NODES = ("n1", "n2", "n3")
POINTS = ("before the promise", "promised", "before the log", "a state file only", "a log")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND_S", 0.002)


class Killed(Exception):
    pass


class DiesBeforeTheLog(OsDirectory):
    def create(self, name: str) -> File:
        if name.startswith(CONSENSUS_LOG_FILE):
            raise Killed
        return super().create(name)


@dataclass
class Node:
    world: World
    id: str
    dies: str = ""
    began_with: Durable | None = None
    beginning: Beginning | None = None
    """None: no process runs."""
    died: bool = False

    @property
    def path(self) -> Path:
        return self.world.path / self.id

    async def live(self) -> None:
        """Until it has a log, or dies."""
        data_dir = DataDir.open(self.path, self.id, "c")
        identity = data_dir.identity

        async def keep(disks: Disks) -> None:
            self._maybe_die("before the promise")
            data_dir.promise(disks)
            self._maybe_die("promised")

        def ask(node: str, address: str, mine: Introduction) -> asyncio.Future[Answer | None]:
            return self.world.ask(self.id, node, mine)

        peers = {node: f"{node}:1" for node in NODES}
        self.beginning = Beginning(
            self.id, identity.disk_id, "c", peers, identity.promised, ask, keep
        )
        try:
            log = self.path / CONSENSUS_LOG_FILE
            begin = None if log.exists() else await self.beginning.run()
            self._maybe_die("before the log")
            only_state = self.dies == "a state file only"
            directory = (DiesBeforeTheLog if only_state else OsDirectory)(self.path)
            opened = open_disk(directory, identity.disk_id, begin, 4096)
            opened.disk.close()
            self._maybe_die("a log")
            self.began_with = opened.durable
        except Killed:
            self.beginning = None
            self.died, self.dies = True, ""
        finally:
            data_dir.close()

    def _maybe_die(self, point: str) -> None:
        if self.dies == point:
            raise Killed

    def answer(self, other: Introduction) -> Answer | None:
        if self.beginning is None:
            return None
        return self.beginning.answer(other, _nothing if self.began_with else None)


def _nothing(other: Introduction) -> Welcome:
    """What one says whose log has no ``Bootstrap`` yet."""
    return Welcome()


@dataclass
class World:
    path: Path
    nodes: dict[str, Node] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in NODES:
            self.nodes[node] = Node(self, node)

    async def ask(self, source: str, node: str, mine: Introduction) -> Answer | None:
        await asyncio.sleep(0)
        answer = self.nodes[node].answer(mine)
        await asyncio.sleep(0)
        return answer

    def start(self, *nodes: str) -> None:
        for node in nodes:
            self.tasks[node] = asyncio.create_task(self.nodes[node].live())

    async def stop(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.wait(self.tasks.values())

    @property
    def logs(self) -> set[tuple[str, ...]]:
        return {
            node.began_with.snapshot.configuration.voters
            for node in self.nodes.values()
            if node.began_with
        }


async def founded(world: World, *victims: str) -> None:
    """Runs all; ``victims`` die where they are to, and start again."""
    world.start(*NODES)
    for victim in victims:
        node = world.nodes[victim]
        await until(lambda: node.died, f"{victim} has died")  # noqa: B023
        await world.tasks[victim]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("victim", NODES)
async def test_one_is_killed(tmp_path: Path, victim: str, point: str) -> None:
    world = World(tmp_path)
    world.nodes[victim].dies = point
    await founded(world, victim)
    world.start(victim)
    async with asyncio.timeout(10):
        await asyncio.gather(*world.tasks.values())
    assert all(node.began_with for node in world.nodes.values())
    (voters,) = world.logs
    assert len(voters) == 3


@pytest.mark.parametrize(("one", "two"), [*itertools.combinations(NODES, 2)])
async def test_two_are_killed(tmp_path: Path, one: str, two: str) -> None:
    for n, (first, second) in enumerate(itertools.product(POINTS, POINTS)):
        world = World(tmp_path / str(n))
        world.nodes[one].dies, world.nodes[two].dies = first, second
        world.start(*NODES)
        async with asyncio.timeout(10):
            while not all(node.began_with for node in world.nodes.values()):
                for node in (one, two):
                    if world.nodes[node].died and world.tasks[node].done():
                        world.nodes[node].died = False
                        world.start(node)
                await asyncio.sleep(0.001)
            await asyncio.gather(*world.tasks.values())
        (voters,) = world.logs
        assert len(voters) == 3, (first, second)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("victim", NODES)
async def test_one_is_killed_and_its_directory_emptied(
    tmp_path: Path, victim: str, point: str
) -> None:
    world = World(tmp_path)
    world.nodes[victim].dies = point
    await founded(world, victim)
    shutil.rmtree(tmp_path / victim)
    world.start(victim)
    again = world.nodes[victim]

    def settled() -> bool:
        return all(
            node.began_with
            or (node.beginning and f"another disk of {victim}" in str(node.beginning.waits_for))
            for node in world.nodes.values()
        )

    try:
        await until(settled, "all begin, or say what is in the way")
        assert len(world.logs) <= 1
        if again.began_with is None:
            promised = [n.beginning.promised for n in world.nodes.values() if n.beginning]
            assert any(promised), "it was too late for its new disk"
    finally:
        await world.stop()
