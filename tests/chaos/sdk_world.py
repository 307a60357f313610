"""A cluster under the load of both SDK clients, what is done to it, and the verdict."""

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import paceline
from paceline.client.settings import Settings
from paceline.clock import now
from paceline_local.probes import http_ok
from paceline_local.testing.linearizability import KeyValue, Operation, check
from tests.support.cluster import STATUS_S, Cluster
from tests.support.embedded import boto3_client
from tests.support.sdk_load import (
    TABLE_KEYS,
    AsyncLoad,
    Menu,
    Seen,
    ThreadLoad,
    counters,
    item_key,
    value_of,
)
from tests.support.waiting import until, wait_until

RATE_PER_S = 200.0
"""Of both clients together."""
GENTLE_STOP_S = 15.0
PROGRESS_S = 30.0
QUIET_S = 30.0
BRIEFLY = 3.0
CLIENTS = ("async", "sync")

_numbers = itertools.count(1)


class CountedDynamoDB:
    """boto3's client for a fallback; ``calls`` has when it was asked, and for how many keys."""

    def __init__(self, endpoint: str) -> None:
        self._client = boto3_client(endpoint)
        self.calls: list[tuple[float, int]] = []

    def get_item(self, **params: Any) -> Any:
        self.calls.append((now(), 1))
        return self._client.get_item(**params)

    def query(self, **params: Any) -> Any:
        self.calls.append((now(), 1))
        return self._client.query(**params)

    def batch_get_item(self, **params: Any) -> Any:
        keys = sum(len(one["Keys"]) for one in params["RequestItems"].values())
        self.calls.append((now(), keys))
        return self._client.batch_get_item(**params)

    def close(self) -> None:
        self._client.close()

    def over_budget(self, rate_per_s: float, burst: float) -> float:
        """By how many keys the worst stretch of time exceeded what a bucket gives in it.

        The largest of (keys asked for from call i to call j) - burst - rate * (their distance);
        at most 0 within the budget.
        """
        worst, lowest, total = float("-inf"), float("inf"), 0
        for at, keys in sorted(self.calls):
            lowest = min(lowest, total - rate_per_s * at)
            total += keys
            worst = max(worst, total - rate_per_s * at - lowest - burst)
        return worst


@dataclass
class Report:
    """What a run found; ``problems`` is empty if no promise was broken."""

    seen: dict[str, Seen]
    problems: list[str] = field(default_factory=list)
    operations: int = 0
    load_average: float = 0.0

    @property
    def unknown(self) -> int:
        return sum(len(one.unknown) for one in self.seen.values())

    @property
    def read_failures(self) -> list[str]:
        return [text for one in self.seen.values() for _, text in one.read_failures]

    def gap_s(self, since: float, until: float) -> float:
        """The longest time without an acknowledgement of any write, of either client."""
        return longest_gap(self._acks(self.seen.values()), since, until)

    def client_gap_s(self, name: str, since: float, until: float) -> float:
        return longest_gap(self._acks([self.seen[name]]), since, until)

    @staticmethod
    def _acks(seen: Iterable[Seen]) -> list[float]:
        return [ended for one in seen for _, ended in one.acks]

    def slowest_write_s(self, since: float, until: float) -> float:
        """Of those that began in this time, whatever became of them."""
        found = [
            end - begun
            for one in self.seen.values()
            for begun, end in (*one.acks, *((b, e) for b, e, _ in (*one.unknown, *one.not_sent)))
            if since <= begun <= until
        ]
        return max(found, default=0.0)


def longest_gap(times: Iterable[float], since: float, until: float) -> float:
    inside = sorted(time for time in times if since <= time <= until)
    return max(after - before for before, after in itertools.pairwise([since, *inside, until]))


