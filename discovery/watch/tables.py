"""Metrics of single tables: how they are named where they are kept, and how they follow from what a
node says. Pure.

A table that was asked for nothing says nothing, so that many tables cost little. Of one that was,
the counts that go together (hits with misses, all requests with those that failed) are there
together, the zeros too: a share of them has a value then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from discovery.watch.catalogue import METRICS, Metric, Scrape, kept, started_anew, values_of
from discovery.watch.exposition import Samples

MARK: Final = "@"
"""Between a metric's name and a table's; neither has one."""
TABLES_MAX: Final = 50
"""Of one node at a time: those with the most that was counted."""
_NO_TABLE: Final = frozenset({"", "other"})

ByTable = Mapping[str, Mapping[str, float]]
"""By table and metric."""

_SOURCES: Final = frozenset(
    {
        *("paceline_requests_total", "paceline_lookups_total"),
        "paceline_read_capacity_consumed_units_total",
        "paceline_write_capacity_consumed_units_total",
        "paceline_read_capacity_saved_units_total",
    }
)
TABLE_METRICS: Final = tuple(one for one in METRICS if one.source in _SOURCES)
"""Those that there are of a table."""
HAVE_TABLES: Final = frozenset(one.name for one in TABLE_METRICS)


def kept_name(metric: str, table: str | None) -> str:
    return metric if table is None else f"{metric}{MARK}{table}"


def metric_of(name: str) -> str:
    """The metric of a name under which values are kept."""
    return name.partition(MARK)[0]


def table_of(name: str) -> str | None:
    """The table, if it is of one."""
    return name.partition(MARK)[2] or None


def counted_by_table(samples: Samples) -> ByTable:
    """All that a node has counted of each table, as far as anything was."""
    found: dict[str, dict[str, float]] = {}
    for metric in TABLE_METRICS:
        for labels, value in samples.get(metric.source, ()):
            table = labels.get("table", "")
            if table not in _NO_TABLE and all(
                labels.get(key) in wanted for key, wanted in metric.labels.items()
            ):
                of = found.setdefault(table, {})
                of[metric.name] = of.get(metric.name, 0.0) + value
    return found


def scrape_of(at: float, samples: Samples) -> Scrape:
    """It takes a while where there are many tables."""
    return Scrape(at, kept(samples), counted_by_table(samples))


def all_values_of(now: Scrape, before: Scrape | None, gap_s: float) -> dict[str, float]:
    """As ``values_of``, with those of tables."""
    found = values_of(now, before, gap_s)
    if before is not None and 0 < now.at - before.at <= gap_s:
        earlier = {} if started_anew(now, before) else before.tables
        found.update(values_by_table(now.tables, earlier))
    return found


def values_by_table(now: ByTable, before: ByTable) -> dict[str, float]:
    """By kept name, what was counted since ``before``; see above what is left out."""
    since: dict[str, dict[str, float]] = {}
    for table, counts in now.items():
        earlier = before.get(table, {})
        grown = {name: max(0.0, count - earlier.get(name, 0.0)) for name, count in counts.items()}
        if any(grown.values()):
            since[table] = grown
    busiest = sorted(since, key=lambda table: (-sum(since[table].values()), table))
    found: dict[str, float] = {}
    for table in busiest[:TABLES_MAX]:
        grown = since[table]
        told = {_group(one) for one in TABLE_METRICS if grown.get(one.name)}
        for metric in TABLE_METRICS:
            if _group(metric) in told:
                found[kept_name(metric.name, table)] = grown.get(metric.name, 0.0)
    return found


def _group(metric: Metric) -> tuple[str, str]:
    """The counts that go together have the same."""
    labels = metric.labels
    return metric.source, ",".join((*labels.get("cache", ()), *labels.get("operation", ())))
