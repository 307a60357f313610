"""One run: a cluster, clients, troubles; then peace, in which everything has to work again."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from unittest import mock

import node.admin.principals
import node.admin.sealed_log
import node.frontends.dax.handler
import node.frontends.json_api.handler
import node.replication.coordinator
import node.replication.membership
import node.streams.followed_tables
import node.streams.plan
from cluster.consensus.participant import Participant
from paceline_local.testing.linearizability import Answer
from tests.simulation.check import Violation
from tests.simulation.cluster import Cluster
from tests.simulation.disk_troubles import is_expected
from tests.simulation.foundings import Foundings
from tests.simulation.loop import VirtualLoop, unbegun_work
from tests.simulation.node import simulated_parts
from tests.simulation.options import Options
from tests.simulation.outside import HORIZON_SHARE
from tests.simulation.outsiders import Outsiders
from tests.simulation.patching import patched
from tests.simulation.peace import Peace
from tests.simulation.planting import lowered
from tests.simulation.rights_changes import secrets_of
from tests.simulation.stories import Stories
from tests.simulation.troubles import Troubles
from tests.simulation.workload import Client

START_S = 20.0
"""For the founders to elect, register and grant. Nothing goes wrong meanwhile."""

TROUBLES_S_MAX = 120.0
"""Some seeds draw troubles so dense that no client ever finishes: enough is enough then."""
RUN_S_MAX = 600.0
"""After the last trouble; clients begin nothing more then."""
STORY_S = 120.0
"""For what is left of a story, once nothing goes wrong any more."""

LAST_CALLS_S = 60.0
"""For the calls under way. A run that takes longer has clients that wait for ever."""

Mutation = tuple[object, str, object]
"""(where, attribute, what to put there) for the length of a run: a planted bug."""


@dataclass(frozen=True)
class Report:
    """What a run came to."""

    seed: int
    operations: int
    counts: Counter[str]
    digest: int
    virtual_s: float
    cpu_s: float
    violation: str | None = None

    @property
    def good(self) -> bool:
        return self.violation is None


class Simulation(Cluster):
    def __init__(self, seed: int, loop: VirtualLoop, options: Options) -> None:
        super().__init__(seed, loop, options)
        self.operations = 0
        self._over = False
        self._quiet_until = 0.0
        self.outsiders: Outsiders | None = None
        if options.outside is not None:
            self.outsiders = Outsiders(self, options.outside, random.Random(f"{seed} outside"))
        self.clients = [
            Client(self, number, self.rng.randrange(1 << 60))
            for number in range(1, options.clients + 1)
        ]

    def quiet(self) -> bool:
        """Now and then nobody writes for a while: else no result of an index is ever kept."""
        if self.loop.t >= self._quiet_until and self.rng.random() < self.options.quiet:
            self._quiet_until = (
                self.loop.t + self.rng.random() * 3 * self.options.lease.quarantine_s
            )
        return self.loop.t < self._quiet_until

    def take_turn(self) -> bool:
        if self._over or self.operations >= self.options.operations:
            return False
        self.operations += 1
        return True

    async def run(self) -> None:
        self.network.faulty = False
        if self.options.founding is None:
            self.found()
        else:
            rng = random.Random(f"{self.seed} founding")
            await Foundings(self, rng, self.options.founding).run()
            self.network.faulty = False
        await self.until(lambda: len(self.serving()) == self.options.nodes, START_S, "all are up")
        await self.until(lambda: self.primary() is not None, START_S, "there is a primary")
        if self.changes is not None:
            await self.changes.prepare()
        self.network.faulty = True
        troubles = Troubles(self, random.Random(f"{self.seed} troubles"))
        troubling = self.loop.world.spawn(troubles.run())
        if self.outsiders is not None:
            self._outside = self.loop.world.spawn(self.outsiders.run())
            self._outside.add_done_callback(self._aside_ended)
        changing: asyncio.Task[None] | None = None
        if self.changes is not None:
            changing = self.loop.world.spawn(self.changes.run())
            changing.add_done_callback(self._aside_ended)
        if self.options.story is not None:
            stories = Stories(self, random.Random(f"{self.seed} story"), self.options.story)
            telling = self.loop.world.spawn(stories.run())
            telling.add_done_callback(self._aside_ended)
        work = [client.owner.spawn(client.run()) for client in self.clients]
        await asyncio.wait(work, timeout=TROUBLES_S_MAX)
        troubling.cancel()
        if changing is not None:
            changing.cancel()
        _, late = await asyncio.wait(work, timeout=RUN_S_MAX)
        if late:
            # Where every link is slow, a call takes seconds, and nothing is wrong. What was done
            # is judged.
            self.count("ended early")
            self._over = True
            async with asyncio.timeout(LAST_CALLS_S):
                await asyncio.wait(late)
        if self.options.story is not None:
            self.heal()
            _, late = await asyncio.wait([telling], timeout=STORY_S)
            if late:
                raise Violation(f"not within {STORY_S:g} s of peace: {stories.doing}")
        if self.options.liveness:
            await Peace(self, troubles).run()
        self._count_nodes()

    def _aside_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.fail(error)

    async def until(self, condition: Callable[[], object], within_s: float, what: str) -> None:
        deadline = self.loop.t + within_s
        while not condition():
            if self.loop.t >= deadline:
                raise Violation(f"not within {within_s:g} s: {what}")
            await asyncio.sleep(0.05)

    def _count_nodes(self) -> None:
        if self.rights is not None:
            self.counts["rights judged"] += self.rights.judged
        for running in self.running():
            auditor = getattr(running, "auditor", None)
            if auditor is not None:
                self.counts["audited"] += sum(n for _, _, n in auditor.ledger.counts())
            operations = getattr(running, "operations", None)
            counters = operations.reads.counters if operations is not None else None
            if counters is not None:
                self.counts["hits"] += counters.hits
                self.counts["query hits"] += counters.query_hits
                self.counts["misses"] += counters.misses


def _afterwards(simulation: Simulation) -> str | None:
    """What is wrong although nobody noticed while it ran."""
    if simulation.loop.complaints:
        return "complaints: " + "; ".join(simulation.loop.complaints[:3])
    verdict = simulation.checker.verdict()
    simulation.counts["keys judged"] += len(verdict.keys)
    simulation.counts["keys not judged"] += len(verdict.having(Answer.UNKNOWN))
    if verdict.answer is Answer.ILLEGAL:
        return f"not linearizable: {verdict}"
    return None


def simulate(
    seed: int,
    options: Options | None = None,
    *,
    operations: int = 2000,
    mutations: Iterable[Mutation] = (),
    trace: Callable[[str], None] | None = None,
) -> Report:
    """Runs ``seed``. ``options``: None draws them from it; ``trace`` is given every step."""
    options = options or Options.of_seed(seed, operations)
    if not gc.isenabled():
        return _simulate(seed, options, mutations, trace)
    gc.freeze()  # of all that was there before, nothing becomes garbage now
    try:
        report = _simulate(seed, options, mutations, trace)
        with unbegun_work():
            gc.collect()
    finally:
        gc.unfreeze()
    return report


def _simulate(
    seed: int,
    options: Options,
    mutations: Iterable[Mutation],
    trace: Callable[[str], None] | None,
) -> Report:
    loop = VirtualLoop(seed)
    begun = time.process_time()
    violation: str | None = None
    note = (lambda text: trace(f"{loop.t:9.4f} {text}")) if trace is not None else None
    with ExitStack() as stack:
        for where, name, what in mutations:
            stack.enter_context(mock.patch.object(where, name, what))
        stack.enter_context(simulated_parts())
        stack.enter_context(
            mock.patch.object(node.replication.coordinator, "LOOK_S", options.look_s)
        )
        drawn = secrets_of(random.Random(f"{seed} secrets"))
        for commands in (node.admin.principals, node.admin.sealed_log):
            stack.enter_context(mock.patch.object(commands, "secrets", drawn))
        for front_end in (node.frontends.json_api.handler, node.frontends.dax.handler):
            stack.enter_context(
                mock.patch.object(front_end, "REQUEST_TIMEOUT_S", options.request_timeout_s)
            )
        compaction = {"compact_entries": options.compact_entries}
        stack.enter_context(mock.patch.dict(Participant.__init__.__kwdefaults__, compaction))
        kept = {"cluster.consensus.core.log:KEPT_ENTRIES": options.compact_entries // 2}
        stack.enter_context(lowered(kept))
        if options.outside is not None:
            horizon_s = options.outside.retention_s * HORIZON_SHARE
            stack.enter_context(mock.patch.object(node.streams.plan, "RETENTION_S", horizon_s))
            followed = node.streams.followed_tables
            checkpoint_s = options.outside.checkpoint_s
            stack.enter_context(mock.patch.object(followed, "CHECKPOINT_S", checkpoint_s))
        simulation = Simulation(seed, loop, options)
        chance = random.Random(f"{seed} chance")
        stack.enter_context(
            patched(loop, chance, note, simulation.count, partial(is_expected, options.disks_fail))
        )
        simulation.trace = note
        try:
            loop.run(simulation.run())
            violation = _afterwards(simulation)
        except Violation as broken:
            violation = f"at {loop.t:.3f} s: {broken}"
        except Exception as error:
            violation = f"at {loop.t:.3f} s: {error!r}"
            if trace is not None:
                raise
    return Report(
        seed,
        simulation.operations,
        simulation.counts,
        loop.digest,
        loop.t,
        time.process_time() - begun,
        violation,
    )
