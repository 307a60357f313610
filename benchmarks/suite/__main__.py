"""What a cluster's requests cost, beside redis-server and memcached in the same run.

    make bench            # everything, three quarters of an hour
    make bench QUICK=1    # the essential cases, in two minutes
    .venv/bin/python -m benchmarks.suite --only hits,memory --rounds 7 --seconds 2

Results go to ``benchmarks/results``: a table (``.md``), ``.json`` and a plot (``.svg``). Exit code
1 if any reply was an error or a part could not be measured, 2 if nothing could be measured.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks.chaos import machine
from benchmarks.load.build import CannotBuild, build
from benchmarks.load.generator import LoadFailed
from benchmarks.load.kinds import Keys, Protocol
from benchmarks.suite import cases, measuring, memory, plot, report, servers
from benchmarks.suite.cases import KB, Case, Target
from benchmarks.suite.servers import Server
from paceline.errors import PacelineError
from paceline_local.certificates import TlsFiles, development_files

RESULTS = Path(__file__).parents[1] / "results"
GROUPS = ("hits", "access", "replicas", "aws", "memory")
AWS_MEDIAN_MS, AWS_P99_MS = 4.0, 12.0
QUICK_KEYS, KEYS = 2000, 10_000


@dataclass(frozen=True, slots=True)
class Amount:
    """``cases``: a pattern; what does not match is left out."""

    quick: bool
    rounds: int
    seconds: float
    cases: re.Pattern[str]

    @property
    def keys(self) -> Keys:
        return Keys(count=QUICK_KEYS if self.quick else KEYS)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the essential cases, two minutes")
    parser.add_argument("--rounds", type=int, help="default: 5, quick 3")
    parser.add_argument("--seconds", type=float, help="of a case in a round; default: 2, quick 0.6")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--cases", default="", help="a regular expression that their names match")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory")
    given = parser.parse_args(words)
    unknown = set(given.only.split(",")) - set(GROUPS)
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: choose of {', '.join(GROUPS)}")
    return given


# -- what is measured on which servers ---------------------------------------------------------


def one_node(amount: Amount, present: set[Target]) -> Iterator[Case]:
    keys = amount.keys
    protocols: tuple[Protocol, ...] = ("dax",) if amount.quick else ("dax", "http")
    wanted = [*cases.references(keys), *cases.source()]
    wanted += [*cases.hits(keys), *cases.with_tls(keys)]
    if not amount.quick:
        wanted += cases.varied_hits(keys)
    wanted += cases.reads_and_writes(keys, protocols)
    if amount.quick:
        wanted += list(cases.mixes(keys))[:1]
        wanted += [one for one in cases.pages_and_batches(keys) if one.protocol != "http"]
        wanted += list(cases.beside(keys))[:3]
    else:
        wanted += [*cases.mixes(keys, protocols), *cases.pages_and_batches(keys)]
        wanted += cases.beside(keys)
    yield from (one for one in wanted if one.target in present)


def some_nodes(amount: Amount, present: set[Target]) -> Iterator[Case]:
    keys = amount.keys
    wanted = [*list(cases.references(keys))[:1], *cases.hits(keys), *cases.reads_and_writes(keys)]
    if not amount.quick:
        wanted += cases.mixes(keys)
    yield from (one for one in wanted if one.target in present)


def slow_dynamodb(amount: Amount, present: set[Target]) -> Iterator[Case]:
    keys = amount.keys
    wanted = [*list(cases.references(keys))[:1], *list(cases.hits(keys))[:1]]
    wanted += cases.reads_and_writes(keys)
    wanted += [*list(cases.mixes(keys))[:1], *cases.paced(keys), *cases.beside(keys)]
    yield from (one for one in wanted if one.target in present)


def who_asks(amount: Amount, present: set[Target]) -> Iterator[Case]:
    wanted = [next(cases.references(amount.keys)), *cases.signed_hits(amount.keys)]
    yield from (one for one in wanted if one.target in present)


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def run_setup(
    results: report.Results,
    amount: Amount,
    tls: TlsFiles,
    chosen: Callable[[Amount, set[Target]], Iterator[Case]],
    nodes: int = 1,
    slow: bool = False,
) -> None:
    name = f"{nodes} node{'s' if nodes > 1 else ''}" + (", DynamoDB like AWS's" if slow else "")
    say(f"{name}: starting")
    with ExitStack() as stack:
        setup: dict[Target, Server] = {}
        if servers.version_of("redis-server", "--version"):
            setup["redis"] = stack.enter_context(servers.redis(tls))
        if servers.version_of("memcached", "--version"):
            setup["memcached"] = stack.enter_context(servers.memcached())
        delays = (AWS_MEDIAN_MS, AWS_P99_MS) if slow else (0.0, 0.0)
        setup["dynamodb"] = stack.enter_context(servers.dynamodb(*delays))
        setup["nodes"] = stack.enter_context(
            servers.cluster(nodes, tls, median_ms=delays[0], p99_ms=delays[1])
        )
        if chosen is who_asks:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            asking = servers.who_signs(directory)
            setup["signed"] = stack.enter_context(servers.cluster(1, tls, settings=asking))
        wanted = [one for one in chosen(amount, set(setup)) if amount.cases.search(one.name)]
        if not slow:
            results.idle.append(memory.idle(setup["nodes"], 5 if amount.quick else 20))
        rounds = measuring.Rounds(setup, amount.keys, say)
        samples = rounds.run(wanted, amount.rounds, amount.seconds)
        results.rows += measuring.rows(name, wanted, samples)


def load_average() -> str:
    return " ".join(f"{one:.2f}" for one in os.getloadavg())


def commit() -> str:
    """The checkout's, with a sign that it has changes besides; empty outside a repository."""
    words = ("git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty", "--abbrev=10")
    return servers.version_of(*words)


