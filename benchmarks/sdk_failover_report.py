"""What was found of the SDK while nodes fail, and the document that tells it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos import machine
from tests.chaos.sdk_faults import FAULTS
from tests.chaos.sdk_world import RATE_PER_S

NODES = {
    "zone-killed": 6,
    "other-zone-killed": 6,
    "rolling-restart-6": 6,
}
"""Zones are a, b and c in turn; of six nodes, two are in each."""
ZONE_KILLS_OF_FIVE = "zone-killed-5"
TOTAL_LOSS = "total-loss"
TIGHT_BUDGET = "total-loss-tight"
ENOUGH_PER_S = 200.0
"""Of each client, whose batches cost a token for each key."""
TIGHT_PER_S = 25.0

SCENARIOS = {
    **dict.fromkeys(FAULTS, ""),
    ZONE_KILLS_OF_FIVE: "zone-killed",
    "rolling-restart-6": "rolling-restart",
    TIGHT_BUDGET: TOTAL_LOSS,
}
"""Name to the fault, if that is called otherwise."""

WRITE_GAP_GOAL_S = 3.0
FALLBACK_GOAL_S = 2.0
RETURN_GOAL_S = 5.0


TITLES = {
    "replica-killed": "kill -9 of a replica",
    "primary-killed": "kill -9 of the primary",
    "zone-killed": "kill -9 of the primary's zone, two nodes",
    "other-zone-killed": "kill -9 of another zone, two nodes",
    "rolling-restart": "rolling restart of all nodes (SIGTERM)",
    "primary-restarted": "SIGTERM of the primary, three times in a row",
    "primary-paused": "SIGSTOP of the primary for 6 s",
    "replica-paused": "SIGSTOP of a replica for 6 s",
    "discovery-killed": "kill -9 of discovery, then of the primary",
    "total-loss": "kill -9 of all nodes and discovery, back after 6 s",
}
DOCUMENT = """\
# The SDK while nodes fail

Measured by

    .venv/bin/python -m benchmarks.sdk_failover --fresh --report docs/sdk-failover.md

Clusters of real processes on one machine, {rate:g} requests a second in all, begun at a steady rate
whatever becomes of those before: half by an `AsyncClient` that follows discovery's watch, half by a
`Client` whose threads share it, and which polls DAX endpoints. 80 % reads (GetItem, some Query and
BatchGetItem), 20 % writes (PutItem with unique values, UpdateItem that adds to counters), on 56
items. Every read and write is checked for linearizability, every counter against its acknowledged
increments and those of unknown outcome, after a last reading from DynamoDB itself.

*Unknown* is what the application was told by `OutcomeUnknownException`, *not sent* by
`ClusterUnavailable`: nothing was done. *Writes stood still* is the longest time without an
acknowledgement of any write of either client, from the fault until the cluster was whole again,
and *slowest read* the slowest of the run: median of the rounds, and maximum.

{table}

## Total loss

Both clients have `fallback=`, and writes do not fall back. 200 keys a second are more than each
client asks for, 25 a third of it. *Reads refused* waited in vain for their turn, within their
deadline of 10 s. Calls that the budget let go may bunch on their way.

{losses}

## Broken promises

{broken}

## Slower than promised

Writes are to stand still for at most 3 s, the fallback to begin within 2 s and to end within 5 s
of the first node's being ready.

{late}

## Conditions

{machine}. Commit {commits}. The load, the nodes, discovery and the embedded DynamoDB share the
machine with other work, as the load averages show: on two cores, more than 2 means that somebody
waits. {conditions}
MORE
"""
STARVED = """
## Without processor time

The same while other work took most of the machine: every process got about a tenth of a core,
nodes took over ten seconds to start, and the fallback (boto3, 3 ms of processor time a call) could
not be called often enough. Reads failed by their deadline then. What holds without conditions held:
nothing was lost and nothing made twice. (*Lost or twice* counts a run that gave up waiting for a
write, too.)

{table}

