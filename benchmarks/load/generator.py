"""Runs the program of this folder: a load, or the fake DynamoDB."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.build import build
from benchmarks.load.kinds import Kind, Protocol, spec

GRACE_S = 90.0
"""For the connections, and for what hangs to be given up."""


class LoadFailed(Exception):
    """The load generator said why on its stderr."""


@dataclass(frozen=True, slots=True)
class Load:
    """``rate``: requests a second of an open loop; None: a closed loop, in which each connection
    sends when the last reply has come. ``requests``: it ends after so many."""

    protocol: Protocol
    hello: bytes
    kinds: Sequence[Kind]
    ports: Sequence[int]
    connections: int = 64
    seconds: float = 1.0
    rate: float | None = None
    requests: int | None = None
    warmup_s: float = 0.0
    drain_s: float = 10.0
    seed: int = 1
    tls: bool = False

    def arguments(self) -> list[str]:
        options = {
            "port": ",".join(map(str, self.ports)),
            "connections": self.connections,
            "seconds": self.seconds,
            "rate": self.rate,
            "requests": self.requests,
            "warmup": self.warmup_s,
            "drain": self.drain_s,
            "seed": self.seed,
        }
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        return [*words, "--tls"] if self.tls else words


@dataclass(frozen=True, slots=True)
class Latency:
    """Microseconds, of every request, those that failed included."""

    p50: float
    p90: float
    p99: float
    p999: float
    mean: float
    max: float

    @classmethod
    def of(cls, told: dict[str, Any]) -> Latency:
        return cls(*(float(told[f"{name}_us"]) for name in cls.__slots__))


@dataclass(frozen=True, slots=True)
class KindResult:
    requests: int
    errors: int
    latency: Latency


@dataclass(frozen=True, slots=True)
class LoadResult:
    """``errors`` is the sum of: ``refused`` (an error reply), ``wrong`` (not the expected bytes),
    ``closed`` (the connection ended) and ``unanswered`` (no reply in the end). ``sample``: the
    beginning of the first bad reply. ``late_max_us``: by how much the generator itself was
    late at most, with a connection free."""

    requests: int
    seconds: float
    errors: int
    refused: int
    wrong: int
    closed: int
    unanswered: int
    sample: bytes
    generator_cpu_s: float
    late_p99_us: float
    late_max_us: float
    latency: Latency
    kinds: dict[str, KindResult]

    @classmethod
    def of(cls, told: dict[str, Any]) -> LoadResult:
        counts = ("requests", "seconds", "errors", "refused", "wrong", "closed", "unanswered")
        own = ("generator_cpu_s", "late_p99_us", "late_max_us")
        return cls(
            **{name: told[name] for name in (*counts, *own)},
            sample=bytes.fromhex(told["sample"]),
            latency=Latency.of(told),
            kinds={
                name: KindResult(one["requests"], one["errors"], Latency.of(one))
                for name, one in told["kinds"].items()
            },
        )

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def generator_share(self) -> float:
        """Of one core's time. Near 1 the generator was the bottleneck."""
        return self.generator_cpu_s / self.seconds if self.seconds else 0.0


def run(*loads: Load, begun: Callable[[], None] = lambda: None) -> list[LoadResult]:
    """Runs them at the same time, once all are connected and warm; ``begun`` is called just
    before. LoadFailed if one cannot connect or dies."""
    program = build()
    with tempfile.TemporaryDirectory() as directory:
        processes = []
        try:
            for number, load in enumerate(loads):
                path = Path(directory) / f"{number}.spec"
                path.write_text(spec(load.protocol, load.hello, load.kinds))
                processes.append(
                    subprocess.Popen(
                        [str(program), "run", "--spec", str(path), "--wait", *load.arguments()],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
            for process in processes:
                assert process.stdout is not None
                if process.stdout.readline() != "ready\n":
                    raise LoadFailed(process.communicate(timeout=GRACE_S)[1].strip())
            begun()
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            results = []
            for process, load in zip(processes, loads, strict=True):
                out, said = process.communicate(timeout=load.seconds + load.drain_s + GRACE_S)
                if process.returncode != 0:
                    raise LoadFailed(said.strip() or f"it ended with {process.returncode}")
                results.append(LoadResult.of(json.loads(out)))
            return results
        finally:
            for process in processes:
                process.kill()
                process.communicate()


def fake_command(port: int = 0, median_ms: float = 0, p99_ms: float = 0) -> list[str]:
    """What starts the fake DynamoDB; it prints its port. With ``median_ms`` and ``p99_ms`` its
    answers take a time of the lognormal distribution that has them."""
    words = [str(build()), "fake"]
    if port:
        words.append(f"--port={port}")
    if median_ms:
        words += [f"--median-ms={median_ms}", f"--p99-ms={p99_ms}"]
    return words


@contextmanager
def fake_dynamodb(median_ms: float = 0, p99_ms: float = 0) -> Iterator[int]:
    """Its port, while it runs."""
    process = subprocess.Popen(
        fake_command(median_ms=median_ms, p99_ms=p99_ms), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise LoadFailed("the fake DynamoDB did not start")
        yield int(line)
    finally:
        process.terminate()
        process.communicate()
