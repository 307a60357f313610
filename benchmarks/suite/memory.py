"""Bytes per cached item, and CPU of a cluster that has nothing to do."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from benchmarks.load.kinds import KEY_DIGITS, KEY_PREFIX, Protocol
from benchmarks.suite.cases import fill
from benchmarks.suite.measuring import fill as fill_server
from benchmarks.suite.processes import cpu, rss_bytes
from benchmarks.suite.servers import Server, cluster
from paceline_local.certificates import TlsFiles

KEY_BYTES = len(KEY_PREFIX) + KEY_DIGITS
WARM_ITEMS = 2000


@dataclass(frozen=True, slots=True)
class Memory:
    """Growth of a node's RSS by ``items`` items, in bytes each beyond key and value: once read by
    DAX, and then by HTTP too, for which their JSON is kept."""

    size: int
    items: int
    over_dax: float
    over_both: float


@dataclass(frozen=True, slots=True)
class Idle:
    """Milliseconds of CPU in a second without any request; ``replica``: the mean of them,
    None if there is none."""

    nodes: int
    seconds: float
    primary: float
    replica: float | None


def memory(tls: TlsFiles, size: int, items: int) -> Memory:
    """On a node of its own, whose buffers other items have filled before."""
    with cluster(1, tls) as server:
        (pid,) = server.pids.values()
        protocols: tuple[Protocol, ...] = ("dax", "http")
        for protocol in protocols:
            case = fill(protocol, size, WARM_ITEMS)
            (kind,) = case.kinds
            other = kind.of(replace(kind.keys, first=10**9))
            fill_server(replace(case, kinds=(other,)), server)
        before = rss_bytes(pid)
        fill_server(fill("dax", size, items), server)
        by_dax = rss_bytes(pid)
        fill_server(fill("http", size, items), server)
        by_both = rss_bytes(pid)
    return Memory(
        size,
        items,
        over(before, by_dax, size, items),
        over(before, by_both, size, items),
    )


def over(before: int, after: int, size: int, items: int) -> float:
    """What an item takes beyond its key and its value."""
    return (after - before) / items - KEY_BYTES - size


def idle(server: Server, seconds: float) -> Idle:
    before = {name: cpu(pid) for name, pid in server.pids.items()}
    time.sleep(seconds)
    used = {name: cpu(pid).since(before[name]).total for name, pid in server.pids.items()}
    replicas = [1000 * used[name] / seconds for name in server.replicas]
    return Idle(
        len(server.pids),
        seconds,
        1000 * used[server.primary] / seconds,
        sum(replicas) / len(replicas) if replicas else None,
    )
