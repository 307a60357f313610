"""A case in a round: its load, and what the servers used meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from benchmarks.load.generator import Load, LoadResult, run
from benchmarks.load.kinds import Keys, Protocol
from benchmarks.suite.cases import FILL, HIT, Case, Target, fill_pages
from benchmarks.suite.cases import fill as fill_of
from benchmarks.suite.figures import Row, Sample, row
from benchmarks.suite.processes import cpu
from benchmarks.suite.servers import Server

FRESH_FROM, FRESH_STEP = 10**10, 10**7
"""Keys that nobody had yet: more in one step than a round can ask for."""
FILL_S = 300.0
FILLS_MAX = 10
FIRST_KEYS = 100
NODES: tuple[Target, ...] = ("nodes", "signed")
PAGES: tuple[Target, Protocol] = ("nodes", "resp")
"""Stands for cached pages among what is held."""
_fresh = itertools.count()

Servers = Mapping[Target, Server]


def load_of(case: Case, server: Server, seconds: float, seed: int) -> Load:
    """Keys that are drawn once begin where nobody has been."""
    case = case.dated()
    kinds = [
        kind.of(replace(kind.keys, first=FRESH_FROM + FRESH_STEP * next(_fresh)), kind.weight)
        if kind.keys.choice == "once" and case.name != FILL
        else kind
        for kind in case.kinds
    ]
    return Load(
        case.protocol,
        case.hello,
        kinds,
        server.ports[case.protocol + ("+tls" if case.tls else "")],
        case.connections,
        seconds,
        case.rate,
        seed=seed,
        tls=case.tls,
    )


def measure(case: Case, servers: Servers, seconds: float, seed: int = 1) -> Sample:
    server = servers[case.target]
    loads = [load_of(one, servers[one.target], seconds, seed) for one in (case, *case.beside)]
    before = {}
    hits, misses = server.cache_counts()

    def begun() -> None:
        before.update({name: cpu(pid) for name, pid in server.pids.items()})

    first, *others = run(*loads, begun=begun)
    used = {name: cpu(pid).since(before[name]) for name, pid in server.pids.items()}
    now_hits, now_misses = server.cache_counts()
    hits, misses = now_hits - hits, now_misses - misses
    bad = [one for one in (first, *others) if one.errors]
    return Sample(
        first.requests,
        first.seconds,
        sum(one.errors for one in (first, *others)),
        first.latency,
        used,
        primary=server.primary,
        generator_share=max(one.generator_share for one in (first, *others)),
        late_max_us=first.late_max_us,
        counted=not case.beside,
        hit_share=hits / (hits + misses) if hits + misses else None,
        first_error=error_of(bad[0]) if bad else "",
    )


def error_of(result: LoadResult) -> str:
    """How many of which kind, and the beginning of the first bad reply."""
    counts = {name: getattr(result, name) for name in ("refused", "wrong", "closed", "unanswered")}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    shown = result.sample.decode("ascii", "backslashreplace")
    return f"{told} of {result.requests}" + (f"; first: {shown!r}" if shown else "")


def fill(case: Case, server: Server) -> None:
    """Each key of the case once, on every node, until all of them hit; SystemExit if they never
    do. redis-server and memcached are written to once."""
    (kind,) = case.kinds
    count = -(-kind.keys.count // max(len(kind.holes()), 1))
    for port in server.ports[case.protocol]:
        load = replace(load_of(case, server, FILL_S, 1), ports=[port], requests=count)
        for _ in range(FILLS_MAX):
            _, before = server.cache_counts()
            (result,) = run(load)
            if result.errors or result.requests != count:
                raise SystemExit(f"{server.name} could not be filled: {error_of(result)}")
            if server.cache_counts()[1] == before:
                break
        else:
            raise SystemExit(f"{server.name} does not keep what it reads, asked {FILLS_MAX} times")


class Rounds:
    """Cases on the servers of a setup, round by round, each with what it reads in its place.

    redis-server and memcached hold values of one size at a time. Nodes lose what they have cached
    when they are so busy that their leases run out, as by a case of misses or writes.
    """

    def __init__(self, servers: Servers, keys: Keys, said: Callable[[str], None]) -> None:
        self._servers = servers
        self._keys = keys
        self._said = said
        self._held: dict[tuple[Target, Protocol], int] = {}
        """The size of the values that are surely there."""
        self._lists_known: set[Target] = set()
        self.refills = 0

    def prepare(self, case: Case) -> None:
        server, nodes = self._servers[case.target], case.target in NODES
        if nodes and case.target not in self._lists_known:
            # By DAX items come as values of a list of names, which a node learns by its first read.
            fill(self._fill(case, "dax", FIRST_KEYS), server)
            self._lists_known.add(case.target)
        if not case.needs_hits:
            return
        # What is asked for by HTTP, and signed, is one item, whose JSON its first hit makes.
        both: tuple[Protocol, ...] = ("dax",) if case.target == "signed" else ("dax", "http")
        for way in both if nodes else (case.protocol,):
            if self._held.get((case.target, way)) != case.size:
                fill(self._fill(case, way, self._keys.count), server)
                self._held[case.target, way] = case.size
                self.refills += 1
        if nodes and case.reads_pages and self._held.get(PAGES) != case.size:
            for page in fill_pages(self._keys):
                fill(page, server)
            self._held[PAGES] = case.size

    @staticmethod
    def _fill(case: Case, way: Protocol, count: int) -> Case:
        return replace(fill_of(way, case.size, count), to=case.to)

    def once(self, case: Case, seconds: float, seed: int) -> Sample:
        self.prepare(case)
        sample = measure(case, self._servers, seconds, seed)
        if case.target in NODES and (case.disturbs or sample.hit_share != 1):
            for held in [held for held in self._held if held[0] == case.target]:
                del self._held[held]
        return sample

    def run(self, wanted: Sequence[Case], count: int, seconds: float) -> dict[str, list[Sample]]:
        """Samples by case. Each round has every case once, and begins with another one than the
        last, so that a machine that gets slower or faster does it to all of them."""
        samples: dict[str, list[Sample]] = {case.name: [] for case in wanted}
        if len(samples) != len(wanted):
            raise ValueError("two cases have one name")
        for number in range(count):
            turn = number * len(wanted) // count
            for case in [*wanted[turn:], *wanted[:turn]]:
                sample = self.once(case, seconds, seed=number + 1)
                samples[case.name].append(sample)
                self._said(f"round {number + 1} of {count}: {case.name}: {sample.cpu_us:.1f} us")
        return samples


def rows(setup: str, wanted: Sequence[Case], samples: Mapping[str, list[Sample]]) -> list[Row]:
    return [
        row(
            setup,
            case.name,
            samples[case.name],
            samples.get(case.redis) if case.redis else None,
            samples.get(HIT),
            samples.get(case.alone) if case.alone else None,
        )
        for case in wanted
    ]
