"""The primary is killed, or paused for a random time shorter or longer than every lease.

Each trial takes how long writes through the other nodes stand still, how long until the victim may
answer from its cache again, the machine's load, and what the nodes logged meanwhile. Writes begin
at a steady rate, so that none of them hides a gap by waiting in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from cluster.settings import LeaseSettings
from tests.chaos.availability import WriteProbe
from tests.chaos.numbers import percentile
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.twins import keys

Kind = Literal["kill", "pause"]

TABLE = "failovers"
PAUSE_MIN_S = 0.2
PAUSE_MAX_S = 6.0
"""Some primary leases of the default length."""
DEFAULT_LEASE_S = LeaseSettings().primary_s
"""Of clusters that are not told another one."""
SETTLE_MIN_S = 0.3
SETTLE_MAX_S = 2.0
"""Before a trial: elections and leases are at some arbitrary point of their periods."""
AFTER_S = 1.0
"""What a node that comes back does to the others shows within an election or two."""
RECOVERY_S = 40.0
AT_ONCE_S = 0.1
LOG_MAX = 400
"""Records kept of one trial."""


@dataclass
class Trial:
    number: int
    kind: Kind
    lease_s: float
    victim: str
    pause_s: float
    """0 for a kill."""
    writes_again_s: float | None = None
    """From the signal to the first acknowledgement of a write that began after it."""
    longest_gap_s: float = 0.0
    """Between two acknowledgements, from the signal until all nodes serve again."""
    serves_again_s: float | None = None
    """From SIGCONT or the new start to the victim's answering from its cache."""
    load_average: float = 0.0
    unknown: int = 0
    epochs: int = 0
    """Begun meanwhile."""
    log: list[dict[str, Any]] = field(default_factory=list)
    """The nodes' log records meanwhile; ``at``: seconds since the signal."""


class Trials:
    def __init__(self, cluster: Cluster, kind: Kind, lease_s: float, seed: int) -> None:
        """``lease_s``: what the cluster was started with."""
        self._cluster = cluster
        self._kind = kind
        self._lease_s = lease_s
        self._seed = seed

    async def run(
        self,
        count: int,
        results: Path | None,
        first: int = 0,
        note: Callable[[Trial], None] | None = None,
    ) -> list[Trial]:
        """``results``: gets a line of JSON per trial, as soon as it is over; ``note``: is told of
        it then."""
        table = f"{TABLE}-{first}"
        plain = boto3_client(self._cluster.dynamodb)
        plain.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
        plain.close()
        found = []
        async with WriteProbe(self._cluster.addresses, table, {"id": {"S": "k"}}) as probe:
            for number in range(first, first + count):
                one = await self._trial(probe, number)
                found.append(one)
                if results is not None:
                    with results.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(one)) + "\n")
                if note is not None:
                    note(one)
                print(describe(one), flush=True)
        return found

    async def _trial(self, probe: WriteProbe, number: int) -> Trial:
        cluster = self._cluster
        rng = random.Random(f"{self._seed}/{number}")
        await asyncio.sleep(rng.uniform(SETTLE_MIN_S, SETTLE_MAX_S))
        victim = await asyncio.to_thread(cluster.primary)
        pause_s = PAUSE_MIN_S * (PAUSE_MAX_S / PAUSE_MIN_S) ** rng.random()
        if self._kind == "kill":
            pause_s = 0.0
        found = Trial(number, self._kind, self._lease_s, victim, round(pause_s, 3))
        found.load_average = round(os.getloadavg()[0], 2)
        before = await asyncio.to_thread(cluster.statuses)
        probe.without([victim])
        unknown = probe.unknown
        logs = LogTail(cluster)
        wall, since = time.time(), time.monotonic()
        if self._kind == "kill":
            await asyncio.to_thread(cluster.kill, victim)
            await probe.recovered(since, RECOVERY_S)
            await asyncio.to_thread(cluster.start_again, victim)
        else:
            cluster.pause(victim)
            try:
                await asyncio.sleep(pause_s)
            finally:
                cluster.resume(victim)
        found.serves_again_s = await self._served_again(victim)
        recovered = await probe.recovered(since, RECOVERY_S)
        found.writes_again_s = None if recovered is None else round(recovered, 3)
        await asyncio.to_thread(cluster.wait_serving)
        await asyncio.sleep(AFTER_S)
        found.longest_gap_s = round(probe.longest_gap_s(since, time.monotonic()), 3)
        found.unknown = probe.unknown - unknown
        after = await asyncio.to_thread(cluster.statuses)
        found.epochs = _epoch(after) - _epoch(before)
        found.log = logs.since(wall)[:LOG_MAX]
        probe.forget()
        return found

    async def _served_again(self, victim: str) -> float | None:
        begun = time.monotonic()
        while time.monotonic() < begun + RECOVERY_S:
            status = await asyncio.to_thread(self._cluster.status, victim)
            if status is not None and status["serving"]:
                return round(time.monotonic() - begun, 3)
            await asyncio.sleep(0.005)
        return None


