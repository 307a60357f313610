"""A cluster under load of both kinds of clients, things that are done to it, and the verdict."""

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline_local.chaos.client import Chaos
from paceline_local.testing.linearizability import Answer, KeyValue, Operation, staleness
from tests.chaos.availability import WriteProbe
from tests.chaos.clients import WRITE_ATTEMPT_S
from tests.chaos.judging import judge, miscounted, read_back
from tests.chaos.load import LoadProcess
from tests.chaos.records import Tally
from tests.chaos.roto import Roto
from tests.chaos.workload import TABLE_KEYS, key
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.load import LeaseWatch
from tests.support.waiting import until, wait_until

BOUND_S = 20.0
"""For writes to go on where a majority is left: ten times what a failover takes, since a run may
share its machine. How long it really took is in the report."""
STOP_S = 15.0
BACK_S = 30.0
"""For writes to go on once whatever was broken is whole again."""
OFFICIAL_S = 25.0
"""The official client learns of a new roster after 4 s at most, of a dead node after 7 s."""
QUIET_S = 30.0
"""For requests that are still under way: a write may wait 10 s for a primary, and 3 s for
DynamoDB."""
PROBE_KEY = {"pk": {"S": "probe"}, "sk": {"S": "probe"}}
PROBE_EVERY_S = 0.05

_numbers = itertools.count(1)


@dataclass
class Fault:
    what: str
    at: float
    """``time.monotonic``."""
    until: float = 0.0
    """All was whole again."""
    writes_possible: bool = True
    """A majority with a DynamoDB is left, so that writes should go on soon."""
    healed_at: float = 0.0
    gap_s: float = 0.0
    """The longest time between two acknowledged writes of the probe since it began or, where
    writes were impossible, from its end to the first one."""

    def healed(self) -> None:
        """The trouble itself is over; the cluster may not be whole yet."""
        self.healed_at = time.monotonic()


@dataclass
class Report:
    """What a run found; ``problems`` is empty if every promise was kept."""

    seed: str
    operations: int = 0
    """In the history: a query of eight items is eight reads."""
    protocol: Tally = field(default_factory=Tally)
    official: Tally = field(default_factory=Tally)
    faults: list[Fault] = field(default_factory=list)
    verdict: str = Answer.UNKNOWN.value
    staleness_s: float | None = None
    """The smallest bound within which every read was fresh: 0 for a history that is linearizable
    (see the checker's ``staleness``). None: the run was not judged."""
    steps: int = 0
    """Of the checker's searches."""
    check_s: float = 0.0
    problems: list[str] = field(default_factory=list)
    load_average: float = 0.0


