"""The report of chaos runs: tables for a terminal and for a document, and the plot."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.chaos import failovers
from benchmarks.chaos.failovers import PAUSE_MAX_S, PAUSE_MIN_S, Trial
from benchmarks.chaos.plot import Series, distributions
from benchmarks.chaos.runner import Result
from tests.chaos.numbers import percentile
from tests.chaos.scenarios import SCENARIOS

PLOT = "chaos-failover.svg"
SLOWEST = 3
"""Trials of each kind that are explained."""


@dataclass(frozen=True)
class Findings:
    results: Sequence[Result]
    trials: Sequence[Trial]
    machine: dict[str, str]
    commit: str


@dataclass(frozen=True)
class Group:
    name: str
    trials: Sequence[Trial]

    @property
    def writes_again_s(self) -> list[float]:
        return [t.writes_again_s for t in self.trials if t.writes_again_s is not None]


def groups(trials: Sequence[Trial]) -> list[Group]:
    """Kills by lease, pauses by whether they outlast the lease; only those that there are."""
    found = []
    for lease_s in sorted({trial.lease_s for trial in trials}, reverse=True):
        mine = [trial for trial in trials if trial.lease_s == lease_s]
        kills = [trial for trial in mine if trial.kind == "kill"]
        pauses = [trial for trial in mine if trial.kind == "pause"]
        name = f"primary lease {lease_s:g} s"
        found += [
            Group(f"kill -9, {name}", kills),
            Group(
                f"paused {lease_s:g} to {PAUSE_MAX_S:g} s, {name}",
                [trial for trial in pauses if trial.pause_s > lease_s],
            ),
            Group(
                f"paused {PAUSE_MIN_S:g} to {lease_s:g} s, {name}",
                [trial for trial in pauses if trial.pause_s <= lease_s],
            ),
        ]
    return [group for group in found if group.writes_again_s]


def plot(trials: Sequence[Trial]) -> str | None:
    found = groups(trials)
    if not found:
        return None
    return distributions(
        "Until a write succeeds again after the primary was killed or paused",
        "seconds since the signal; the share of trials that were over by then",
        [Series(group.name, group.writes_again_s) for group in found],
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def failover_table(trials: Sequence[Trial]) -> str:
    rows = [["", "trials", "median", "95 %", "99 %", "slowest", "epochs", "load average"]]
    for group in groups(trials):
        values = group.writes_again_s
        never = len(group.trials) - len(values)
        rows.append(
            [
                group.name,
                str(len(group.trials)),
                *(f"{percentile(values, percent):.2f} s" for percent in (50, 95, 99)),
                f"{max(values):.2f} s" + (f"; {never} never" if never else ""),
                f"{sum(trial.epochs for trial in group.trials)}",
                _range([trial.load_average for trial in group.trials]),
            ]
        )
    return table(rows)


def slowest_table(trials: Sequence[Trial]) -> str:
    rows = [["", "trial", "a write after", "load average", "why, by the nodes' logs"]]
    for group in groups(trials):
        ordered = sorted(group.trials, key=lambda trial: -(trial.writes_again_s or float("inf")))
        for trial in ordered[:SLOWEST]:
            again = trial.writes_again_s
            rows.append(
                [
                    group.name,
                    str(trial.number),
                    "never" if again is None else f"{again:.2f} s",
                    f"{trial.load_average:.1f}",
                    failovers.explained(trial),
                ]
            )
    return table(rows)


def scenario_table(results: Sequence[Result]) -> str:
    rows = [
        [
            "scenario",
            "nodes",
            "rounds",
            "operations",
            "failed reads",
            "failed writes",
            "unknown",
            "no writes for (median, 99 %, longest)",
            "staleness",
            "verdict",
        ]
    ]
    for one in results:
        rows.append(_skipped(one) if one.skipped else _row(one))
    return table(rows)


def _skipped(one: Result) -> list[str]:
    return [one.scenario, str(one.nodes), *["-"] * 7, "skipped"]


def _row(one: Result) -> list[str]:
    report = one.report
    clients = (report.protocol, report.official)
    gaps = [fault.gap_s for fault in report.faults]
    star = "" if all(fault.writes_possible for fault in report.faults) else " ¹"
    unavailable = "-"
    if gaps:
        unavailable = f"{statistics.median(gaps):.2f}, {percentile(gaps, 99):.2f}, {max(gaps):.2f}"
    return [
        one.scenario,
        str(one.nodes),
        str(one.rounds),
        str(report.operations),
        " + ".join(str(client.read_failed) for client in clients),
        " + ".join(str(client.not_sent) for client in clients),
        " + ".join(str(client.unknown) for client in clients),
        f"{unavailable} s{star}",
        "-" if report.staleness_s is None else f"{report.staleness_s:g} s",
        "ok" if one.ok else f"**{report.verdict}**" if report.verdict != "ok" else "**broken**",
    ]


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"


def document(findings: Findings) -> str:
    parts = [_HEAD]
    machine = ", ".join(f"{name} {value}" for name, value in findings.machine.items())
    loads = [one.report.load_average for one in findings.results if not one.skipped]
    loads += [trial.load_average for trial in findings.trials]
    parts.append(
        f"Measured at commit {findings.commit} on one machine: {machine}. Load average meanwhile "
        f"{_range(loads) if loads else '-'}, of which the cluster and its clients are a part: "
        "nodes, DynamoDB, proxies and clients share the cores."
    )
    if findings.trials:
        parts += ["## Failover", _FAILOVER, failover_table(findings.trials)]
        parts.append(f"![Distribution of failover times]({PLOT})")
        parts += ["The slowest:", slowest_table(findings.trials)]
    if findings.results:
        parts += ["## Scenarios", _SCENARIOS, scenario_table(findings.results), _NOTES]
        parts.append(_what(findings.results))
        wrong = [one for one in findings.results if not one.ok and not one.skipped]
        if wrong:
            parts.append("### What was wrong")
            parts += [
                f"**{one.scenario}, {one.nodes} nodes**, seed `{one.report.seed}`:\n\n```\n"
                + "\n".join(one.report.problems)
                + "\n```"
                for one in wrong
            ]
        skipped = {one.skipped for one in findings.results if one.skipped}
        parts += [f"Skipped: {reason}." for reason in sorted(skipped)]
    return "\n\n".join(parts) + "\n"


def _what(results: Sequence[Result]) -> str:
    names = dict.fromkeys(one.scenario for one in results)
    rows = [["scenario", "what is done"]]
    rows += [[name, SCENARIOS[name].about] for name in names if name in SCENARIOS]
    return table(rows)


_HEAD = """# Chaos report

