"""The end of a run: everything is healed, and has to work within a bound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.simulation.check import Violation
from tests.simulation.node import SimulatedNode
from tests.simulation.troubles import Troubles
from tests.simulation.workload import Client

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

SETTLE_S = 25.0
"""Elections and leases take seconds; a client's longest deadline and keepalives some more."""

STREAMS_S = 30.0
"""More, to follow streams again: the longest pauses after failures, of reading and of listing."""

POLL_S = 0.4


class Peace:
    """Demands that every member is up, that a write through each node succeeds, and that each
    answers a read from its cache."""

    def __init__(self, simulation: Simulation, troubles: Troubles) -> None:
        self._simulation = simulation
        self._troubles = troubles

    async def run(self) -> None:
        simulation = self._simulation
        self._troubles.over = True
        simulation.note("peace")
        simulation.heal()
        client = Client(simulation, 0, simulation.rng.randrange(1 << 60))
        bound_s = SETTLE_S + 3 * simulation.options.lease.quarantine_s
        outsiders = simulation.outsiders
        if outsiders is not None:
            outsiders.over = True
            bound_s += STREAMS_S
        deadline = simulation.loop.t + bound_s
        missing = "nothing was tried"
        while simulation.loop.t < deadline:
            self._restart()
            self._troubles.remaking.restore()
            missing = await self._missing(client)
            if not missing and outsiders is not None and outsiders.unknown:
                missing = f"{outsiders.unknown} writes from outside are not known to all nodes"
            if not missing:
                if outsiders is not None:
                    await self._look_at_all(client)
                return
            await asyncio.sleep(POLL_S)
        raise Violation(f"not within {bound_s:g} s of peace: {missing}")

    def _restart(self) -> None:
        """Starts every member that is down, and ends who is no member: the log knows, also of
        changes whose outcome nobody was told. Those go once Raft does not count them any more,
        as operators are told. While there is no leader, what a node knows may be old: nobody is
        ended then. Without data directories there is nothing to start again."""
        simulation = self._simulation
        if not simulation.options.data_dirs and any(m.node is None for m in simulation.members()):
            for machine in simulation.founding_anew():
                simulation.boot(machine)
        voters, needed = simulation.voters(), simulation.needed()
        is_known = any(n.raft.synced for n in simulation.running() if hasattr(n, "raft"))
        for machine in simulation.machines:
            machine.member = machine.name in voters or (machine.member and not is_known)
            if machine.member and machine.node is None:
                simulation.boot(machine)
            elif not machine.member and machine.disk.identity.disk_id not in needed:
                simulation.kill(machine)

    async def _missing(self, client: Client) -> str:
        """What does not work yet."""
        simulation = self._simulation
        if not simulation.members():
            return "nobody is a member"
        for machine in simulation.members():
            node = machine.node
            if node is None or not node.up:
                return f"{machine.name} is not up"
            if not await client.owner.spawn(client.act("put", node)):
                return f"a write through {node.name}"
            if not await self._hit(client, node):
                return f"a read from the cache of {node.name}"
        doubtful = simulation.doubtful_disks()
        if doubtful:
            return f"what the disks of {', '.join(sorted(doubtful))} have lost"
        return ""

    async def _look_at_all(self, client: Client) -> None:
        """At every item at every node: nothing may be cached that is over since long ago."""
        for machine in self._simulation.members():
            if machine.node is not None:
                await client.owner.spawn(client.get_all(machine.node))

    async def _hit(self, client: Client, node: SimulatedNode) -> bool:
        counters = node.operations.reads.counters
        before = counters.hits
        await client.owner.spawn(client.get_twice(node))
        return counters.hits > before