def _epoch(statuses: dict[str, dict[str, Any]]) -> int:
    return max((int(status["epoch"]) for status in statuses.values()), default=0)


class LogTail:
    """What the nodes write to their logs from now on."""

    def __init__(self, cluster: Cluster) -> None:
        self._paths = [program.log for program in cluster.programs.values()]
        self._sizes = {path: path.stat().st_size for path in self._paths}

    def since(self, wall: float) -> list[dict[str, Any]]:
        """The nodes' own records in order of time; not those of libraries."""
        records = []
        for path in self._paths:
            with path.open("rb") as file:
                file.seek(self._sizes[path])
                for line in file.read().decode(errors="replace").splitlines():
                    try:
                        record = json.loads(line)
                    except ValueError:
                        continue
                    if str(record.get("event", "")).startswith(_LIBRARIES):
                        continue
                    at = datetime.fromisoformat(record.pop("timestamp")).timestamp() - wall
                    records.append({"at": round(at, 3), **record})
        return sorted(records, key=lambda record: float(record["at"]))


_LIBRARIES = (
    "[_cygrpc]",
    "Client request_iterator",
    "Exception while consuming",
    "Failed to receive any message",
    "RPC cancelled",
    "Task ",
)


def describe(trial: Trial) -> str:
    what = "killed" if trial.kind == "kill" else f"paused {trial.pause_s:5.2f} s"
    return (
        f"{trial.number:4d} {trial.victim} {what}: a write again after "
        f"{_seconds(trial.writes_again_s)}, longest gap {trial.longest_gap_s:.2f} s; back, it "
        f"serves after {_seconds(trial.serves_again_s)}; epochs {trial.epochs}, "
        f"unknown {trial.unknown}, load {trial.load_average:.1f}"
    )


def _seconds(value: float | None) -> str:
    return "NEVER" if value is None else f"{value:.2f} s"


def summary(trials: Sequence[Trial]) -> str:
    lines = [f"{len(trials)} trials"]
    for what, values in (
        ("a write again after", [t.writes_again_s for t in trials]),
        ("longest gap between writes", [t.longest_gap_s for t in trials]),
        ("the node serves again after", [t.serves_again_s for t in trials]),
    ):
        known = [value for value in values if value is not None]
        lines.append(
            f"{what}: median {percentile(known, 50):.2f}, 95 % {percentile(known, 95):.2f}, "
            f"99 % {percentile(known, 99):.2f}, maximum {max(known):.2f} s"
            + ("" if len(known) == len(trials) else f"; never: {len(trials) - len(known)}")
        )
    return "\n".join(lines)


def explained(trial: Trial) -> str:
    """Where the time of a trial went, by what the nodes logged."""
    acquired = _first(trial, "primary lease", change="Acquired")
    if trial.writes_again_s is None or acquired is None or acquired > trial.writes_again_s:
        return "the primary went on, nobody else took over"
    votes = [
        record
        for record in trial.log
        if record["event"] == "raft message sent"
        and record.get("type") == "request_vote"
        and record["at"] < acquired
    ]
    if not votes:
        return f"Raft had a leader; the lease ran out and was taken after {acquired:.2f} s"
    rounds = len({record["term"] for record in votes})
    elected = max(
        (
            float(record["at"])
            for record in trial.log
            if record["event"] == "raft leader" and record["leader"] and record["at"] <= acquired
        ),
        default=acquired,
    )
    parts = [
        f"first candidate after {float(votes[0]['at']):.2f} s, "
        f"leader after {elected:.2f} s and {rounds} round{'s' if rounds > 1 else ''} of votes"
    ]
    waited = acquired - elected
    if waited > trial.lease_s:
        parts.append(
            f"it learnt of the last grant as committed only then, and waited {waited:.2f} s for it "
            "to run out"
        )
    elif waited > AT_ONCE_S:
        parts.append(f"the old lease ran out {waited:.2f} s later")
    else:
        parts.append("it took the lease at once")
    served = trial.writes_again_s - acquired
    if served > AT_ONCE_S:
        parts.append(f"a write {served:.2f} s later")
    return "; ".join(parts)


def _first(trial: Trial, event: str, **having: Any) -> float | None:
    for record in trial.log:
        if record["event"] == event and all(record.get(k) == v for k, v in having.items()):
            return float(record["at"])
    return None


def load_trials(path: Path) -> list[Trial]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [Trial(**json.loads(line)) for line in file]