{losses}
"""


@dataclass
class Row:
    """What one fault did."""

    scenario: str
    nodes: int
    what: str
    reads: int = 0
    read_failures: list[str] = field(default_factory=list)
    acknowledged: int = 0
    unknown: int = 0
    not_sent: int = 0
    problems: list[str] = field(default_factory=list)
    gap_s: float = 0.0
    slowest_read_s: float = 0.0
    slowest_write_s: float = 0.0
    fallback_s: float | None = None
    return_s: float | None = None
    fallback_reads: int = 0
    over_budget: float | None = None
    """Keys beyond the budget in the worst stretch of time; at most 0 within it."""
    load_average: float = 0.0
    seed: str = ""
    commit: str = ""
    texts: list[str] = field(default_factory=list)
    """Some of the errors."""

    @property
    def arrival_keys(self) -> float:
        """By how many keys calls may bunch between the budget and the wire: a second's worth."""
        return TIGHT_PER_S if self.scenario == TIGHT_BUDGET else ENOUGH_PER_S

    @property
    def refusals_allowed(self) -> bool:
        """The budget is less than what is asked for."""
        return self.scenario == TIGHT_BUDGET

    @property
    def broken(self) -> list[str]:
        """Promises that were not kept, whatever the machine did meanwhile; not durations."""
        found = list(self.problems)
        if self.read_failures and not self.refusals_allowed:
            found.append(f"{len(self.read_failures)} reads failed: {self.read_failures[0]}")
        if self.over_budget is not None and self.over_budget > self.arrival_keys:
            found.append(f"DynamoDB was asked for {self.over_budget:.1f} keys beyond the budget")
        return found

    @property
    def late(self) -> list[str]:
        found = []
        if not self.scenario.startswith(TOTAL_LOSS) and self.gap_s > WRITE_GAP_GOAL_S:
            found.append(f"writes stood still for {self.gap_s:.2f} s")
        if self.fallback_s is not None and self.fallback_s > FALLBACK_GOAL_S:
            found.append(f"fallback after {self.fallback_s:.2f} s")
        if self.return_s is not None and self.return_s > RETURN_GOAL_S:
            found.append(f"return after {self.return_s:.2f} s")
        return found


def load(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()]


def table(rows: Sequence[Row]) -> str:
    """One line for each scenario, of all its rounds."""
    lines = [
        "| what happened | nodes | rounds | reads | failed | writes | unknown | not sent | lost or "
        "twice | writes stood still, s | slowest read, s | load |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (name, nodes), found in grouped(rows).items():
        standing = spread([row.gap_s for row in found])
        if name.startswith(TOTAL_LOSS):
            standing = "no cluster"
        lines.append(
            f"| {title(found)} | {nodes} | {len(found)} | {sum(row.reads for row in found)} | "
            f"{sum(len(row.read_failures) for row in found)} | "
            f"{sum(row.acknowledged for row in found)} | {sum(row.unknown for row in found)} | "
            f"{sum(row.not_sent for row in found)} | {sum(len(row.problems) for row in found)} | "
            f"{standing} | {spread([row.slowest_read_s for row in found])} | "
            f"{spread([row.load_average for row in found], 1)} |"
        )
    return "\n".join(lines)


def losses(rows: Sequence[Row]) -> str:
    lines = [
        "| budget of each client | rounds | first read from DynamoDB, s | last one after a node "
        "was ready, s | keys asked of DynamoDB | worst excess over the budget, keys | reads "
        "refused |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (name, _), found in grouped(rows).items():
        if not name.startswith(TOTAL_LOSS):
            continue
        budget = TIGHT_PER_S if name == TIGHT_BUDGET else ENOUGH_PER_S
        lines.append(
            f"| {budget:g} keys/s | {len(found)} | "
            f"{spread([row.fallback_s for row in found if row.fallback_s is not None])} | "
            f"{spread([max(0.0, row.return_s) for row in found if row.return_s is not None])} | "
            f"{sum(row.fallback_reads for row in found)} | "
            f"{max(max(0.0, row.over_budget or 0.0) for row in found):.0f} | "
            f"{sum(len(row.read_failures) for row in found)} |"
        )
    return "\n".join(lines)


def grouped(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    found: dict[tuple[str, int], list[Row]] = {}
    for name in SCENARIOS:
        for row in rows:
            if row.scenario == name:
                found.setdefault((name, row.nodes), []).append(row)
    return found


def title(rows: Sequence[Row]) -> str:
    name = rows[0].scenario
    return TITLES.get(SCENARIOS[name] or name, name) + (
        ", small budget" if name == TIGHT_BUDGET else ""
    )


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and maximum; all of them are in the results."""
    if not values:
        return "-"
    return f"{statistics.median(values):.{digits}f} (max {max(values):.{digits}f})"


def document(rows: Sequence[Row], starved: Sequence[Row], conditions: str) -> str:
    facts = machine.facts()
    broken = [f"* {row.scenario}, seed {row.seed}: {text}" for row in rows for text in row.broken]
    late = [
        f"* {row.scenario}, load {row.load_average}: {text}" for row in rows for text in row.late
    ]
    commits = ", ".join(sorted({row.commit for row in rows}))
    more = STARVED.format(table=table(starved), losses=losses(starved)) if starved else ""
    return more.join(DOCUMENT.split("MORE\n")).format(
        rate=RATE_PER_S,
        table=table(rows),
        losses=losses(rows),
        machine=", ".join(f"{name}: {value}" for name, value in facts.items()),
        commits=commits,
        conditions=conditions,
        broken="\n".join(broken) or "None.",
        late="\n".join(late) or "None.",
    )