Written by `make chaos`; [testing.md](testing.md#chaos) says how the runs work. Real processes on
one machine: nodes, discovery, a DynamoDB, TCP proxies between all of them. The load is AWS's Python
client, a client of our own that tries the nodes in turn, and a reader at each node, all on a few
hot keys with values that are written once. Everything that they saw is checked for linearizability,
with a consistent read of every key straight from DynamoDB at the end, so an acknowledged write
that was lost would show."""

_FAILOVER = """Three nodes; a write begins every 25 ms at the nodes that are not disturbed. The time
is from the signal to the first success of a write that began after it. A pause that is shorter than
the lease costs nothing but itself: writes wait, and are done when the primary goes on."""

_SCENARIOS = """Counts of failures are those of our client + those of AWS's, which does not try
another node. Operations are those of single keys: a query of eight items counts as eight. Failed
writes surely changed nothing; of unknown ones the client was told that nobody knows. Staleness is
the smallest bound by which every read of a plain register was fresh: 0 s means that none was ever
stale. The verdict is *ok* only if the whole history is linearizable, no acknowledged write was
lost, every acknowledged increment was counted once and every other at most once, no two nodes
held the lease at once, and no read of our client failed while a node could reach DynamoDB."""

_NOTES = """¹ Writes were impossible for as long as the trouble lasted (no majority, or no way to
DynamoDB); the time is from its end to the first write, and mostly that of starting nodes.

Writes stand still longest where the primary hears nothing but is heard: it keeps the others from
an election for a second, and grants that it still asks for are committed by its successor, at whose
election the last of them begins to run out. The same befalls one in some fifty kills: the last
grant had reached the next leader, and that it was committed had not."""
