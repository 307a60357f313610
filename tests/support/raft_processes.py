"""Real processes that hold nothing but the primary lease: started, told, killed, judged.

They share one machine's clock, so what each says it held can be compared directly.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.clock import now
from tests.support.consensus_clusters import free_ports
from tests.support.spawn import spawn
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
RAFT_NODE = """
from paceline_server.imports import spared
with spared():
    from tests.support import raft_node
raft_node.main()
"""
LEASE = {"primary_s": 1.5, "renew_s": 0.25, "margin": 0.1}
EVENT_S = 20.0
"""For anything that takes about a second on an idle machine."""


@dataclass
class Held:
    """A time during which a process may have believed that it holds the lease."""

    start: float
    end: float
    epoch: int


@dataclass
class Process:
    node_id: str
    process: asyncio.subprocess.Process
    events: list[dict[str, Any]] = field(default_factory=list)
    reader: asyncio.Task[None] | None = None

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.events.append(json.loads(line))

    def told(self, event: str, **fields: Any) -> dict[str, Any] | None:
        for e in self.events:
            if e["event"] == event and all(e.get(k) == v for k, v in fields.items()):
                return e
        return None

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def held(self) -> list[Held]:
        found: list[Held] = []
        holding = False
        for e in self.events:
            match e["event"]:
                case "acquired":
                    if holding:
                        found[-1].end = e["at"]
                    found.append(Held(e["at"], e["until"], e["epoch"]))
                    holding = True
                case "renewed":
                    found[-1].end = e["until"]
                case "lost":
                    found[-1].end = min(found[-1].end, e["at"])
                    holding = False
        return found

    @property
    def losses(self) -> int:
        return sum(e["event"] == "lost" for e in self.events)

    @property
    def holds(self) -> bool:
        held = self.held()
        return bool(held) and held[-1].end > now()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        if self.reader is not None:
            await self.reader
        if self.process.stdin is not None:
            self.process.stdin.close()


class Cluster:
    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        ports = free_ports(size)
        self.peers = {f"n{i + 1}": f"127.0.0.1:{port}" for i, port in enumerate(ports)}
        self.alive: dict[str, Process] = {}
        self.all: list[Process] = []

    async def spawn(self, node_id: str, data_dir: str = "") -> Process:
        config = {
            "node_id": node_id,
            "peers": self.peers,
            "data_dir": str(self.path / (data_dir or node_id)),
            "lease": LEASE,
        }
        child = await spawn(
            sys.executable,
            "-c",
            RAFT_NODE,
            json.dumps(config),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        process = Process(node_id, child)
        process.reader = asyncio.create_task(process.read())
        self.alive[node_id] = process
        self.all.append(process)
        return process

    async def holder(self, other_than: Process | None = None) -> Process:
        def found() -> list[Process]:
            return [p for p in self.alive.values() if p.holds and p is not other_than]

        await until(found, "a process holds the lease", EVENT_S)
        return found()[0]

    async def kill(self, process: Process) -> float:
        at = now()
        del self.alive[process.node_id]
        await process.end()
        return at

    async def acquired_after(self, at: float, other_than: Process) -> float:
        """When the next process acquired the lease."""

        def first() -> float | None:
            starts = [
                held.start
                for p in self.alive.values()
                if p is not other_than
                for held in p.held()
                if held.start > at
            ]
            return min(starts, default=None)

        await until(lambda: first() is not None, "another process acquires the lease", EVENT_S)
        start = first()
        assert start is not None
        return start

    async def stop(self) -> None:
        for process in self.all:
            if process.process.returncode is None:
                process.process.send_signal(signal.SIGCONT)
            await process.end()

    def check(self) -> None:
        """No two processes held the lease at one time, and epochs never went back."""
        held = [(h, p) for p in self.all for h in p.held()]
        held.sort(key=lambda pair: pair[0].start)
        for (first, p), (second, q) in itertools.pairwise(held):
            assert second.epoch >= first.epoch
            assert p is q or first.end <= second.start, (
                f"{p.node_id} {first} and {q.node_id} {second} overlap"
            )
            assert p is q or first.epoch < second.epoch


async def all_registered(cluster: Cluster) -> None:
    await until(
        lambda: all(p.told("registered") for p in cluster.alive.values()),
        "every process is registered",
        EVENT_S,
    )
