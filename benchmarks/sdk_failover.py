"""What applications that use the SDK notice of failing nodes: errors, lost writes, standstills.

    .venv/bin/python -m benchmarks.sdk_failover [--only NAMES] [--report docs/sdk-failover.md]

Clusters of real processes on this machine, under 200 requests a second of an ``AsyncClient`` and a
``Client``, half of them each, begun at a steady rate whatever becomes of those before. One fault
after the other; results are kept as lines of JSON in ``--results`` and added to, so that a run may
be made in slices. Exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.sdk_failover_report import (
    ENOUGH_PER_S,
    NODES,
    SCENARIOS,
    TIGHT_BUDGET,
    TIGHT_PER_S,
    TOTAL_LOSS,
    ZONE_KILLS_OF_FIVE,
    Row,
    document,
    load,
    table,
)
from tests.chaos.sdk_faults import FAULTS, Outcome
from tests.chaos.sdk_world import RATE_PER_S, Report, sdk_world
from tests.support.cluster import Cluster

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".paceline" / "sdk-failover"


def main() -> int:
    given = parse()
    if given.list:
        print("\n".join(SCENARIOS))
        return 0
    given.results.parent.mkdir(parents=True, exist_ok=True)
    if given.fresh:
        given.results.unlink(missing_ok=True)
    names = given.only.split(",") if given.only else list(SCENARIOS)
    rows: list[Row] = []
    try:
        for nodes in sorted({nodes_of(name) for name in names}):
            rows += run([name for name in names if nodes_of(name) == nodes], nodes, given)
    except pytest.skip.Exception as reason:
        print(f"cannot run: {reason}", file=sys.stderr)
        return 2
    everything = load(given.results)
    print(table(everything))
    if given.report is not None:
        starved = load(given.starved) if given.starved is not None else []
        given.report.write_text(document(everything, starved, given.conditions), encoding="utf-8")
    return 1 if any(row.broken for row in rows) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="scenarios, by name; see --list")
    parser.add_argument("--rounds", type=int, default=3, help="of each")
    parser.add_argument("--rate", type=float, default=RATE_PER_S, help="requests a second")
    parser.add_argument("--seed", type=int, help="printed")
    parser.add_argument("--results", type=Path, default=RESULTS / "rows.jsonl")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--report", type=Path, help="write the document")
    parser.add_argument("--starved", type=Path, help="results of a run on a busy machine, to add")
    parser.add_argument("--conditions", default="", help="what else is to be told of the run")
    parser.add_argument("--commit", help="that is measured; default: the checkout's")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    return parser.parse_args()


def nodes_of(name: str) -> int:
    return 5 if name == ZONE_KILLS_OF_FIVE else NODES.get(name, 3)


def run(names: Sequence[str], nodes: int, given: argparse.Namespace) -> list[Row]:
    rows = []
    first = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    with (
        tempfile.TemporaryDirectory(prefix="paceline-sdk-") as directory,
        Cluster(Path(directory), nodes=nodes) as cluster,
    ):
        cluster.wait_serving()
        for name in names:
            for number in range(given.rounds):
                cluster.heal()
                seed = f"{first + number}"
                row = asyncio.run(one_round(cluster, name, nodes, seed, given.rate))
                row.commit = given.commit or commit()
                rows.append(row)
                with given.results.open("a") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
                say(row)
    return rows


async def one_round(cluster: Cluster, name: str, nodes: int, seed: str, rate: float) -> Row:
    row = Row(name, nodes, name, seed=seed)
    budget = {TOTAL_LOSS: ENOUGH_PER_S, TIGHT_BUDGET: TIGHT_PER_S}.get(name)
    try:
        async with sdk_world(cluster, seed, rate_per_s=rate, fallback_rate_per_s=budget) as (
            world,
            report,
        ):
            outcome = await FAULTS[SCENARIOS[name] or name](world)
            fallback_reads = sum(
                client.stats()["fallback_reads"] for client in world.clients.values()
            )
    except Exception:
        traceback.print_exc()
        row.problems.append(traceback.format_exc(limit=-2))
        return row
    fill(row, report, outcome)
    row.fallback_reads = fallback_reads
    if budget is not None:
        row.over_budget = max(
            one.over_budget(budget, max(1.0, budget)) for one in world.dynamodb.values()
        )
    return row


def fill(row: Row, report: Report, outcome: Outcome) -> None:
    seen = list(report.seen.values())
    row.what = outcome.what
    row.reads = sum(len(one.read_ends) for one in seen)
    row.read_failures = report.read_failures
    row.acknowledged = sum(len(one.acks) for one in seen)
    row.unknown = report.unknown
    row.not_sent = sum(len(one.not_sent) for one in seen)
    row.problems = report.problems
    row.gap_s = report.gap_s(outcome.begun, outcome.ended)
    row.slowest_read_s = max(one.slowest_read_s for one in seen)
    row.slowest_write_s = report.slowest_write_s(outcome.begun, outcome.ended)
    row.fallback_s = max(outcome.fallback_s.values(), default=None)
    row.return_s = max(outcome.return_s.values(), default=None)
    row.load_average = report.load_average
    row.texts = [text for one in seen for _, _, text in (*one.unknown[:4], *one.not_sent[:2])]


def say(row: Row) -> None:
    print(
        f"{row.scenario}: {row.reads} reads, {len(row.read_failures)} failed; "
        f"{row.acknowledged} writes, {row.unknown} unknown, {row.not_sent} not sent; "
        f"gap {row.gap_s:.2f} s, slowest read {row.slowest_read_s:.2f} s, write "
        f"{row.slowest_write_s:.2f} s; fallback {row.fallback_s}, return {row.return_s}, "
        f"budget {row.over_budget}; load {row.load_average}",
        flush=True,
    )
    for text in (*row.broken, *row.late, *row.texts):
        print(f"    {text}", flush=True)


def commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
