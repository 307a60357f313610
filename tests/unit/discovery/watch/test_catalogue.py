"""What a node's text becomes: counts since the last scrape, and levels."""

from __future__ import annotations

import pytest

from cluster.service.metrics import Gauge, LabelledCounter, SeriesCollector
from discovery.watch.catalogue import DAX, METRICS, OWN, Scrape, kept, values_of
from discovery.watch.exposition import parsed

GAP_S = 30.0


PUTS = 'paceline_requests_total{operation="PutItem",table="a,b}",protocol="dax",result="fault"}'


def text(**more: float) -> str:
    told = {
        "process_start_time_seconds": 1.0,
        "process_cpu_seconds_total": 1.0,
        'paceline_requests_total{operation="GetItem",table="T",protocol="dax",result="ok"}': 5.0,
        PUTS: 1.0,
        "paceline_cache_bytes": 50.0,
        "paceline_cache_bytes_max": 200.0,
        **more,
    }
    head = "# HELP paceline_lookups_total x\n# TYPE paceline_lookups_total counter\n"
    return head + "".join(f"{name} {value}\n" for name, value in told.items())


def scrape(at: float, told: str) -> Scrape:
    return Scrape(at, kept(parsed(told)))


GETS = 'paceline_requests_total{operation="GetItem",table="T",protocol="dax",result="ok"}'


def test_counts_are_what_there_was_since_the_last_scrape() -> None:
    before = scrape(10.0, text())
    now = scrape(20.0, text(**{GETS: 12.0, "process_cpu_seconds_total": 4.0}))
    found = values_of(now, before, GAP_S)
    assert found["GetItemRequestCount"] == 7.0
    assert found["TotalRequestCount"] == 7.0
    assert found["PutItemRequestCount"] == found["FaultRequestCount"] == 0.0
    assert found["ItemCacheHits"] == 0.0  # a metric of the node, and nothing under it
    assert found["CPUUtilization"] == pytest.approx(30.0)
    assert found["CacheMemoryUtilization"] == 25.0
    assert "EvictedSize" not in found  # which this node does not have


def test_after_a_gap_or_at_first_there_are_only_levels() -> None:
    now = scrape(100.0, text())
    for before in (None, scrape(100.0 - GAP_S - 1, text())):
        assert set(values_of(now, before, GAP_S)) == {"CacheMemoryUtilization", "EstimatedDbSize"}


def test_a_node_that_was_started_anew_has_counted_from_nothing() -> None:
    before = scrape(10.0, text(**{GETS: 1000.0}))
    now = scrape(20.0, text(process_start_time_seconds=9.0, **{GETS: 3.0}))
    assert values_of(now, before, GAP_S)["GetItemRequestCount"] == 3.0


def test_no_value_is_told_that_is_no_number() -> None:
    told = text() + "paceline_replication_lag NaN\n"
    assert "ReplicationLag" not in values_of(scrape(1.0, told), None, GAP_S)


def test_what_our_own_collector_writes_is_read() -> None:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import generate_latest

    names = ('a"b', "c\\d\ne", "plain")
    registry = CollectorRegistry()
    counted = LabelledCounter(
        "x", "x", ("one", "two"), lambda: [((name, "2"), float(len(name))) for name in names]
    )
    registry.register(SeriesCollector([counted, Gauge("empty", "e", lambda: 7.5)]))
    found = parsed(generate_latest(registry).decode())
    assert found["paceline_empty"] == [({}, 7.5)]
    assert [labels["one"] for labels, _ in found["paceline_x_total"]] == list(names)


@pytest.mark.parametrize("bad", ["name", "name{a=b} 1", 'name{a="b} 1', "name{} x y", "name one"])
def test_what_is_no_metrics_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"no sample|no labels|could not convert"):
        parsed(bad)


def test_names_are_there_once() -> None:
    assert len({one.name for one in METRICS}) == len(METRICS)
    assert {one.namespace for one in METRICS} == {DAX, OWN}
