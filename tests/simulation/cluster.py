"""A whole cluster in one process and in virtual time: machines, processes, what may be done to
them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cluster.consensus.participant import Participant
from cluster.data_dir import Identity
from cluster.log.state import ReplicatedState
from cluster.settings import NodeSettings
from paceline.errors import ConfigError, PacelineError
from tests.simulation import node as nodes
from tests.simulation.check import Checker, Violation
from tests.simulation.dynamodb import Store
from tests.simulation.log_watch import LogWatch
from tests.simulation.loop import Owner, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.node import KEEP_S, Disk, SimulatedNode
from tests.simulation.node_settings import settings_of
from tests.simulation.options import Options
from tests.simulation.raft_disk import RaftDisk
from tests.simulation.raft_wire import RaftWire
from tests.simulation.rights import RightsWatch
from tests.simulation.rights_changes import RightsChanges
from tests.simulation.rpc_ends import RESET_S, Switchboard
from tests.simulation.streams import Streams
from tests.simulation.tables import TABLES

CHANGE_S = 8.0
"""For a change of members to get through."""


@dataclass(eq=False)
class Machine:
    """Where a node runs. It has a clock, a disk and addresses; processes come and go."""

    name: str
    rate: float
    offset: float
    peers: dict[str, str]
    disk: Disk
    starts: int = 0
    node: SimulatedNode | None = None
    member: bool = True
    pauses: int = 0
    leaving: bool = False
    gave_up: str = ""
    """Why the last process that did so."""

    @property
    def grpc(self) -> str:
        return f"{self.name}:8161"

    @property
    def raft(self) -> str:
        return f"{self.name}:8181"


class Cluster:
    """Nodes, their network, their DynamoDB. No clients and no troubles yet."""

    def __init__(self, seed: int, loop: VirtualLoop, options: Options) -> None:
        self.seed = seed
        self.loop = loop
        self.options = options
        self.rng = random.Random(f"{seed} cluster")
        self.counts: Counter[str] = Counter()
        self.trace: Callable[[str], None] | None = None
        self.network = Network(loop, random.Random(f"{seed} network"), options.links)
        self.board = Switchboard(self.network)
        self.wire = RaftWire(self.network)
        self.watch = LogWatch(loop.fail)
        self.promise_s: Callable[[], float] = lambda: KEEP_S
        """How long a promise takes to be durable."""
        self.store = Store(lambda: loop.t, TABLES)
        self.streams: Streams | None = None
        if options.outside is not None and options.outside.followed:
            self.streams = self.store.streams = Streams(
                lambda: loop.t, random.Random(f"{seed} streams"), options.outside
            )
        self.upstream = options.upstream
        self.checker = Checker(self.store, lambda: loop.t, options.outside)
        self.rights: RightsWatch | None = None
        self.changes: RightsChanges | None = None
        if options.rights is not None:
            self.rights = RightsWatch(
                lambda: loop.t, options.lease.primary_s, options.rights.stale_s
            )
            changing = random.Random(f"{seed} rights changes")
            self.changes = RightsChanges(self, changing, options.rights)
        self.machines: list[Machine] = []
        self._settings: dict[tuple[str, str], NodeSettings] = {}
        """By machine and peers: to make them takes longer than what a process does in a second."""
        self._epoch = 0
        self._untouched = True
        """No cluster has written to the store."""

    # -- what happens -------------------------------------------------------------------------

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def note(self, text: str) -> None:
        if self.trace is not None:
            self.trace(text)

    def take_untouched(self) -> bool:
        untouched, self._untouched = self._untouched, False
        return untouched

    def applied(self, node: SimulatedNode) -> None:
        """At most one node believes in the lease, at any instant: beliefs begin in an apply."""
        believers = [n for n in self.running() if n.believes]
        if len(believers) > 1:
            names = ", ".join(n.name for n in believers)
            raise Violation(f"{names} hold the primary lease at the same time")
        state = node.raft.machine
        assert isinstance(state, ReplicatedState)
        if state.cluster_id:
            self.watch.named(node.name, state.cluster_id)
        if self.rights is not None:
            self.rights.applied(state)
        epoch = state.lease.epoch
        if epoch > self._epoch:
            self.note(f"epoch {epoch} in the log")
            self.counts["epochs"] += epoch - self._epoch
            self._epoch = epoch

    # -- who is there -------------------------------------------------------------------------

    def running(self) -> list[SimulatedNode]:
        return [m.node for m in self.machines if m.node is not None]

    def serving(self) -> list[SimulatedNode]:
        """Those that clients may find, hung ones included."""
        return [node for node in self.running() if node.up]

    def members(self) -> list[Machine]:
        return [m for m in self.machines if m.member]

    def voters(self) -> frozenset[str]:
        """Members as the log names them, as far as the node says that knows most of it."""
        state = self._latest_state()
        if state is None or not state.voters:
            return frozenset(machine.name for machine in self.members())
        return frozenset(state.voters)

    def all_registered(self) -> bool:
        """Whether the log, as far as somebody up knows it, has the registration of all voters."""
        state = self._latest_state()
        return state is not None and set(state.voters) <= {m.id for m in state.view.members}

    def _latest_state(self) -> ReplicatedState | None:
        rafts = [n.raft for n in self.running() if hasattr(n, "raft")]
        if not rafts:
            return None
        state = max(rafts, key=lambda raft: raft.applied).machine
        assert isinstance(state, ReplicatedState)
        return state

    def doubtful_disks(self) -> set[str]:
        """Members whose disks may have lost what was durable, and have not got it back."""
        voters = self.voters()
        return {m.name for m in self.machines if m.name in voters and m.disk.raft.doubtful}

    def needed(self) -> frozenset[str]:
        """Disks that some member's Raft needs for its majorities."""
        return frozenset(disk for raft in self._rafts() for disk in raft.voters)

    def all_vote(self) -> bool:
        """Whether every member's Raft that runs has all members as voters, and no learners."""
        voters = self.voters()
        disks = {m.disk.identity.disk_id for m in self.machines if m.name in voters}
        return all(raft.voters == disks for raft in self._rafts())

    def _rafts(self) -> list[Participant]:
        """Of members that run."""
        return [n.raft for n in self.running() if n.machine in self.voters() and hasattr(n, "raft")]

    def primary(self) -> SimulatedNode | None:
        return next((node for node in self.running() if node.believes), None)

    # -- machines -----------------------------------------------------------------------------

    def found(self) -> None:
        """The first machines, with every founder on each."""
        for machine in self.founders():
            self.boot(machine)

    def founders(self) -> list[Machine]:
        names = [f"n{i + 1}" for i in range(self.options.nodes)]
        peers = {name: f"{name}:8181" for name in names}
        return [self.machine(name, peers) for name in names]

    def founding_anew(self) -> list[Machine]:
        """All processes die and all disks are lost; the members are to be booted as founders of
        a new cluster, which knows nothing of the old one. The tables and their users stay."""
        self.note("all die, to found a new cluster")
        founders = [m for m in self.machines if m.member]
        for machine in self.machines:
            self.kill(machine)
        peers = {machine.name: machine.raft for machine in founders}
        for machine in founders:
            machine.disk = self.new_disk(machine.name)
            machine.peers = dict(peers)
        self._epoch = 0
        self.watch.forget()
        return founders

    def machine(self, name: str, peers: dict[str, str]) -> Machine:
        drift = self.options.clock_drift
        made = Machine(
            name,
            rate=self.rng.uniform(1 - drift, 1 + drift),
            offset=self.rng.uniform(0, 100_000),
            peers=dict(peers),
            disk=self.new_disk(name),
        )
        self.machines.append(made)
        self.wire.machines[name] = made
        return made

    def new_disk(self, name: str) -> Disk:
        disk_id = self.rng.randbytes(16).hex()
        rng = random.Random(f"{self.seed} {disk_id}") if self.options.disks_fail else None
        raft = RaftDisk(disk_id, rng, self.options.power_loss)
        disk = Disk(Identity(name, "c", disk_id, "now"), raft)
        self.knows(disk, name)
        return disk

    def knows(self, disk: Disk, machine: str) -> None:
        """Under the name that it has now."""
        self.wire.disks[disk.name] = machine
        self.watch.has(disk)

    def boot(self, machine: Machine) -> SimulatedNode:
        """A new process with what is on the machine's disk."""
        assert machine.node is None
        if machine.starts and not self.options.data_dirs:
            machine.disk = self.new_disk(machine.name)
        machine.starts += 1
        machine.pauses = 0
        machine.leaving = False
        owner = Owner(self.loop, f"{machine.name}.{machine.starts}", machine.rate, machine.offset)
        made: list[SimulatedNode] = []
        owner.context.run(self._make, machine, owner, made)
        (node,) = made
        machine.node = node
        self.network.processes[machine.name] = owner
        self.note(f"{owner.name} starts")
        owner.spawn(self._live(machine, node))
        owner.spawn(self._watch_end(machine, node))
        return node

    def _make(self, machine: Machine, owner: Owner, made: list[SimulatedNode]) -> None:
        rng = random.Random(f"{self.seed} {owner.name}")
        like = machine.name, str(machine.peers)
        settings = self._settings.get(like)
        if settings is None:
            follows = self.streams is not None
            settings = settings_of(self.options, machine, follow_streams=follows)
            self._settings[like] = settings
        node = SimulatedNode(self, machine.name, owner, settings, machine.disk, rng)
        if self.options.cache_bytes:
            node.caches.budget.bytes_max = self.options.cache_bytes
        nodes.register(node)
        made.append(node)

    async def _live(self, machine: Machine, node: SimulatedNode) -> None:
        try:
            await node.run()
        except ConfigError as error:
            self.note(f"{node.name} gives up: {error}")
            machine.gave_up = str(error)
            self.count("gave up")
            self.loop.world.call_soon(self._reap, machine, node)
            return
        except PacelineError as error:
            self.note(f"{node.name} did not start: {error}")
            self.count("did not start")
            self.loop.world.call_soon(self._reap, machine, node)
            return
        except Exception as error:
            self.loop.fail(error)

    async def _watch_end(self, machine: Machine, node: SimulatedNode) -> None:
        """As ``lifecycle.run_program``: in order, at once if it was starting."""
        await node.lifecycle.wait()
        if machine.disk.raft.failed and node.lifecycle.exit_code:
            self.count("ended by its disk")
            if node.up:
                self.loop.world.spawn(self.leave(machine))
            else:
                self.loop.world.call_soon(self._reap, machine, node)
        elif not machine.leaving:
            self.loop.fail(AssertionError(f"{node.name} failed as a program"))

    def _reap(self, machine: Machine, node: SimulatedNode) -> None:
        if machine.node is node:
            self.kill(machine)

    # -- what may be done to a machine --------------------------------------------------------

    def kill(self, machine: Machine) -> None:
        """SIGKILL. Its kernel resets connections; its clients hear of it soon."""
        node = machine.node
        if node is None:
            return
        self.note(f"{node.name} dies")
        machine.node = None
        self.network.processes.pop(machine.name, None)
        node.up = False
        node.owner.kill()
        for address, server in list(self.board.servers.items()):
            if server.owner is node.owner:
                server.down()
                del self.board.servers[address]
        for channel in node.channels:
            for end in list(channel.calls.values()):
                end("the process is gone")
        for future in list(node.callers):
            self.loop.after(self.rng.random() * RESET_S, _unanswered, future)

    def pause(self, machine: Machine, duration_s: float) -> None:
        """SIGSTOP, and SIGCONT later. Pauses may overlap."""
        node = machine.node
        if node is None:
            return
        self.note(f"{node.name} is paused for {duration_s:.2f} s")
        machine.pauses += 1
        node.owner.pause()
        self.loop.after(duration_s, self._resume, machine, node)

    def _resume(self, machine: Machine, node: SimulatedNode) -> None:
        if machine.node is node:
            machine.pauses -= 1
            if not machine.pauses:
                self.note(f"{node.name} goes on")
                node.owner.resume()

    def heal(self) -> None:
        """Links are open and fast, disks as well, and no process is paused."""
        self.network.heal()
        for machine in self.machines:
            machine.disk.raft.heal()
            if machine.node is not None and machine.pauses:
                machine.pauses = 0
                machine.node.owner.resume()

    async def leave(self, machine: Machine) -> None:
        """A planned stop. Returns when the process is gone."""
        node = machine.node
        if node is None or machine.leaving or not node.up:
            return
        self.note(f"{node.name} stops as planned")
        machine.leaving = True
        node.up = False
        stopped: asyncio.Future[None] = self.loop.create_future()

        def end(_: object) -> None:
            if not stopped.done():
                stopped.set_result(None)

        owner = node.owner
        task = owner.spawn(node.leave())
        task.add_done_callback(end, context=self.loop.world.context)
        self.loop.after(30.0, end, None)  # it may be paused, or dead by then
        await stopped
        if machine.node is node:
            self.count("planned stops")
            self.kill(machine)

    async def change_members(self, machine: Machine, *, add: bool) -> bool:
        """By some other node that is up. False: it did not get through in time."""
        others = [n for n in self.serving() if n.machine != machine.name]
        if not others:
            return False
        node = self.rng.choice(others)
        if add:
            work = node.agent.add_member(machine.name, machine.raft, CHANGE_S)
        else:
            work = node.agent.remove_member(machine.name, CHANGE_S)
        task = node.owner.spawn(work)
        answer: asyncio.Future[bool] = self.loop.create_future()

        def end(done: asyncio.Task[None] | None) -> None:
            good = done is not None and not done.cancelled() and done.exception() is None
            if not answer.done():
                answer.set_result(good)

        task.add_done_callback(end, context=self.loop.world.context)
        self.loop.after(CHANGE_S * 1.5, end, None)
        good = await answer
        self.note(f"{'add' if add else 'remove'} {machine.name} by {node.name}: {good}")
        return good


def _unanswered(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
