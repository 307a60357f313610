"""Metrics of single tables: what is told of those that were asked for, and that there are few."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from discovery.watch.catalogue import Scrape
from discovery.watch.exposition import parsed
from discovery.watch.history import COARSE_KEPT_S, FINE_KEPT_S, History
from discovery.watch.tables import (
    MARK,
    TABLES_MAX,
    all_values_of,
    kept_name,
    metric_of,
    scrape_of,
    table_of,
)

GAP_S = 30.0


def scrape(at: float, counts: Mapping[str, float], started: float = 1.0) -> Scrape:
    lines = [f"process_start_time_seconds {started}", *(f"{k} {v}" for k, v in counts.items())]
    return scrape_of(at, parsed("\n".join(lines)))


def requests(table: str, operation: str = "GetItem", result: str = "ok") -> str:
    labels = f'operation="{operation}",table="{table}",protocol="dax",result="{result}"'
    return f"paceline_requests_total{{{labels}}}"


def lookups(table: str, cache: str, result: str) -> str:
    return f'paceline_lookups_total{{table="{table}",cache="{cache}",result="{result}"}}'


def of_table(values: Mapping[str, float], table: str) -> dict[str, float]:
    return {metric_of(name): one for name, one in values.items() if table_of(name) == table}


def test_a_table_that_was_asked_for_tells_what_goes_together() -> None:
    before = {
        requests("Users"): 10.0,
        lookups("Users", "item", "hit"): 7.0,
        lookups("Users", "item", "miss"): 3.0,
        requests("Idle"): 5.0,
        requests("other"): 1.0,
        requests("", "ListTables"): 1.0,
    }
    now = {
        **before,
        requests("Users"): 14.0,
        lookups("Users", "item", "hit"): 11.0,
        requests("other"): 2.0,
        requests("", "ListTables"): 2.0,
        'paceline_read_capacity_saved_units_total{table="Users"}': 2.0,
    }
    found = all_values_of(scrape(20.0, now), scrape(10.0, before), GAP_S)
    assert of_table(found, "Users") == {
        "GetItemRequestCount": 4.0,
        "TotalRequestCount": 4.0,
        "ErrorRequestCount": 0.0,
        "FaultRequestCount": 0.0,
        "FailedRequestCount": 0.0,
        "ThrottledRequestCount": 0.0,
        "ItemCacheHits": 4.0,
        "ItemCacheMisses": 0.0,
        "SavedReadCapacityUnits": 2.0,
    }
    assert {table_of(name) for name in found} == {None, "Users"}
    assert found["TotalRequestCount"] == 6.0


@pytest.mark.parametrize("started", [1.0, 15.0])
def test_what_was_counted_before_a_start_is_not_counted_again(started: float) -> None:
    before = scrape(10.0, {requests("Users"): 10.0})
    now = scrape(20.0, {requests("Users"): 12.0}, started)
    found = all_values_of(now, before, GAP_S)
    assert of_table(found, "Users")["TotalRequestCount"] == (2.0 if started == 1.0 else 12.0)
    for earlier in (None, scrape(20.0 - GAP_S - 1, {})):
        assert all(table_of(name) is None for name in all_values_of(now, earlier, GAP_S))


def test_the_busiest_tables_are_told_and_no_more() -> None:
    counts = {requests(f"t{place}"): 1.0 + place for place in range(3 * TABLES_MAX)}
    found = all_values_of(scrape(20.0, counts), scrape(10.0, {}), GAP_S)
    told = {table_of(name) for name in found} - {None}
    assert told == {f"t{place}" for place in range(2 * TABLES_MAX, 3 * TABLES_MAX)}


def test_tables_become_coarse_as_counts_do_and_are_forgotten() -> None:
    history = History(None)
    name, begin = kept_name("ItemCacheHits", "Users"), 1_800_000_000
    for at in range(begin, begin + 60, 10):
        history.add(at, {"n1": {name: 2.0, "CPUUtilization": 1.0}})
    assert history.names_by_node() == [(name, "n1")]
    later = begin + FINE_KEPT_S + 900
    history.add(later, {"n1": {"CPUUtilization": 1.0}})
    (value,) = history.read(name, begin, later, "n1")["n1"]
    assert (value.count, value.total) == (1.0, 12.0)  # of counts there is one a minute
    assert history.names_by_node() == [(name, "n1")]
    history.add(later + COARSE_KEPT_S, {"n1": {"CPUUtilization": 1.0}})
    assert history.names_by_node() == []
    assert history.db.execute("SELECT count(*) FROM metric").fetchone() == (1,)
    assert MARK not in "".join(one for (one,) in history.db.execute("SELECT name FROM metric"))
    history.close()
