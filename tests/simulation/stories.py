"""What an operator does to a cluster while its clients work and things go wrong: it grows from
one
node, its members are replaced until no founder is left, one loses its disk and comes back with its
id, or a majority is lost for good. Each step is tried until it is done; a story has an end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import product

from cluster.recovery import recover_opened
from tests.simulation.check import Violation
from tests.simulation.cluster import Cluster, Machine
from tests.simulation.foundings import take_part_elsewhere
from tests.simulation.membership import Story
from tests.simulation.node import SimulatedDataDir

POLL_S = 0.05
RETRY_S = 0.5

DOWN_S = 4.0
"""After which a process that ended by itself is started again."""

SIZES = (2, 3, 5)

READMISSIONS = 3

STEADY_S = 2.0
"""What is expected of a leader is expected from then on."""
REFUSED_S = 60.0

WITH_ANOTHER = "to join that, empty the data directory"
"""What a disk says that promised to found a log, and finds another."""


class Stories:
    def __init__(self, cluster: Cluster, rng: random.Random, story: Story) -> None:
        self._cluster = cluster
        self._rng = rng
        self._story = story
        self._down_since: dict[str, float] = {}
        self._left_alone: set[str] = set()
        """Machines that are down on purpose."""
        self.doing = "nothing"
        """For who waits for the end."""

    async def run(self) -> None:
        kinds: Mapping[str, Callable[[], Awaitable[None]]] = {
            "grow": self._grow,
            "replace": self._replace,
            "readmit": self._readmit,
            "recover": self._recover,
        }
        await kinds[self._story.kind]()
        if self._story.whole_stop:
            await self._stop_all_and_start_again()
        self._does("nothing, it is over")
        self._cluster.count(f"stories of {self._story.kind}")

    def _does(self, what: str) -> None:
        self.doing = what
        self._cluster.note(f"story: {what}")

    # Stories

    async def _grow(self) -> None:
        for size in SIZES:
            while len(self._cluster.members()) < size:
                await self._admit_another()
            await self._pause()
        while self._story.shrinks and len(self._cluster.members()) > 1:
            await self._remove(self._rng.choice(self._cluster.members()))

    async def _replace(self) -> None:
        founders = self._cluster.members()
        self._rng.shuffle(founders)
        for founder in founders:
            await self._admit_another()
            await self._remove(founder)
            await self._pause()

    async def _readmit(self) -> None:
        cluster, rng = self._cluster, self._rng
        for _ in range(READMISSIONS):
            await self._all_vote()
            machine = rng.choice(cluster.members())
            others = [m for m in cluster.machines if m is not machine]
            self._slow_down([machine], others, self._story.lag_s)
            if rng.random() < 0.5:
                self._empty(machine)
                await self._is_refused(machine)
            await self._remove(machine)
            self._empty(machine)
            await self._admit(machine)
            await self._is_up(machine)
            self._slow_down([machine], others, 0)
            await self._pause()

    async def _recover(self) -> None:
        """A majority is lost for good; one goes on alone. Of the others, one at a time comes back
        as it was, and is no member; then with an empty disk, and is one again."""
        cluster, rng = self._cluster, self._rng
        await self._all_vote()
        leader = [m for m in cluster.members() if m.node is not None and m.node.raft.is_leader]
        survivor = rng.choice(leader if leader and rng.random() < 0.6 else cluster.members())
        lost = [m for m in cluster.members() if m is not survivor]
        if rng.random() < 0.7:
            self._does(f"{survivor.name} hears nothing of the others")
            await self._cut_off(survivor, rng.choice([0.5, 4.0]) * (0.5 + rng.random() / 2))
            self._slow_down(lost, [survivor], self._story.lag_s)
            await asyncio.sleep(rng.random() * 0.3)
        self._does(f"all are lost but {survivor.name}")
        self._left_alone.update(m.name for m in cluster.members())
        for machine in cluster.members():
            cluster.kill(machine)
        for machine in lost:
            machine.member = False
        self._make_it_the_only_one(survivor, lost)
        self._left_alone.clear()
        first = lost[0]
        if rng.random() < 0.5:
            cluster.boot(first)
            await asyncio.sleep(rng.random() * 2)
        if survivor.node is None:  # a trouble may have started it meanwhile
            cluster.boot(survivor)
        await self._is_up(survivor)
        self._slow_down(lost, [survivor], 0)
        for machine in lost:
            if rng.random() < 0.7 or machine.node is not None:
                await self._comes_back_as_it_was(machine)
            self._empty(machine)
            await self._admit(machine)
            await self._is_up(machine)

    async def _comes_back_as_it_was(self, machine: Machine) -> None:
        self._does(f"{machine.name} comes back as it was")
        if machine.node is None:
            self._cluster.boot(machine)
        await asyncio.sleep(self._rng.choice([1.0, 6.0]))
        if machine.node is not None and machine.node.up:
            raise Violation(f"{machine.name} was lost, and is up with the disk of before")
        self._cluster.count("former members kept out")

    def _make_it_the_only_one(self, survivor: Machine, lost: list[Machine]) -> None:
        cluster, disk = self._cluster, survivor.disk
        opened = disk.raft.opened_by_operator()
        try:
            data_dir = SimulatedDataDir(disk, cluster.watch)
            recover_opened(data_dir, opened, frozenset(m.name for m in lost))
        finally:
            opened.disk.close()
        cluster.knows(disk, survivor.name)
        cluster.watch.goes_on_with(opened.durable, [m.disk.name for m in lost])

    async def _stop_all_and_start_again(self) -> None:
        cluster, rng = self._cluster, self._rng
        self._does("all stop")
        machines = cluster.members()
        self._left_alone.update(m.name for m in machines)
        if rng.random() < 0.5:
            stopping = [cluster.loop.world.spawn(cluster.leave(m)) for m in machines]
            await asyncio.wait(stopping)
        for machine in machines:
            cluster.kill(machine)
        await asyncio.sleep(rng.choice([0.0, 2.0]) * rng.random())
        self._does("all start again")
        rng.shuffle(machines)
        for machine in machines:
            if machine.node is None:
                cluster.boot(machine)
            self._left_alone.discard(machine.name)
            await asyncio.sleep(rng.choice([0.0, 1.0]) * rng.random())
        for machine in machines:
            await self._is_up(machine)

    # Steps

    async def _admit_another(self) -> None:
        cluster = self._cluster
        name = f"n{len(cluster.machines) + 1}"
        peers = {m.name: m.raft for m in cluster.members()} | {name: f"{name}:8181"}
        machine = cluster.machine(name, peers)
        machine.member = False
        is_foreign = self._rng.random() < self._story.newcomers_foreign
        if is_foreign:
            take_part_elsewhere(cluster, self._rng, machine, [*cluster.members(), machine])
        await self._admit(machine)
        if is_foreign:
            await self._is_kept_out(machine)
        if self._rng.random() < self._story.newcomers_lost:
            await self._lose_before_it_has_anything(machine)
        await self._is_up(machine)

    async def _admit(self, machine: Machine) -> None:
        self._does(f"{machine.name} is admitted")
        while not await self._cluster.change_members(machine, add=True):
            await self._wait(RETRY_S)
        machine.member = True
        if machine.node is None:
            self._cluster.boot(machine)

    async def _remove(self, machine: Machine) -> None:
        """It is switched off as soon as that is said to be good."""
        self._does(f"{machine.name} is removed")
        while not await self._cluster.change_members(machine, add=False):
            await self._wait(RETRY_S)
        machine.member = False
        self._cluster.kill(machine)

    def _empty(self, machine: Machine) -> None:
        """What is restarted begins with nothing."""
        self._cluster.kill(machine)
        machine.disk, machine.gave_up = self._cluster.new_disk(machine.name), ""

    async def _lose_before_it_has_anything(self, machine: Machine) -> None:
        self._does(f"{machine.name} loses its disk")
        while not (machine.node is not None and machine.node.up):
            await self._wait(0.002)
            if machine.disk.raft.boot and machine.node and not machine.node.raft.members:
                self._cluster.count("newcomers' disks lost")
                self._empty(machine)
                await self._wait(self._rng.choice([0.0, 2.0]) * self._rng.random())
                self._cluster.kill(machine)
                await self._remove(machine)
                await self._admit(machine)
                return

    async def _is_refused(self, machine: Machine) -> None:
        """An emptied disk is another one, and says so."""
        self._does(f"{machine.name} is refused with an empty disk")
        led = _Led(self._cluster)
        self._cluster.boot(machine)
        while not machine.gave_up:
            await self._wait(POLL_S)
            if machine.node is not None and machine.node.up:
                raise Violation(f"{machine.name} is up with an empty disk and the id of before")
            if led.for_s() >= REFUSED_S:
                raise Violation(f"{machine.name} was not refused within {REFUSED_S:g} s")
        self._cluster.count("emptied disks refused")

    async def _is_kept_out(self, machine: Machine) -> None:
        """It has the disk of another cluster, and says so; its operator empties that."""
        self._does(f"{machine.name} is kept out with another cluster's disk")
        led = _Led(self._cluster)
        while not (machine.gave_up or WITH_ANOTHER in _trouble(machine)):
            await self._wait(POLL_S)
            if machine.node is not None and machine.node.up:
                raise Violation(f"{machine.name} is up with the disk of another cluster")
            if led.for_s() >= REFUSED_S:
                raise Violation(f"{machine.name} was not kept out within {REFUSED_S:g} s")
        self._cluster.count("foreign disks kept out")
        self._empty(machine)
        self._cluster.boot(machine)

    async def _is_up(self, machine: Machine) -> None:
        self._does(f"{machine.name} comes up")
        while machine.node is None or not machine.node.up:
            await self._wait(POLL_S)

    async def _all_vote(self) -> None:
        self._does("all are members")
        while not (
            all(m.node is not None and m.node.up for m in self._cluster.members())
            and self._cluster.all_vote()
        ):
            await self._wait(POLL_S)

    async def _cut_off(self, machine: Machine, for_s: float) -> None:
        network = self._cluster.network
        others = [m.name for m in self._cluster.machines if m is not machine]
        links = [link for o in others for link in ((machine.name, o), (o, machine.name))]
        for source, target in links:
            network.close_link(source, target)
        until = self._cluster.loop.t + for_s
        while self._cluster.loop.t < until:
            await asyncio.sleep(0.5)
            # Each leader has a term of its own: what is cut off falls back by several.
            for node in self._cluster.serving():
                if node.raft.is_leader and node.machine != machine.name:
                    node.owner.spawn(node.raft.transfer_leadership(None))
        for source, target in links:
            network.open_link(source, target)

    def _slow_down(
        self, sources: Sequence[Machine], targets: Sequence[Machine], delay_s: float
    ) -> None:
        for source, target in product(sources, targets):
            self._cluster.network.slow_down(source.name, target.name, delay_s)

    async def _pause(self) -> None:
        await self._wait(self._rng.choice([0.2, 2.0]) * self._rng.random())

    async def _wait(self, duration_s: float) -> None:
        """Starts members again that have been down for long: their troubles may be over."""
        await asyncio.sleep(duration_s)
        now = self._cluster.loop.t
        for machine in self._cluster.members():
            if machine.node is not None or machine.name in self._left_alone:
                self._down_since.pop(machine.name, None)
            elif now >= self._down_since.setdefault(machine.name, now) + DOWN_S:
                self._cluster.boot(machine)


def _trouble(machine: Machine) -> str:
    raft = getattr(machine.node, "raft", None)
    return (raft.trouble if raft is not None else None) or ""


class _Led:
    """How long the log was led by one node without a break of late: who refuses a disk has to lead
    for some rounds before that is believed, and slow disks may depose one after the other."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._leader: str | None = None
        self._looked = self._since = cluster.loop.t
        self._led_s = 0.0

    def for_s(self) -> float:
        """Altogether, since the first look, without the first ``STEADY_S`` of each leader."""
        now = self._cluster.loop.t
        leaders = [node.machine for node in self._cluster.serving() if node.raft.is_leader]
        leader = leaders[0] if len(leaders) == 1 else None
        if leader is None or leader != self._leader:
            self._leader, self._since = leader, now
        elif now - self._since >= STEADY_S:
            self._led_s += now - self._looked
        self._looked = now
        return self._led_s
