"""What goes wrong while clients work, as the options say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.simulation.cluster import Cluster, Machine
from tests.simulation.disk_troubles import DiskTroubles
from tests.simulation.network import DYNAMODB
from tests.simulation.remaking import Remaking
from tests.simulation.rpc_streams import StreamCall
from tests.simulation.tables import HASHED, NUMBERED, RANGED

MACHINES_MAX = 12

MOVABLE_MIN = 3
"""Members that a cluster must have for one of them to be taken out."""

RETRY_S = 0.5

FAILOVER_S = 5.0
"""For another primary, after the first one died."""


class Troubles:
    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self._cluster = cluster
        self._network = cluster.network
        self._rng = rng
        self._tasks: set[asyncio.Task[None]] = set()
        self.remaking = Remaking(cluster, rng)
        self._changing = False
        self._doubtful: set[str] = set()
        """Machines that were to be added or removed, and nobody was told whether they are."""
        self.over = False
        self._acts: dict[str, Callable[[Machine], Awaitable[None]]] = {
            "crash": self._crash,
            "pause": self._pause,
            "long pause": self._long_pause,
            "isolate": self._isolate,
            "one way": self._one_way,
            "split": self._split,
            "cut links": self._cut_links,
            "slow link": self._slow_link,
            "no dynamodb": self._no_dynamodb,
            "break stream": self._break_stream,
            "planned stop": self._planned_stop,
            "two failovers": self._two_failovers,
            "found anew": self._found_anew,
            "new disk": self._new_disk,
            "add member": self._add_member,
            "remove member": self._remove_member,
            "evict": self._evict,
            "flush": self._flush,
            "move leadership": self._move_leadership,
            "remake table": self._remake_table,
            "two die": self._two_die,
            "all die": self._all_die,
            **DiskTroubles(cluster, rng, self).acts,
        }

    async def run(self) -> None:
        options, rng = self._cluster.options, self._rng
        kinds = list(options.troubles)
        weights = [options.troubles[kind] for kind in kinds]
        while kinds:
            await asyncio.sleep(rng.expovariate(1 / options.trouble_every_s))
            kind = rng.choices(kinds, weights)[0]
            machine = self._target()
            if machine is not None:
                self.begin(kind, machine)

    def begin(self, kind: str, machine: Machine) -> None:
        self._cluster.count(kind)
        self._cluster.note(f"trouble: {kind}, {machine.name}")
        self._spawn(self._acts[kind](machine))

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            await work

        task = self._cluster.loop.world.spawn(run())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._cluster.loop.fail(error)

    def _target(self) -> Machine | None:
        """Any machine, the primary's more often than others'."""
        machines = self._cluster.members()
        primary = self._cluster.primary()
        if primary is not None and self._rng.random() < 0.35:
            return next((m for m in machines if m.node is primary), None)
        return self._rng.choice(machines) if machines else None

    def short(self) -> float:
        return self._rng.choice([0.3, 1.0, 3.0]) * self._rng.random()

    async def wait(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)

    def _others(self, machine: Machine) -> list[str]:
        return [m.name for m in self._cluster.machines if m is not machine]

    # -- processes ----------------------------------------------------------------------------

    async def _crash(self, machine: Machine) -> None:
        self._cluster.kill(machine)
        await self.wait(self.short())
        await self.restart(machine)

    async def restart(self, machine: Machine) -> None:
        """With the disk that it had, if there is one."""
        if machine.node is not None or not machine.member or self.over:
            return
        if self._cluster.options.data_dirs:
            self._cluster.boot(machine)
        elif self._cluster.options.nodes < MOVABLE_MIN:
            await self._found_anew(machine)
        else:
            await self._replace(machine)

    async def _two_failovers(self, _: Machine) -> None:
        """The next primary dies soon after it took over, the first one being back or not."""
        first = self._primary()
        if first is None:
            return
        self._cluster.kill(first)
        back = self._spawn(self._back(first))
        until = self._cluster.loop.t + FAILOVER_S
        while (second := self._primary()) is None and self._cluster.loop.t < until:
            await self.wait(0.02)
        await self.wait(self._rng.choice([0.05, 0.5, 1.5]) * self._rng.random())
        if second is not None and second is self._primary() and not self.over:
            self._cluster.kill(second)
            await self._back(second)
        await back

    async def _two_die(self, machine: Machine) -> None:
        """At one instant, as in a rack without power: what only they remembered is forgotten."""
        others = [m for m in self._cluster.members() if m is not machine and m.node is not None]
        if not others or not self._cluster.options.data_dirs:
            return
        await self._die_at_once([machine, self._rng.choice(others)])

    async def _all_die(self, _: Machine) -> None:
        if self._cluster.options.data_dirs:
            await self._die_at_once(self._cluster.members())

    async def _die_at_once(self, machines: list[Machine]) -> None:
        for each in machines:
            self._cluster.kill(each)
        back = [self._spawn(self._back(each)) for each in machines]
        await asyncio.wait(back)

    async def _back(self, machine: Machine) -> None:
        await self.wait(self.short())
        await self.restart(machine)

    def _primary(self) -> Machine | None:
        primary = self._cluster.primary()
        return next((m for m in self._cluster.members() if m.node is primary and primary), None)

    async def _found_anew(self, _: Machine) -> None:
        """As somebody does who loses all data directories, or has none."""
        if self._changing or self.over:
            return
        self._changing = True
        try:
            self._doubtful.clear()
            for machine in self._cluster.founding_anew():
                await self.wait(self._rng.choice([0.0, 0.3]) * self._rng.random())
                if machine.node is None and not self.over:
                    self._cluster.boot(machine)
        finally:
            self._changing = False

    async def _pause(self, machine: Machine) -> None:
        self._cluster.pause(machine, self.short())

    async def _long_pause(self, machine: Machine) -> None:
        self._cluster.pause(machine, self._rng.uniform(2, 8))

    async def _planned_stop(self, machine: Machine) -> None:
        await self._cluster.leave(machine)
        await self.wait(self.short())
        await self.restart(machine)

    # -- links --------------------------------------------------------------------------------

    async def _between(self, links: list[tuple[str, str]], duration_s: float) -> None:
        """Closes them, and opens them one by one in another order."""
        for source, target in links:
            self._network.close_link(source, target)
        await self.wait(duration_s)
        self._rng.shuffle(links)
        gap_s = self._rng.choice([0.0, 0.0, 0.5])
        for source, target in links:
            self._network.open_link(source, target)
            if gap_s:
                await self.wait(self._rng.random() * gap_s)

    async def _isolate(self, machine: Machine) -> None:
        others = self._others(machine)
        if self._rng.random() < 0.3:
            others.append(DYNAMODB)
        links = [link for o in others for link in ((machine.name, o), (o, machine.name))]
        await self._between(links, self.long())

    def long(self) -> float:
        return self._rng.choice([0.5, 2.0, 6.0]) * self._rng.random()

    async def _one_way(self, machine: Machine) -> None:
        inwards = self._rng.random() < 0.5
        names = [name for name in self._others(machine) if self._rng.random() < 0.8]
        links = [(n, machine.name) if inwards else (machine.name, n) for n in names]
        await self._between(links, self.long())

    async def _split(self, machine: Machine) -> None:
        names = [m.name for m in self._cluster.machines]
        left = {machine.name, *(n for n in names if self._rng.random() < 0.4)}
        right = [n for n in names if n not in left]
        near = [n for n in names if n in left]
        links = [link for a in near for b in right for link in ((a, b), (b, a))]
        await self._between(links, self.long())

    async def _cut_links(self, machine: Machine) -> None:
        """A partial partition: some pairs do not see each other, others see both."""
        names = [m.name for m in self._cluster.machines]
        pairs = [(a, b) for a in names for b in names if a < b and self._rng.random() < 0.4]
        links = [link for a, b in pairs for link in ((a, b), (b, a))]
        await self._between(links, self.long())

    async def _slow_link(self, machine: Machine) -> None:
        ends = [*self._others(machine), DYNAMODB]
        other = self._rng.choice(ends)
        delay_s = self._rng.choice([0.05, 0.3, 1.5])
        both = ((machine.name, other), (other, machine.name))
        for source, target in both:
            self._network.slow_down(source, target, delay_s)
        await self.wait(self.long())
        for source, target in both:
            self._network.slow_down(source, target, 0)

    async def _no_dynamodb(self, machine: Machine) -> None:
        links = [(machine.name, DYNAMODB), (DYNAMODB, machine.name)]
        if self._rng.random() < 0.5:
            links = [self._rng.choice(links)]
        await self._between(links, self.long())

    async def _break_stream(self, machine: Machine) -> None:
        streams = [s for s in self._network.streams if isinstance(s, StreamCall)]
        if streams:
            self._rng.choice(streams).cut()

    # -- members ------------------------------------------------------------------------------

    async def _change(self, machine: Machine, *, add: bool) -> bool:
        """One change at a time, as operators are told."""
        if self._changing:
            return False
        self._changing = True
        self._doubtful.add(machine.name)
        try:
            good = await self._cluster.change_members(machine, add=add)
        finally:
            self._changing = False
        if good:
            self._doubtful.discard(machine.name)
        return good

    async def _new_disk(self, machine: Machine) -> None:
        """Its disk is lost: out with the old name, in with a new one. Not while another one has
        not registered yet: such a disk may not vote, so that would be two of them lost at once."""
        if self._can_lose_one() and self._cluster.all_registered():
            self._cluster.kill(machine)
            await self._replace(machine)

    async def _replace(self, machine: Machine) -> None:
        if self._can_lose_one() and await self._remove(machine):
            await self._add_member(machine)
        elif machine.node is None and machine.member and not self.over:
            if self._cluster.options.data_dirs:
                self._cluster.boot(machine)
            else:
                await self._found_anew(machine)

    def _certain(self) -> set[str]:
        """Members whose disks have what they confirmed, as far as is known."""
        return set(self._cluster.voters()) - self._doubtful - self._cluster.doubtful_disks()

    def may_lose_data(self) -> bool:
        """Whether a disk may lose what was durable: at any time, a majority has all of it."""
        voters = self._cluster.voters()
        return (
            self._cluster.options.data_dirs
            and not self._changing
            and self._cluster.all_registered()
            and self._cluster.all_vote()
            and len(voters) >= MOVABLE_MIN
            and len(self._certain() & voters) - 1 > len(voters) / 2
        )

    async def replace_refused(self, machine: Machine) -> None:
        """Out with a disk that its node refuses, in with a new one under another name."""
        disk = machine.disk
        while machine.member and machine.disk is disk and disk.raft.refused:
            if await self._remove(machine):
                await self._add_member(machine)
                return
            await self.wait(RETRY_S)

    def _can_lose_one(self) -> bool:
        """Whether two members are left for certain, and no disk waits to get back what it lost.
        One that is alone does not take a second back: 'admit, then start it' makes a majority of
        two, one of which may not vote before the log has its registration, for which the other
        needs its vote."""
        if self._cluster.doubtful_disks():
            return False
        return len(self._cluster.voters() - self._doubtful) >= MOVABLE_MIN

    async def _remove(self, machine: Machine) -> bool:
        # Whether it gets through may stay unknown: then it is one no more, and stays down.
        good = await self._change(machine, add=False)
        if good:
            machine.member = False
            self._cluster.kill(machine)
        return good

    async def _remove_member(self, machine: Machine) -> None:
        if self._can_lose_one():
            await self._remove(machine)

    async def _add_member(self, _: Machine) -> None:
        cluster = self._cluster
        self._start_the_admitted()
        voters = cluster.voters()
        certain = voters - self._doubtful
        known = [m for m in cluster.machines if m.name in voters | self._doubtful]
        if self._changing or len(cluster.machines) >= MACHINES_MAX or cluster.doubtful_disks():
            return
        if not 1 < len(certain) < 6 or not all(m.disk.identity.joined for m in known):
            # ``_can_lose_one`` says why. Two that were never up could not vote for each other.
            return
        name = f"n{len(cluster.machines) + 1}"
        peers = {m.name: m.raft for m in cluster.members()} | {name: f"{name}:8181"}
        machine = cluster.machine(name, peers)
        machine.member = False
        for _attempt in range(3):
            if await self._change(machine, add=True):
                machine.member = True
                if not self.over and machine.node is None:
                    cluster.boot(machine)
                return

    def _start_the_admitted(self) -> None:
        """Those of whose admission nobody was told, but which the log has."""
        voters = self._cluster.voters()
        for machine in self._cluster.machines:
            if machine.name in voters and not machine.member:
                self._doubtful.discard(machine.name)
                machine.member = True
                if machine.node is None and not self.over:
                    self._cluster.boot(machine)

    async def _remake_table(self, _: Machine) -> None:
        await self.remaking.remake()

    # -- inside a process ---------------------------------------------------------------------

    async def _evict(self, machine: Machine) -> None:
        node = machine.node
        if node is None:
            return
        for _ in range(self._rng.choice([1, 3, 1000])):
            if not node.caches.budget.evict():
                return

    async def _flush(self, machine: Machine) -> None:
        node = machine.node
        if node is None or not node.up:
            return
        table = self._rng.choice([None, HASHED, NUMBERED, RANGED])
        task = node.owner.spawn(node.flushes.flush(table, 2.0))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _move_leadership(self, machine: Machine) -> None:
        node = machine.node
        leader = next((n for n in self._cluster.serving() if n.raft.is_leader), None)
        if node is not None and leader is not None:
            leader.owner.spawn(leader.raft.transfer_leadership(None))
