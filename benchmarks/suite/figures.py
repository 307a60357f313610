"""Medians, ranges and ratios of what all rounds measured. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load.generator import Latency
from benchmarks.suite.processes import NOTHING, Cpu


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None if there are no values."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1]) if found else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One case in one round. ``cpu``: seconds by process; ``primary``: the name of that process,
    empty if there is no such role. ``generator_share``: of one core. ``counted``: whether the
    servers did nothing but these requests. ``hit_share``: how much of what the nodes looked up
    in their caches was there, by their own count; None: they looked up nothing."""

    requests: int
    seconds: float
    errors: int
    latency: Latency
    cpu: Mapping[str, Cpu]
    primary: str = ""
    generator_share: float = 0.0
    late_max_us: float = 0.0
    counted: bool = True
    hit_share: float | None = None
    first_error: str = ""

    @property
    def whole(self) -> Cpu:
        return sum(self.cpu.values(), NOTHING)

    def per_request_us(self, seconds: float) -> float:
        return 1e6 * seconds / self.requests if self.requests else 0.0

    @property
    def cpu_us(self) -> float:
        return self.per_request_us(self.whole.total)


@dataclass(frozen=True, slots=True)
class Row:
    """A case over all rounds; CPU in microseconds per request, latencies in microseconds.

    ``of_redis`` and ``of_hit``: CPU as a multiple of what the case that it is compared with, and
    a hit by DAX, took in the same round. ``p99_of_alone``: the 99th percentile as a multiple of
    what it is without the load beside.
    """

    setup: str
    name: str
    rounds: int
    cpu: Spread | None
    user: Spread | None
    system: Spread | None
    primary: Spread | None
    replicas: Spread | None
    of_redis: Spread | None
    of_hit: Spread | None
    rate: Spread | None
    p50: Spread | None
    p99: Spread | None
    p999: Spread | None
    p99_of_alone: Spread | None
    hit_share: Spread | None
    errors: int
    first_error: str
    generator_share: float


def ratios(ours: Sequence[Sample], theirs: Sequence[Sample] | None) -> Spread | None:
    """Round by round, since both saw the same machine in the same round."""
    if theirs is None:
        return None
    pairs = zip(ours, theirs, strict=True)
    return Spread.of(
        one.cpu_us / other.cpu_us
        for one, other in pairs
        if one.counted and other.counted and one.requests and other.cpu_us > 0
    )


def row(
    setup: str,
    name: str,
    samples: Sequence[Sample],
    redis: Sequence[Sample] | None,
    hit: Sequence[Sample] | None,
    alone: Sequence[Sample] | None = None,
) -> Row:
    """``samples`` of the case by round; ``redis``, ``hit`` and ``alone``: of the cases that it is
    compared with."""
    counted = [one for one in samples if one.counted and one.requests]
    with_roles = [one for one in counted if one.primary and len(one.cpu) > 1]

    def at_primary(one: Sample) -> float:
        return one.per_request_us(one.cpu[one.primary].total)

    return Row(
        setup,
        name,
        len(samples),
        cpu=Spread.of(one.cpu_us for one in counted),
        user=Spread.of(one.per_request_us(one.whole.user) for one in counted),
        system=Spread.of(one.per_request_us(one.whole.system) for one in counted),
        primary=Spread.of(at_primary(one) for one in with_roles),
        replicas=Spread.of(one.cpu_us - at_primary(one) for one in with_roles),
        of_redis=ratios(samples, redis),
        of_hit=ratios(samples, hit),
        rate=Spread.of(one.requests / one.seconds for one in samples if one.seconds),
        p50=Spread.of(one.latency.p50 for one in samples),
        p99=Spread.of(one.latency.p99 for one in samples),
        p999=Spread.of(one.latency.p999 for one in samples),
        p99_of_alone=Spread.of(
            one.latency.p99 / other.latency.p99
            for one, other in zip(samples, alone or (), strict=bool(alone))
            if other.latency.p99 > 0
        ),
        hit_share=Spread.of(one.hit_share for one in samples if one.hit_share is not None),
        errors=sum(one.errors for one in samples),
        first_error=next((one.first_error for one in samples if one.first_error), ""),
        generator_share=max((one.generator_share for one in samples), default=0.0),
    )
