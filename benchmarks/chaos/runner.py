"""Runs scenarios one after the other on shared clusters, and keeps what each of them found."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.arena import Fault, Report, under_load
from tests.chaos.records import Tally
from tests.chaos.roto import Roto, installed, why_not_installed
from tests.chaos.scenarios import Scenario
from tests.support.cluster import Cluster


@dataclass(frozen=True)
class Amount:
    """How much of each scenario: at least so many rounds, and for at least so many seconds."""

    rounds: int
    seconds: float


@dataclass
class Result:
    """One scenario on one cluster."""

    scenario: str
    nodes: int
    report: Report
    rounds: int = 0
    elapsed_s: float = 0.0
    skipped: str = ""
    """Why it was not run."""

    @property
    def ok(self) -> bool:
        return not self.skipped and self.report.verdict == "ok" and not self.report.problems

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Result:
        report = dict(found.pop("report"))
        report["protocol"] = Tally(**report["protocol"])
        report["official"] = Tally(**report["official"])
        report["faults"] = [Fault(**fault) for fault in report["faults"]]
        return cls(report=Report(**report), **found)


@dataclass
class Clusters:
    """The cluster in use, and what it was started for; a failure costs it."""

    directory: Path
    nodes: int
    stack: ExitStack = field(default_factory=ExitStack)
    cluster: Cluster | None = None
    dynamodb: Roto | None = None
    started: int = 0

    def get(self, *, own_dynamodb: bool) -> Cluster:
        if self.cluster is not None and (self.dynamodb is not None) != own_dynamodb:
            self.drop()
        if self.cluster is None:
            self.started += 1
            home = self.directory / f"{self.nodes}-nodes-{self.started}"
            arguments = ["--chaos"]
            if own_dynamodb:
                self.dynamodb = self.stack.enter_context(Roto(home / "roto"))
                arguments.append(f"--dynamodb={self.dynamodb.endpoint}")
            self.cluster = self.stack.enter_context(
                Cluster(home, nodes=self.nodes, arguments=arguments)
            )
            self.cluster.wait_serving()
        return self.cluster

    def drop(self) -> None:
        self.stack.close()
        self.stack, self.cluster, self.dynamodb = ExitStack(), None, None


@contextmanager
def clusters(directory: Path, nodes: int) -> Iterator[Clusters]:
    found = Clusters(directory, nodes)
    try:
        yield found
    finally:
        found.drop()


def run(
    scenarios: Sequence[Scenario],
    nodes: int,
    *,
    amount: Amount,
    seed: int,
    directory: Path,
    results: Path,
) -> list[Result]:
    """``results``: gets a line of JSON per scenario, as soon as it is over. Beside it, in
    ``failures``, is kept what there is of those that broke a promise."""
    found = []
    with clusters(directory, nodes) as pool:
        # Those with a DynamoDB of their own last: it takes another cluster.
        for scenario in sorted(scenarios, key=lambda one: one.own_dynamodb):
            name = f"{seed}/{scenario.name}/{nodes}"
            result = _one(scenario, pool, amount, name, results.parent / "failures")
            found.append(result)
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result.to_json()) + "\n")
            print(f"{scenario.name} on {nodes} nodes: {_said(result)}", flush=True)
    return found


def _said(result: Result) -> str:
    if result.skipped:
        return f"skipped: {result.skipped}"
    if result.ok:
        return f"ok ({result.report.operations} operations in {result.elapsed_s:.0f} s)"
    return "\n  ".join(["NOT OK", *result.report.problems])


def _one(scenario: Scenario, pool: Clusters, amount: Amount, seed: str, failures: Path) -> Result:
    result = Result(scenario.name, pool.nodes, Report(seed))
    if scenario.own_dynamodb and not installed():
        result.skipped = why_not_installed()
        return result
    print(f"{scenario.name} on {pool.nodes} nodes: {scenario.about}", flush=True)
    begun = time.monotonic()
    try:
        cluster = pool.get(own_dynamodb=scenario.own_dynamodb)
        home = pool.directory / f"{scenario.name}-{pool.nodes}"
        home.mkdir(parents=True, exist_ok=True)
        asyncio.run(_rounds(scenario, cluster, pool.dynamodb, home, amount, result))
    except Exception as error:  # whatever it is: it is this scenario's result, others go on
        traceback.print_exc()
        result.report.problems.append(f"{type(error).__name__}: {error}")
    if result.report.problems:
        home = pool.directory / f"{scenario.name}-{pool.nodes}"
        home.mkdir(parents=True, exist_ok=True)
        if pool.cluster is not None:
            logs = pool.cluster.home / "data" / "logs"
            shutil.copytree(logs, home / "logs", dirs_exist_ok=True)
            pool.drop()
        kept = failures / f"{scenario.name}-{pool.nodes}"
        shutil.copytree(home, kept, dirs_exist_ok=True)
        print(f"what its clients did and the nodes' logs are kept in {kept}", flush=True)
    result.elapsed_s = time.monotonic() - begun
    return result


async def _rounds(
    scenario: Scenario,
    cluster: Cluster,
    dynamodb: Roto | None,
    home: Path,
    amount: Amount,
    result: Result,
) -> None:
    seed = result.report.seed
    async with under_load(
        cluster,
        home,
        seed,
        dynamodb=dynamodb,
        reads_may_fail=scenario.reads_may_fail,
        leases_released=scenario.leases_released,
    ) as (arena, report):
        result.report = report
        end = time.monotonic() + amount.seconds
        while result.rounds < amount.rounds or time.monotonic() < end:
            await scenario.round(arena)
            result.rounds += 1
        await arena.official_writes()


def load_results(path: Path) -> list[Result]:
    """The last result of each scenario and number of nodes."""
    found: dict[tuple[str, int], Result] = {}
    if path.exists():
        with path.open(encoding="utf-8") as file:
            for line in file:
                result = Result.from_json(json.loads(line))
                found[result.scenario, result.nodes] = result
    return list(found.values())