def machine_facts() -> dict[str, str]:
    return {
        **machine.facts(),
        "uvloop": version("uvloop"),
        "commit": commit(),
        "load average before": load_average(),
        "redis-server": servers.version_of("redis-server", "--version") or "none",
        "memcached": servers.version_of("memcached", "--version") or "none",
        "measured": time.strftime("%Y-%m-%d %H:%M"),
    }


def parts(
    results: report.Results, amount: Amount, tls: TlsFiles, only: Sequence[str]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """(name, what measures it), each independent of the others."""

    def remember(size: int) -> None:
        say(f"memory per item of {size} bytes")
        results.memory.append(memory.memory(tls, size, 4000 if amount.quick else 20_000))

    if "hits" in only:
        yield "one node", partial(run_setup, results, amount, tls, one_node)
    if "access" in only:
        yield "who asks", partial(run_setup, results, amount, tls, who_asks)
    if "replicas" in only:
        for nodes in (3,) if amount.quick else (3, 5):
            yield f"{nodes} nodes", partial(run_setup, results, amount, tls, some_nodes, nodes)
    if "aws" in only and not amount.quick:
        slow = partial(run_setup, results, amount, tls, slow_dynamodb, slow=True)
        yield "a DynamoDB like AWS's", slow
    if "memory" in only:
        for size in (KB,) if amount.quick else (100, KB, 10 * KB):
            yield f"memory of {size} bytes", partial(remember, size)


def main(words: Sequence[str] | None = None) -> int:
    given = parse(words)
    if not sys.platform.startswith("linux"):
        print("cannot measure: it needs Linux (epoll, /proc)", file=sys.stderr)
        return 2
    try:
        build()
    except CannotBuild as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 2
    amount = Amount(
        given.quick,
        given.rounds or (3 if given.quick else 5),
        given.seconds or (0.6 if given.quick else 2.0),
        re.compile(given.cases),
    )
    results = report.Results(machine_facts(), amount.quick, amount.rounds, amount.seconds)
    for name in ("redis-server", "memcached"):
        if results.machine[name] == "none":
            results.skipped.append(f"{name}: it is not installed")
    with tempfile.TemporaryDirectory() as directory:
        tls = development_files(Path(directory) / "tls")
        for name, measure in parts(results, amount, tls, given.only.split(",")):
            try:
                measure()
            except (LoadFailed, PacelineError, OSError, SystemExit) as error:
                results.failed.append(f"{name}: {error}")
                say(f"{name}: {error}")
    results.machine["load average after"] = load_average()
    write(results, given.results)
    return 0 if results.good else 1


def write(results: report.Results, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{time.strftime('%Y-%m-%dT%H%M%S')}-{'quick' if results.quick else 'all'}"
    text = report.document(results)
    title = "CPU per request, as a multiple of redis-server's GET in the same round"
    for ending, content in (
        ("md", text),
        ("json", report.as_json(results)),
        ("svg", plot.bars(title, results.rows)),
    ):
        (directory / f"{stem}.{ending}").write_text(content, encoding="utf-8")
    print(text)
    print(f"written: {directory / stem}.md, .json, .svg")


if __name__ == "__main__":
    sys.exit(main())