class World:
    """Inside ``sdk_world``. Every method that waits lets the load run on."""

    def __init__(self, cluster: Cluster, report: Report, rng: random.Random) -> None:
        self.cluster = cluster
        self.report = report
        self.rng = rng
        self.brief = False
        """Faults last for a third of their time, and fewer nodes are restarted."""
        self.clients: dict[str, Any] = {}
        self.dynamodb: dict[str, CountedDynamoDB] = {}
        """What each client's fallback asks."""

    async def do(self, action: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.to_thread(action, *args)

    async def primary(self) -> str:
        return str(await self.do(self.cluster.primary))

    def zone(self, name: str) -> list[str]:
        return [node for node in self.cluster.node_ids if self.zone_of(node) == name]

    def zone_of(self, node_id: str) -> str:
        return self.cluster.node(node_id)["zone"]

    async def kill(self, names: Sequence[str]) -> None:
        """SIGKILL of all at once."""
        for name in names:
            self.cluster.programs[name].process.kill()
        for name in names:
            await self.do(self.cluster.kill, name)

    async def start(self, names: Sequence[str]) -> None:
        for name in names:
            await self.do(self.cluster.start_again, name)

    async def terminate(self, node_id: str) -> None:
        """SIGTERM; returns when the node has left."""
        program = self.cluster.programs[node_id]
        program.signal(signal.SIGTERM)
        await self.do(
            wait_until, lambda: not program.running, f"{node_id} stops gently", GENTLE_STOP_S
        )

    async def ready_at(self, names: Sequence[str]) -> float:
        """When the first of these nodes was ready."""

        def one_is_ready() -> bool:
            return any(
                http_ok(f"{self.cluster.node(name)['admin']}/readyz", STATUS_S) is None
                for name in names
            )

        await self.do(wait_until, one_is_ready, "a node is ready", PROGRESS_S)
        return now()

    async def whole(self) -> None:
        """Everything runs and serves, and both clients write."""
        await self.do(self.cluster.heal)
        await self.written()

    async def written(self) -> None:
        """Until each client was acknowledged a write that begins now."""
        since = now()

        def both() -> bool:
            return all(
                any(begun >= since for begun, _ in one.acks[-200:])
                for one in self.report.seen.values()
            )

        await self.until(both, "both clients write")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            await until(condition, what, PROGRESS_S)
        except AssertionError as error:
            error.add_note(self.said())
            raise

    def said(self) -> str:
        """The latest errors, for a person who wants to know why."""
        texts = []
        for name, one in self.report.seen.items():
            texts += [f"{name}: {text}" for _, text in one.read_failures[-3:]]
            texts += [f"{name}: {text}" for _, _, text in (*one.unknown[-3:], *one.not_sent[-3:])]
            texts.append(f"{name}: {self.clients[name].stats()}")
        return "\n".join(texts)

    async def hold(self, seconds: float) -> None:
        """For so long the load goes on, or for less if ``brief``."""
        await asyncio.sleep(seconds / BRIEFLY if self.brief else seconds)


def endpoints(cluster: Cluster) -> dict[str, str]:
    """One client follows a watch, the other one polls."""
    address = cluster.entry["discovery"][0]["grpc"]
    return {"async": f"paceline://{address}", "sync": cluster.dax}


@asynccontextmanager
async def sdk_world(
    cluster: Cluster,
    seed: str,
    *,
    rate_per_s: float = RATE_PER_S,
    zones: Sequence[str] = ("a", "b"),
    fallback_rate_per_s: float | None = None,
    clients: Sequence[str] = CLIENTS,
    settings: Settings | None = None,
) -> AsyncIterator[tuple[World, Report]]:
    """Loads at work on a fresh table; afterwards the report is filled in.

    ``zones``: of the clients. ``fallback_rate_per_s``: of each client, which has no fallback
    without.
    """
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    table = f"sdk-{next(_numbers)}-{os.getpid()}"
    plain = boto3_client(cluster.dynamodb)
    plain.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **TABLE_KEYS)
    report = Report({name: Seen(name) for name in clients})
    world = World(cluster, report, rng)
    all_counters = [one for name in clients for one in counters(name)]
    loads: list[AsyncLoad | ThreadLoad] = []
    try:
        async with AsyncExitStack() as stack:
            for name, zone in zip(clients, zones, strict=False):
                seen = report.seen[name]
                options: dict[str, Any] = {
                    "zone": zone,
                    "on_request": seen.told,
                    "settings": settings,
                }
                if fallback_rate_per_s is not None:
                    world.dynamodb[name] = CountedDynamoDB(cluster.dynamodb)
                    stack.callback(world.dynamodb[name].close)
                    options |= {
                        "fallback": world.dynamodb[name],
                        "fallback_rate_per_s": fallback_rate_per_s,
                    }
                menu = Menu(name, table, random.Random(f"{seed} {name}"), all_counters)
                rate = rate_per_s / len(clients)
                if name == "async":
                    aio = paceline.AsyncClient(endpoints(cluster)[name], **options)
                    world.clients[name] = await stack.enter_async_context(aio)
                    loads.append(AsyncLoad(aio, menu, rate, seen))
                else:
                    sync = paceline.Client(endpoints(cluster)[name], **options)
                    world.clients[name] = sync
                    stack.callback(sync.close)
                    loads.append(ThreadLoad(sync, menu, rate, seen))
            for load in loads:
                load.start()
                stack.push_async_callback(load.stop)
            await world.written()
            yield world, report
            report.load_average = round(os.getloadavg()[0], 2)
        await asyncio.to_thread(_await_quiet, cluster)
        await asyncio.to_thread(judge, report, plain, table)
    finally:
        plain.close()


def _await_quiet(cluster: Cluster) -> None:
    """Until no node has a write under way: none can land after the final reading."""
    end = time.monotonic() + QUIET_S
    while True:
        busy = {node: one["writes_in_work"] for node, one in cluster.statuses().items()}
        if len(busy) == len(cluster.node_ids) and not any(busy.values()):
            return
        assert time.monotonic() < end, f"writes are still under way: {busy}"
        time.sleep(0.05)


def judge(report: Report, plain: Any, table: str) -> None:
    operations = [one for seen in report.seen.values() for one in seen.operations]
    for key in sorted({str(one.key) for one in operations}):
        begun = now()
        found = plain.get_item(TableName=table, Key=item_key(key), ConsistentRead=True)
        value = value_of(found.get("Item"))
        operations.append(Operation("DynamoDB", "read", key, None, value, begun, now()))
        report.problems += _miscounted(key, value, operations)
    report.operations = len(operations)
    verdict = check(operations, KeyValue())
    if not verdict:
        report.problems.append(str(verdict))
    for seen in report.seen.values():
        report.problems += seen.surprises
        if seen.left_out:
            report.problems.append(f"{seen.name}: {seen.left_out} calls were not begun")


def _miscounted(key: str, found: Any, operations: Sequence[Operation]) -> list[str]:
    adds = [one for one in operations if one.key == key and one.kind == "add_and_get"]
    done = [one for one in adds if not one.unknown and not one.failed]
    unknown = sum(one.unknown for one in adds)
    problems = []
    if adds and not len(done) <= (found or 0) <= len(done) + unknown:
        problems.append(
            f"counter {key} is {found} after {len(done)} acknowledged increments and {unknown} "
            "of unknown outcome"
        )
    if len({one.result for one in done}) < len(done):
        problems.append(f"two increments of {key} were told the same result")
    return problems
