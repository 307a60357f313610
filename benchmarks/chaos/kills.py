"""Deaths of the primary, many of them, and two in quick succession, measured apart.

    python -m benchmarks.chaos.kills --kills 200 --twice 20 --continue FILE

Between two trials all nodes serve again, so that all three remember the epoch that ends with the
next death. In the second kind the successor dies as soon as it has taken a write: of three
memories one is left, the next epoch begins with every key unknown, and nothing is answered from a
cache for the length of a quarantine.

Each trial that is over is noted in the file; the same command goes on where it was interrupted.
Notes of another commit are refused without ``--mixed``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.failovers import (
    DEFAULT_LEASE_S,
    RECOVERY_S,
    SETTLE_MAX_S,
    TABLE,
    Trial,
    Trials,
)
from paceline.errors import PacelineError
from tests.chaos.availability import WriteProbe
from tests.chaos.numbers import percentile
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.protocol_client import ClusterClient
from tests.support.records import Records, Refused, commit_of, records
from tests.support.twins import keys

ROOT = Path(__file__).parents[2]
ONE = "one death"
TWO = "two deaths"
HITS_S = 60.0
"""Far more than a quarantine, after which there are hits again."""
POLL_S = 0.05
BATCH = 10
"""Trials with one cluster; what a cluster has gathered by then must not colour all of them."""


async def two_deaths(cluster: Cluster, table: str, number: int) -> dict[str, Any]:
    """Times are in seconds since the second death."""
    await asyncio.sleep(SETTLE_MAX_S)
    first = await asyncio.to_thread(cluster.primary)
    key = {"id": {"S": "read"}}
    async with WriteProbe(cluster.addresses, table, {"id": {"S": "k"}}) as probe:
        probe.without([first])
        since = time.monotonic()
        await asyncio.to_thread(cluster.kill, first)
        once = await probe.recovered(since, RECOVERY_S)
        second = await asyncio.to_thread(cluster.primary)
        # The last one is alone then: the first victim has to come back for a majority.
        probe.without([second])
        since = time.monotonic()
        await asyncio.to_thread(cluster.kill, second)
        await asyncio.to_thread(cluster.start_again, first)
        hits = Hits(cluster, table, key)
        watching = asyncio.create_task(hits.watch())
        try:
            again = await probe.recovered(since, RECOVERY_S)
            without_s = await hits.longest_gap_s(since, since + (again or RECOVERY_S))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            hits.close()
        await asyncio.to_thread(cluster.start_again, second)
        unknown = probe.unknown
    await asyncio.to_thread(cluster.wait_serving)
    return {
        "kind": TWO,
        "number": number,
        "victims": [first, second],
        "first_writes_again_s": _rounded(once),
        "writes_again_s": _rounded(again),
        "without_hits_s": _rounded(without_s),
        "unknown": unknown,
    }


class Hits:
    """Reads one key, and sees from the nodes' counters when one of them had it in its cache."""

    def __init__(self, cluster: Cluster, table: str, key: dict[str, Any]) -> None:
        self._cluster = cluster
        self._table = table
        self._key = key
        self._reader = ClusterClient(cluster.addresses)
        self._counted: dict[str, int] = {}
        self.times: list[float] = []

    def close(self) -> None:
        self._reader.close()

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._reader.read("GetItem", TableName=self._table, Key=self._key)
            except PacelineError:
                pass  # whatever a cluster without a majority says: it is tried again
            for node, status in (await asyncio.to_thread(self._cluster.statuses)).items():
                counted = int(status["cache"]["hits"])
                if counted > self._counted.get(node, counted):
                    self.times.append(time.monotonic())
                # A node that was started anew counts from 0.
                self._counted[node] = counted
            await asyncio.sleep(POLL_S)

    async def longest_gap_s(self, since: float, back: float) -> float | None:
        """Between two hits, of which the last is the first after ``back``, when writes were
        possible again: until then a node may still use its old lease. None: none within
        ``HITS_S``."""
        while not any(at > back for at in self.times):
            if time.monotonic() > since + HITS_S:
                return None
            await asyncio.sleep(POLL_S)
        last = next(at for at in self.times if at > back)
        times = [since, *(at for at in self.times if since < at <= last)]
        return max(after - before for before, after in itertools.pairwise(times))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def run(file: Records, kills: int, twice: int, seed: int) -> None:
    for kind, count in ((ONE, kills), (TWO, twice)):
        while (done := len(file.of(kind))) < count:
            _batch(file, kind, done, min(BATCH, count - done), seed)


def _batch(file: Records, kind: str, first: int, count: int, seed: int) -> None:
    """Trials on one cluster. What is noted before an interruption stays."""
    with (
        tempfile.TemporaryDirectory(prefix="paceline-kills-") as directory,
        Cluster(Path(directory), settings={"PACELINE_LOG_LEVEL": "debug"}) as cluster,
    ):
        cluster.wait_serving()
        if kind == ONE:
            trials = Trials(cluster, "kill", DEFAULT_LEASE_S, seed)

            def note(trial: Trial) -> None:
                file.add({**asdict(trial), "kind": ONE, "log": []})

            asyncio.run(trials.run(count, None, first=first, note=note))
            return
        table = f"{TABLE}-two-{first}"
        plain = boto3_client(cluster.dynamodb)
        plain.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
        plain.put_item(TableName=table, Item={"id": {"S": "read"}, "v": {"N": "1"}})
        plain.close()
        for number in range(first, first + count):
            found = asyncio.run(two_deaths(cluster, table, number))
            file.add(found)
            print(f"{number:4d} {found}", flush=True)


def summary(lines: Sequence[dict[str, Any]]) -> str:
    """A table in Markdown, for a person and for the documentation."""
    told = [
        "| | trials | median | 95 % | 99 % | longest | never |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, what, name in (
        (ONE, "one death: a write again after", "writes_again_s"),
        (ONE, "one death: the victim serves again after", "serves_again_s"),
        (TWO, "two deaths: a write again after the second", "writes_again_s"),
        (TWO, "two deaths: the longest time without hits", "without_hits_s"),
    ):
        values = [line[name] for line in lines if line["kind"] == kind]
        known = [value for value in values if value is not None]
        if known:
            shares = " | ".join(f"{percentile(known, share):.2f} s" for share in (50, 95, 99))
            never = len(values) - len(known)
            told.append(f"| {what} | {len(values)} | {shares} | {max(known):.2f} s | {never} |")
    commits = ", ".join(sorted({line["commit"] for line in lines}))
    return "\n".join([*told, "", f"Commit {commits}."])


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="single deaths, in all")
    parser.add_argument("--twice", type=int, default=20, help="pairs of deaths, in all")
    parser.add_argument("--continue", type=Path, dest="file", required=True, help="notes")
    parser.add_argument("--mixed", action="store_true", help="also with notes of other commits")
    given = parser.parse_args(argv)
    try:
        with records(given.file, commit=commit_of(ROOT), mixed=given.mixed) as file:
            run(file, given.kills, given.twice, secrets.randbelow(10**6))
            print(summary(file.lines))
    except Refused as reason:
        print(f"kills: {reason}", file=sys.stderr)
        return 2
    except pytest.skip.Exception as reason:
        print(f"kills: cannot run: {reason}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
