"""Chaos on clusters of real processes, checked, and the report of it.

    .venv/bin/python -m benchmarks.chaos            # everything: scenarios, failovers, report
    .venv/bin/python -m benchmarks.chaos --only primary-killed,bridge --nodes 5 --seed 7

Results are kept as lines of JSON in ``--results`` and added to, so that a run may be made in
slices; ``--report`` writes the document from all of them. Exit code 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.chaos import failovers, machine, report, runner
from benchmarks.chaos.failovers import DEFAULT_LEASE_S, Kind, Trials
from benchmarks.chaos.report import Findings
from benchmarks.chaos.runner import Amount
from tests.chaos.scenarios import SCENARIOS
from tests.support.cluster import Cluster

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / ".paceline" / "chaos"
SCENARIOS_FILE = "scenarios.jsonl"
FAILOVERS_FILE = "failovers.jsonl"
SHORT_LEASE_S = 0.6


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="scenarios, by name; 'none' for none")
    parser.add_argument("--nodes", default="3,5", help="cluster sizes")
    parser.add_argument("--rounds", type=int, default=1, help="at least, of each scenario")
    parser.add_argument("--seconds", type=float, default=20.0, help="at least, of each scenario")
    parser.add_argument("--seed", type=int, help="of the schedules; printed")
    parser.add_argument("--kills", type=int, default=20, help="of the primary, default lease")
    parser.add_argument(
        "--short-kills", type=int, default=20, help=f"with a lease of {SHORT_LEASE_S:g} s"
    )
    parser.add_argument("--pauses", type=int, default=20, help="of the primary, default lease")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--report", type=Path, help="write the document and its plot")
    parser.add_argument("--commit", help="that was measured; default: the checkout's")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    return parser.parse_args()


def main() -> int:
    given = parse()
    if given.list:
        for one in SCENARIOS.values():
            print(f"{one.name:22} {one.about}")
        return 0
    given.results.mkdir(parents=True, exist_ok=True)
    scenarios, failovers_ = given.results / SCENARIOS_FILE, given.results / FAILOVERS_FILE
    if given.fresh:
        scenarios.unlink(missing_ok=True)
        failovers_.unlink(missing_ok=True)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}; results are kept in {given.results}", flush=True)
    try:
        broken = _scenarios(given, seed)
        _trials("kill", given.kills, DEFAULT_LEASE_S, seed, given)
        _trials("kill", given.short_kills, SHORT_LEASE_S, seed, given)
        _trials("pause", given.pauses, DEFAULT_LEASE_S, seed, given)
    except pytest.skip.Exception as reason:
        print(f"cannot run: {reason}", file=sys.stderr)
        return 2
    findings = Findings(
        runner.load_results(scenarios),
        failovers.load_trials(failovers_),
        machine.facts(),
        given.commit or _commit(),
    )
    if findings.trials:
        print(report.failover_table(findings.trials))
    if findings.results:
        print(report.scenario_table(findings.results))
    if given.report is not None:
        given.report.write_text(report.document(findings), encoding="utf-8")
        drawn = report.plot(findings.trials)
        if drawn is not None:
            (given.report.parent / report.PLOT).write_text(drawn, encoding="utf-8")
    return 1 if broken else 0


def _scenarios(given: argparse.Namespace, seed: int) -> bool:
    """Whether any promise was broken."""
    names = given.only.split(",") if given.only else list(SCENARIOS)
    wanted = [] if given.only == "none" else [SCENARIOS[name] for name in names]
    broken = False
    for nodes in (int(text) for text in given.nodes.split(",")):
        fit = [one for one in wanted if one.nodes_min <= nodes]
        if not fit:
            continue
        with tempfile.TemporaryDirectory(prefix="paceline-chaos-") as directory:
            found = runner.run(
                fit,
                nodes,
                amount=Amount(given.rounds, given.seconds),
                seed=seed,
                directory=Path(directory),
                results=given.results / SCENARIOS_FILE,
            )
        broken = broken or any(not one.ok and not one.skipped for one in found)
    return broken


def _trials(kind: Kind, count: int, lease_s: float, seed: int, given: argparse.Namespace) -> None:
    if count == 0:
        return
    arguments = [] if lease_s == DEFAULT_LEASE_S else [f"--primary-lease={lease_s:g}"]
    with (
        tempfile.TemporaryDirectory(prefix="paceline-failovers-") as directory,
        Cluster(
            Path(directory), settings={"PACELINE_LOG_LEVEL": "debug"}, arguments=arguments
        ) as cluster,
    ):
        cluster.wait_serving()
        trials = Trials(cluster, kind, lease_s, seed)
        found = asyncio.run(trials.run(count, given.results / FAILOVERS_FILE, first=given.first))
    print(failovers.summary(found), flush=True)


def _commit() -> str:
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
