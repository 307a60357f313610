"""What goes wrong with disks, and what an operator does about it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from tests.simulation.cluster import Cluster, Machine
from tests.simulation.raft_disk import RaftDisk

UNWRITTEN = "the log cannot be written: "

SAID_OF_DISKS = {
    "log failed": UNWRITTEN,
    "stopping after a failure": UNWRITTEN,
    "no space for the log": "there is no space",
    "the disk has lost the end of the log, which was durable; this node does not vote "
    "until a leader has given it back": "",
}
"""Errors that a node is to log where disks fail, and how their reasons begin."""


def is_expected(disks_fail: bool, event: str, values: Mapping[str, object]) -> bool:
    """Anything else that ends a node's part in the log is our bug."""
    begins = SAID_OF_DISKS.get(event)
    return disks_fail and begins is not None and str(values.get("reason", "")).startswith(begins)


FAILS_WITHIN_S = 15.0
"""A node that is cut off from its cluster writes nothing."""

STOPS_WITHIN_S = 40.0

POLL_S = 0.1


class Operator(Protocol):
    over: bool

    async def wait(self, duration_s: float) -> None: ...
    def short(self) -> float: ...
    def long(self) -> float: ...
    async def restart(self, machine: Machine) -> None: ...
    def may_lose_data(self) -> bool: ...
    async def replace_refused(self, machine: Machine) -> None: ...


class DiskTroubles:
    def __init__(self, cluster: Cluster, rng: random.Random, operator: Operator) -> None:
        self._cluster = cluster
        self._rng = rng
        self._operator = operator
        self.acts: Mapping[str, Callable[[Machine], Awaitable[None]]] = {
            "slow disk": self._slow,
            "full disk": self._full,
            "failed sync": self._failed_sync,
            "lost tail": self._lost_tail,
            "lost and left": self._lost_and_left,
            "power fails": self._power_fails,
            "flipped bit": self._flipped_bit,
        }

    async def _slow(self, machine: Machine) -> None:
        disk = machine.disk.raft
        disk.sync_s = self._rng.choice([0.05, 0.4, 3.0]) * self._rng.random()
        await self._operator.wait(self._operator.long())
        disk.heal()

    async def _full(self, machine: Machine) -> None:
        """Until somebody makes room."""
        disk = machine.disk.raft
        disk.give_space(self._rng.choice([0, 0, 300, 3000]))
        await self._operator.wait(self._operator.long())
        disk.heal()
        await self._operator.restart(machine)  # it may have been refused meanwhile

    async def _failed_sync(self, machine: Machine) -> None:
        """The process ends; its supervisor starts it again."""
        node, disk = machine.node, machine.disk.raft
        if node is None:
            return
        disk.fail_the_next_sync()
        await self._until(lambda: disk.failed or machine.node is not node, FAILS_WITHIN_S)
        if not disk.failed:
            disk.heal()
            return
        await self._until(lambda: machine.node is not node, STOPS_WITHIN_S)
        await self._operator.wait(self._operator.short())
        await self._operator.restart(machine)

    async def _lost_tail(self, machine: Machine) -> None:
        """What was synced is not there after a crash."""
        await self._harm(machine, RaftDisk.lose_tail)

    async def _lost_and_left(self, machine: Machine) -> None:
        """A follower that has what a leader has, and a third one has not, loses the end of it; and
        soon after its return, the leader ends. Until that comes back, nobody may lead."""
        cluster, operator, rng = self._cluster, self._operator, self._rng
        leader = next((m for m in cluster.members() if m.node and m.node.raft.is_leader), None)
        if leader is None or leader is machine:
            return
        others = [m for m in cluster.members() if m not in (leader, machine)]
        ends = (leader.name, machine.name)
        links = [link for o in others for end in ends for link in ((o.name, end), (end, o.name))]
        for source, target in links:
            cluster.network.close_link(source, target)
        await operator.wait(0.2 + rng.random())
        can_be_harmed = machine.node is not None and machine.disk.raft.can_be_harmed
        if can_be_harmed and operator.may_lose_data():
            cluster.count("disks harmed")
            cluster.kill(machine)
            machine.disk.raft.lose_tail(rng)
            await operator.wait(rng.random() * 0.1)
            await operator.restart(machine)
            await operator.wait(rng.choice([0.0, 0.02, 0.2]) * rng.random())
        cluster.kill(leader)
        for source, target in links:
            cluster.network.open_link(source, target)
        await operator.wait(1.0 + 2 * rng.random())
        await operator.restart(leader)
        if machine.disk.raft.refused:
            await operator.replace_refused(machine)

    async def _power_fails(self, _: Machine) -> None:
        """Everywhere at once, while the leader's disk alone is fast; it comes back last."""
        cluster, operator, rng = self._cluster, self._operator, self._rng
        machines = cluster.members()
        leader = next((m for m in machines if m.node and m.node.raft.is_leader), None)
        if leader is None:
            return
        others = [m for m in machines if m is not leader]
        for machine in others:
            machine.disk.raft.sync_s = 0.2 + rng.random() * 0.8
        await operator.wait(0.1 + rng.random())
        for machine in machines:
            cluster.kill(machine)
            machine.disk.raft.heal()
        await operator.wait(operator.short())
        for machine in others:
            await operator.restart(machine)
        await operator.wait(1.5 + rng.random())
        await operator.restart(leader)

    async def _flipped_bit(self, machine: Machine) -> None:
        await self._harm(machine, RaftDisk.flip_bit)

    async def _harm(
        self, machine: Machine, harm: Callable[[RaftDisk, random.Random], None]
    ) -> None:
        disk, operator = machine.disk.raft, self._operator
        if machine.node is None or not disk.can_be_harmed or not operator.may_lose_data():
            return
        self._cluster.count("disks harmed")
        self._cluster.kill(machine)
        harm(disk, self._rng)
        await operator.wait(operator.short())
        await operator.restart(machine)
        await operator.wait(POLL_S)
        if disk.refused and machine.disk.raft is disk:
            self._cluster.count("disks refused")
            await operator.replace_refused(machine)

    async def _until(self, condition: Callable[[], bool], within_s: float) -> None:
        until = self._cluster.loop.t + within_s
        while not condition() and self._cluster.loop.t < until:
            await self._operator.wait(POLL_S)
