"""The founding of a cluster while founders die, links are cut, messages get lost, a disk is emptied
or belongs to another cluster; and an operator who then does what the nodes say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from cluster.consensus.core.messages import founded
from cluster.consensus.disk.opening import open_disk
from tests.simulation.check import Violation
from tests.simulation.cluster import Cluster, Machine
from tests.simulation.membership import FoundingTroubles
from tests.simulation.node import Disk
from tests.simulation.raft_disk import PREALLOCATE_BYTES
from tests.simulation.troubles import Troubles

WEIGHTS = {"crash": 4.0, "two die": 1.0, "pause": 2.0, "isolate": 3.0, "one way": 3.0, "split": 2.0}
"""Of what goes wrong at random moments."""

POLL_S = 0.25

LOOK_S = 6.0
"""The operator looks at what the nodes say so long after it began to be well, and again."""

SETTLE_S = 90.0
"""By when the cluster is founded, once nothing is broken any more."""

ALL_ANEW = "empty the data directories of all founders"
TO_JOIN = "to join that, empty the data directory"
ANEW = "from the cluster and add it again"


class Foundings:
    def __init__(self, cluster: Cluster, rng: random.Random, options: FoundingTroubles) -> None:
        self._cluster = cluster
        self._rng = rng
        self._options = options
        self._troubles = Troubles(cluster, rng)
        self._machines: list[Machine] = []
        self._to_empty = rng.random() < options.emptied and cluster.options.nodes > 1
        self._harmed = False
        """A disk was emptied or is of another cluster: an operator may have to do something."""
        self._foreign: Machine | None = None
        self._over = False

    async def run(self) -> None:
        """Returns when all founders are up, and one is the primary. Violation."""
        cluster, rng, options = self._cluster, self._rng, self._options
        network, weather = cluster.network, cluster.network.weather
        network.faulty, network.weather = True, replace(weather, breaks=options.lost)
        cluster.promise_s = lambda: rng.random() * options.promise_s
        cluster.watch.step = self._at_step
        self._machines = cluster.founders()
        if rng.random() < options.foreign and len(self._machines) > 1:
            self._bring_another_disk(rng.choice(self._machines))
        for machine in self._machines:
            cluster.loop.after(rng.choice([0.0, 0.5, 2.0]) * rng.random(), self._boot, machine)
        end = cluster.loop.t + options.for_s
        kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
        while cluster.loop.t < end:
            await asyncio.sleep(rng.expovariate(1 / options.every_s))
            machine = rng.choice(self._machines)
            if self._to_empty and rng.random() < 0.2:
                self._empty(machine)
            self._troubles.begin(rng.choices(kinds, weights)[0], machine)
        self._over = self._troubles.over = True
        network.weather = weather
        cluster.heal()
        await self._settle()

    def _boot(self, machine: Machine) -> None:
        if machine.node is None:
            self._cluster.boot(machine)

    def _at_step(self, disk: str, what: str) -> None:
        machine = next((m for m in self._machines if m.disk.name == disk), None)
        if machine is None or self._over or self._rng.random() >= self._options.at_steps:
            return
        after_s = self._rng.choice([0.0, 0.002, 0.1]) * self._rng.random()
        self._cluster.loop.after(after_s, self._die, machine, what)

    def _die(self, machine: Machine, step: str) -> None:
        if self._over:
            return
        self._cluster.count(f"died once it had {step}")
        if self._to_empty and self._rng.random() < 0.5:
            self._empty(machine)
        self._troubles.begin("crash", machine)

    def _empty(self, machine: Machine) -> None:
        self._to_empty, self._harmed = False, True
        self._give(machine, self._cluster.new_disk(machine.name))
        self._cluster.count("founders' disks emptied")

    def _give(self, machine: Machine, disk: Disk) -> None:
        self._cluster.note(f"{machine.name} gets another disk, {disk.name}")
        self._cluster.kill(machine)
        machine.disk, machine.gave_up = disk, ""

    def _bring_another_disk(self, machine: Machine) -> None:
        self._foreign, self._harmed = machine, True
        take_part_elsewhere(self._cluster, self._rng, machine, self._machines)
        self._cluster.count("founders with another cluster's disk")

    # Afterwards

    async def _settle(self) -> None:
        cluster = self._cluster
        if self._foreign is not None:
            self._give(self._foreign, cluster.new_disk(self._foreign.name))
        until = cluster.loop.t + SETTLE_S
        look_at = cluster.loop.t + LOOK_S
        while not self._is_founded():
            if cluster.loop.t >= until:
                raise Violation(f"the cluster is not founded: {self._said()}")
            for machine in self._machines:
                self._boot(machine)
            await asyncio.sleep(POLL_S)
            if cluster.loop.t >= look_at and not self._is_founded():
                await self._do_as_told()
                look_at = cluster.loop.t + LOOK_S

    def _is_founded(self) -> bool:
        is_up = all(m.node is not None and m.node.up for m in self._machines)
        return is_up and self._cluster.primary() is not None

    def _said(self) -> dict[str, str]:
        """What keeps each founder, in its own words."""
        said: dict[str, str] = {}
        for machine in self._machines:
            raft = getattr(machine.node, "raft", None)
            trouble = raft.trouble if raft is not None else None
            if machine.node is None or not machine.node.up:
                said[machine.name] = trouble or machine.gave_up or "nothing"
        return said

    async def _do_as_told(self) -> None:
        said = self._said()
        self._cluster.note(f"they say {said}")
        if not self._harmed:
            return  # nobody but the nodes themselves may have to do anything
        if any(ALL_ANEW in text for text in said.values()):
            self._found_anew()
            return
        for machine in self._machines:
            text = said.get(machine.name, "")
            if TO_JOIN in text:
                self._give(machine, self._cluster.new_disk(machine.name))
            elif ANEW in text and not await self._add_again(machine):
                self._found_anew()  # of two, one is no majority
                return

    async def _add_again(self, machine: Machine) -> bool:
        cluster = self._cluster
        for _ in range(2):
            if not await cluster.change_members(machine, add=False):
                continue
            self._give(machine, cluster.new_disk(machine.name))
            if await cluster.change_members(machine, add=True):
                cluster.count("founders added again")
                return True
        return False

    def _found_anew(self) -> None:
        self._cluster.count("foundings begun anew")
        self._cluster.founding_anew()


def take_part_elsewhere(
    cluster: Cluster, rng: random.Random, machine: Machine, nodes: Sequence[Machine]
) -> None:
    """Makes the disk of ``machine``, which was never used, one that took part in another founding
    of ``nodes``, in which those had other disks: it has promised that, or has a log of it."""
    disk = machine.disk
    others = {m.name: rng.randbytes(16).hex() for m in nodes if m is not machine}
    cluster.wire.disks |= {other: name for name, other in others.items()}
    promised = {**others, machine.name: disk.name}
    has_log = rng.random() < 0.5
    disk.identity = replace(disk.identity, promised=promised, joined=has_log)
    if has_log:
        begin = founded(tuple(promised.values()))
        opened = open_disk(disk.raft.directory, disk.name, begin, PREALLOCATE_BYTES)
        opened.disk.close()