class Arena:
    """Inside ``under_load``. Every method that waits lets the load run on."""

    def __init__(
        self,
        cluster: Cluster,
        dynamodb: Roto | None,
        plain: Any,
        table: str,
        rng: random.Random,
        loads: Sequence[LoadProcess],
    ) -> None:
        self.dynamodb = dynamodb
        """One that may be killed, if there is."""
        self.extra: list[Operation] = []
        """What others than the loads did."""
        self._plain = plain
        self.cluster = cluster
        self.table = table
        self.rng = rng
        self.loads = list(loads)
        self.protocol, self.official = loads
        self.faults: list[Fault] = []
        self.join: Callable[[str], LoadProcess]
        """Start another official client of this name, whose values differ from the others'."""
        chaos = cluster.entry.get("chaos")
        self._links = None if chaos is None else Chaos(chaos["url"])
        self.probe = WriteProbe(
            cluster.addresses, table, PROBE_KEY, every_s=PROBE_EVERY_S, attempt_s=WRITE_ATTEMPT_S
        )

    @asynccontextmanager
    async def fault(self, what: str, *, writes_possible: bool = True) -> AsyncIterator[Fault]:
        """Around what is done to the cluster until it is whole again."""
        one = Fault(what, time.monotonic(), writes_possible=writes_possible)
        self.faults.append(one)
        print(f"  {what}", flush=True)
        yield one
        one.until = time.monotonic()
        if writes_possible:
            one.gap_s = self.probe.longest_gap_s(one.at, one.until)
        else:
            one.gap_s = self.probe.recovery_s(one.healed_at) or 0.0

    async def do(self, action: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.to_thread(action, *args)

    async def primary(self) -> str:
        return str(await self.do(self.cluster.primary))

    async def replicas(self) -> list[str]:
        return list(await self.do(self.cluster.replicas))

    async def until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        def loaded() -> None:
            for load in self.loads:
                assert load.running, f"the load {load.name} has ended"

        await until(lambda: self.do(condition), what, timeout_s, meanwhile=loaded)

    async def hold(self, shortest_s: float, longest_s: float) -> None:
        await asyncio.sleep(self.rng.uniform(shortest_s, longest_s))

    async def write_behind(self, sk: str, value: str) -> None:
        """A write straight to DynamoDB, which the cluster does not know of."""

        def put() -> None:
            begun = time.monotonic()
            self._plain.put_item(TableName=self.table, Item={**key(sk), "v": {"S": value}})
            self.extra.append(
                Operation("behind", "write", sk, value, None, begun, time.monotonic())
            )

        await self.do(put)

    async def whole(self) -> None:
        """Every fault ends: all nodes run and serve, and writes go on."""
        await self.do(self.heal_links)
        await self.do(self.cluster.heal)
        await self.progress()

    async def written_since(self, since: float) -> None:
        """Until a write that began after ``since`` has succeeded, whatever is broken."""
        found = await self.probe.recovered(since, BOUND_S)
        assert found is not None, f"no write for {BOUND_S:g} s, though a majority is there"

    @property
    def links(self) -> Chaos:
        """Faults on links; for a cluster that was started with ``--chaos``."""
        assert self._links is not None, "the cluster runs without proxies"
        return self._links

    def heal_links(self) -> None:
        if self._links is not None:
            self._links.heal(links_only=True)

    def pause(self, node_id: str) -> None:
        if self.cluster.programs[node_id].running:
            self.cluster.pause(node_id)

    def terminate(self, node_id: str) -> None:
        """SIGTERM; returns when the node has left."""
        program = self.cluster.programs[node_id]
        program.signal(signal.SIGTERM)
        wait_until(lambda: not program.running, f"{node_id} stops gently", STOP_S)

    def restart_dead(self) -> None:
        for name, program in self.cluster.programs.items():
            if not program.running:
                self.cluster.start_again(name)

    async def progress(self, timeout_s: float = BACK_S) -> None:
        """Until the probe and the protocol client have written something that begins now."""
        since = time.monotonic()
        found = await self.probe.recovered(since, timeout_s)
        assert found is not None, f"no write succeeded in {timeout_s:g} s"
        await self.until(
            lambda: self.protocol.wrote_since(since), "the protocol client writes", timeout_s
        )

    async def official_writes(self, load: LoadProcess | None = None) -> None:
        official = load or self.official
        since = time.monotonic()
        await self.until(
            lambda: official.wrote_since(since), f"the client {official.name} writes", OFFICIAL_S
        )


@asynccontextmanager
async def under_load(
    cluster: Cluster,
    directory: Path,
    seed: str,
    *,
    dynamodb: Roto | None = None,
    reads_may_fail: bool = False,
    leases_released: bool = False,
    explain: Callable[[Report], None] = lambda report: None,
) -> AsyncIterator[tuple[Arena, Report]]:
    """Loads and probe at work on a fresh table; afterwards the report is filled in.

    ``reads_may_fail``: there are times at which no node could reach DynamoDB.
    ``leases_released``: a node stops gently, and hands its lease over before it runs out.
    """
    print(f"seed {seed}", flush=True)
    table = f"chaos-{next(_numbers)}-{os.getpid()}"
    plain = boto3_client(cluster.dynamodb)
    plain.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **TABLE_KEYS)
    report = Report(seed)
    common = {"table": table, "seed": seed}
    loads = (
        LoadProcess(directory, "p", kind="protocol", addresses=cluster.addresses, **common),
        LoadProcess(directory, "o", kind="official", dax=cluster.dax, **common),
    )
    watch = LeaseWatch(cluster.status, cluster.node_ids)
    try:
        async with AsyncExitStack() as stack:
            for load in loads:
                stack.enter_context(load)
            stack.enter_context(watch)
            arena = Arena(cluster, dynamodb, plain, table, random.Random(seed), loads)

            def join(name: str) -> LoadProcess:
                late = LoadProcess(directory, name, kind="official", dax=cluster.dax, **common)
                arena.loads.append(stack.enter_context(late))
                return late

            arena.join = join
            await stack.enter_async_context(arena.probe)
            await arena.progress()
            await arena.official_writes()
            yield arena, report
            report.load_average = round(os.getloadavg()[0], 2)
            for load in arena.loads:
                load.end_soon()
            for load in arena.loads:
                await asyncio.to_thread(load.stop)
        await asyncio.to_thread(_await_quiet, cluster)
        await asyncio.to_thread(_fill_in, report, arena, plain)
    finally:
        plain.close()
    if watch.claims == 0:
        report.problems.append("no node ever claimed the lease")
    if not leases_released:
        report.problems += watch.violations
    if not reads_may_fail:
        report.problems += [f"a read failed: {text}" for text in loads[0].tally.read_failures]
    explain(report)


def _await_quiet(cluster: Cluster) -> None:
    """Until no node has a write under way: none can land after the final reading."""
    end = time.monotonic() + QUIET_S
    while True:
        statuses = cluster.statuses()
        busy = {node: status["writes_in_work"] for node, status in statuses.items()}
        if len(busy) == len(cluster.node_ids) and not any(busy.values()):
            return
        assert time.monotonic() < end, f"writes are still under way: {busy}"
        time.sleep(0.05)


def _fill_in(report: Report, arena: Arena, plain: Any) -> None:
    operations = list(arena.extra)
    repeats: list[Operation] = []
    for load in arena.loads:
        more, again = load.operations()
        operations += more
        repeats += again
        report.problems += load.tally.surprises
    report.protocol, report.official = arena.protocol.tally, arena.official.tally
    report.faults = arena.faults
    operations += read_back(plain, arena.table)
    report.operations = len(operations)
    begun = time.monotonic()
    verdict = judge(operations, repeats)
    report.check_s = time.monotonic() - begun
    report.verdict = verdict.answer.value
    report.steps = sum(one.steps for one in verdict.keys.values())
    if verdict.answer is Answer.OK:
        report.staleness_s = 0.0
    else:
        report.staleness_s = staleness(operations, KeyValue()).delta
        report.problems.append(str(verdict))
    report.problems += miscounted(operations, repeats)
