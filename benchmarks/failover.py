"""How long writes stand still when the primary is killed, seen by two kinds of clients.

    .venv/bin/python -m benchmarks.failover [--kills N] [--primary-lease SECONDS] [--no-official]

Three nodes with default settings on this machine, under load of both clients. Each round kills the
primary with SIGKILL and takes the time until a write that began after its death is acknowledged:

* the protocol client tries the surviving nodes in turn, so this is the cluster's own time;
* AWS's Python client polls the roster every 4 s and does not try another node.

Every read is checked against what was acknowledged or seen before it; any stale read, any lost
write, any failed read of the protocol client ends with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.load import Freshness, LeaseWatch, OfficialLoad, ProtocolLoad
from tests.support.twins import keys

TABLE = "failover"
RECOVERY_S = 60.0


@dataclass
class Measured:
    protocol_s: list[float] = field(default_factory=list)
    official_s: list[float] = field(default_factory=list)


def summary(name: str, found: list[float]) -> str:
    ordered = sorted(found)
    return (
        f"{name}: median {statistics.median(ordered):.2f} s, "
        f"90 % {ordered[int(0.9 * (len(ordered) - 1))]:.2f} s, maximum {ordered[-1]:.2f} s, "
        f"minimum {ordered[0]:.2f} s ({len(ordered)} kills)"
    )


async def one_round(
    cluster: Cluster, protocol: ProtocolLoad, official: OfficialLoad | None, measured: Measured
) -> None:
    victim = await asyncio.to_thread(cluster.primary)
    killed_at = time.monotonic()
    await asyncio.to_thread(cluster.kill, victim)
    gone_at = time.monotonic()
    measured.protocol_s.append(await protocol.recovery(gone_at, RECOVERY_S) + gone_at - killed_at)
    line = f"{victim} killed: a write again after {measured.protocol_s[-1]:.2f} s"
    if official is not None:
        load = official
        await protocol.until(
            lambda: load.seen.recovery_s(gone_at) is not None,
            "the official client writes again",
            RECOVERY_S,
        )
        recovered = load.seen.recovery_s(gone_at)
        assert recovered is not None
        measured.official_s.append(recovered + gone_at - killed_at)
        line += f", of the official client after {measured.official_s[-1]:.2f} s"
    print(line, flush=True)
    await asyncio.to_thread(cluster.start_again, victim)
    await asyncio.to_thread(cluster.wait_ready, victim)
    await asyncio.to_thread(cluster.wait_serving)
    await protocol.progress()


async def run(cluster: Cluster, kills: int, *, official_too: bool) -> int:
    plain = boto3_client(cluster.dynamodb)
    plain.create_table(TableName=TABLE, BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
    freshness, measured = Freshness(), Measured()
    protocol = ProtocolLoad(cluster.addresses, freshness, TABLE, prefix="p")
    official = None
    if official_too:
        official = await asyncio.to_thread(OfficialLoad, cluster.dax, freshness, TABLE, prefix="o")
    async with AsyncExitStack() as stack:
        watch = stack.enter_context(LeaseWatch(cluster.status, cluster.node_ids))
        if official is not None:
            stack.enter_context(official)
        await stack.enter_async_context(protocol)
        await protocol.progress()
        for _ in range(kills):
            await one_round(cluster, protocol, official, measured)
    for load in (protocol, official):
        if load is not None:
            load.check_end_state(plain)
    print(summary("protocol client", measured.protocol_s))
    if official is not None:
        print(summary("official Python client", measured.official_s))
        print(
            f"official Python client: {len(official.seen.read_failures)} of {official.seen.reads} "
            f"reads and {official.seen.unknown} writes failed"
        )
    print(
        f"protocol client: {len(protocol.seen.read_failures)} of {protocol.seen.reads} reads "
        f"failed, the longest took {protocol.seen.read_longest_s:.2f} s; "
        f"{freshness.reads_checked} reads checked"
    )
    wrong = [*freshness.violations, *watch.violations, *protocol.seen.read_failures]
    for text in wrong:
        print(f"WRONG: {text}")
    plain.close()
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--primary-lease", type=float)
    parser.add_argument("--no-official", action="store_true")
    given = parser.parse_args()
    lease = [] if given.primary_lease is None else [f"--primary-lease={given.primary_lease}"]
    with (
        tempfile.TemporaryDirectory(prefix="paceline-failover-") as directory,
        Cluster(Path(directory), arguments=lease) as cluster,
    ):
        cluster.wait_serving()
        return asyncio.run(run(cluster, given.kills, official_too=not given.no_official))


if __name__ == "__main__":
    raise SystemExit(main())
