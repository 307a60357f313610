"""Tables for people, and the JSON file for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.suite.figures import Row, Spread
from benchmarks.suite.memory import Idle, Memory

BUSY_GENERATOR = 0.8
"""Of a core: with more, the generator may have been what held a case up."""


@dataclass(slots=True)
class Results:
    """Everything of one run. ``machine``: what it ran on, by name."""

    machine: dict[str, str]
    quick: bool
    rounds: int
    seconds: float
    rows: list[Row] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """What should have been measured, and why it was not."""

    @property
    def good(self) -> bool:
        return not self.failed and not any(one.errors for one in self.rows)


def number(value: float) -> str:
    """Three digits or more, as a person reads it."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def median(spread: Spread | None, factor: float = 1.0) -> str:
    return "" if spread is None else number(spread.median * factor)


def with_range(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{number(spread.median)} ({number(spread.least)} to {number(spread.most)})"


def shares(spread: Spread | None) -> str:
    """In percent; the least as well if it is another one, since a lost cache is what matters."""
    if spread is None:
        return ""
    middle, least = f"{100 * spread.median:.1f} %", f"{100 * spread.least:.1f} %"
    return middle if middle == least else f"{middle} (least {least})"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """In Markdown, with columns as wide as they must be."""
    cells = [list(head), *map(list, lines)]
    widths = [max(3, *(len(line[column]) for line in cells)) for column in range(len(head))]

    def line(words: Sequence[str]) -> str:
        padded = (word.ljust(width) for word, width in zip(words, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, cells[1:])])


HEAD = (
    *("case", "of redis GET", "of a DAX hit", "CPU us", "user", "system", "primary", "replicas"),
    *("req/s", "p50 ms", "p99 ms", "p99.9 ms", "p99 of alone", "hits", "errors"),
)


def cells(row: Row) -> list[str]:
    hits = shares(row.hit_share)
    mark = " *" if row.generator_share > BUSY_GENERATOR else ""
    return [
        row.name + mark,
        with_range(row.of_redis),
        median(row.of_hit),
        with_range(row.cpu),
        *(median(one) for one in (row.user, row.system, row.primary, row.replicas, row.rate)),
        *(median(one, 1e-3) for one in (row.p50, row.p99, row.p999)),
        with_range(row.p99_of_alone),
        hits,
        str(row.errors),
    ]


def document(results: Results) -> str:
    """All of it in Markdown."""
    kind = "quick" if results.quick else "whole"
    parts = [
        f"# Benchmark, {kind}",
        "; ".join(f"{name}: {value}" for name, value in results.machine.items()),
        f"Medians of {results.rounds} interleaved rounds of {results.seconds:g} s, ranges in "
        "brackets. CPU is in microseconds per request, of all nodes together.",
    ]
    for setup in dict.fromkeys(row.setup for row in results.rows):
        rows = [row for row in results.rows if row.setup == setup]
        parts += [f"## {setup}", table(HEAD, map(cells, rows))]
    if any(row.generator_share > BUSY_GENERATOR for row in results.rows):
        parts.append("\\* The load generator used more than 80 % of a core.")
    if results.memory:
        head = ("item", "items", "bytes over key and value", "with JSON for HTTP")
        lines = [
            (f"{one.size} B", str(one.items), number(one.over_dax), number(one.over_both))
            for one in results.memory
        ]
        parts += ["## Memory per cached item", table(head, lines)]
    if results.idle:
        parts += ["## Idle", table(*_idle(results.idle))]
    bad = [f"- {one}" for one in results.failed]
    bad += [f"- {row.setup}, {row.name}: {row.first_error}" for row in results.rows if row.errors]
    if bad:
        parts += ["## Errors", "\n".join(bad)]
    if results.skipped:
        parts += ["## Not measured", "\n".join(f"- {one}" for one in results.skipped)]
    return "\n\n".join(parts) + "\n"


def _idle(found: Sequence[Idle]) -> tuple[Sequence[str], list[Sequence[str]]]:
    head = ("nodes", "primary, ms of CPU a second", "replica")
    return head, [
        (
            str(one.nodes),
            number(one.primary),
            "" if one.replica is None else number(one.replica),
        )
        for one in found
    ]


def as_json(results: Results) -> str:
    told: dict[str, Any] = asdict(results)
    return json.dumps(told, indent=1) + "\n"
