"""Counting, and how many nines the counts prove."""

from __future__ import annotations

import pytest

from node.audit.judging import Finding
from node.audit.ledger import BUCKETS, NODES_MAX, WINDOW_S, Ledger, disagreement_rate_max, nines

MINUTE = WINDOW_S / BUCKETS


def test_no_samples_prove_nothing() -> None:
    assert nines(0, 0) == 0.0
    assert nines(1, 0) == 0.0
    assert nines(1, 1) == 0.0


@pytest.mark.parametrize(
    ("disagreements", "mean_max"), [(0, 2.996), (1, 4.744), (2, 6.296), (10, 16.962), (50, 63.29)]
)
def test_the_bound_is_that_of_the_poisson_distribution(disagreements: int, mean_max: float) -> None:
    """One-sided 95 % limits, as tables of the distribution have them."""
    bound = disagreement_rate_max(100_000, disagreements)
    assert bound * 100_000 == pytest.approx(mean_max, rel=0.01)


def test_nines_grow_with_samples_and_fall_with_disagreements() -> None:
    proven = [nines(keys, 0) for keys in (10, 100, 3_000, 300_000)]
    assert proven == sorted(proven)
    assert proven[2] == pytest.approx(3.0, abs=0.01)
    assert nines(3_000, 1) < nines(3_000, 0)
    assert nines(1_000, 900) < 0.1


def test_a_key_counts_once_whatever_its_nodes_say() -> None:
    ledger = Ledger()
    ledger.record({"a": Finding.AGREE, "b": Finding.AGREE, "c": Finding.NOT_CACHED}, 0.0)
    ledger.record({"a": Finding.AGREE, "b": Finding.DISAGREE, "c": Finding.DISAGREE}, 0.0)
    ledger.record({"a": Finding.AGREE, "b": Finding.INCONCLUSIVE, "c": Finding.NOT_CACHED}, 0.0)
    ledger.record(dict.fromkeys("abc", Finding.INCONCLUSIVE), 0.0)
    ledger.record(dict.fromkeys("abc", Finding.NOT_CACHED), 0.0)
    tally = ledger.since_start
    assert (tally.keys, tally.disagreements) == (3, 1)
    counts = {(node, finding): count for node, finding, count in ledger.counts()}
    assert counts["a", Finding.AGREE] == 3
    assert counts["b", Finding.DISAGREE] == 1
    assert counts["c", Finding.NOT_CACHED] == 3
    assert counts["b", Finding.INCONCLUSIVE] == 2


def test_the_window_slides_and_the_total_stays() -> None:
    ledger = Ledger()
    start = 1_000_000.0
    for minute in range(3 * BUCKETS):
        now = start + minute * MINUTE
        ledger.record({"a": Finding.DISAGREE if minute == 0 else Finding.AGREE}, now)
        ledger.record({"a": Finding.AGREE}, now)
    assert ledger.since_start.keys == 6 * BUCKETS
    assert ledger.since_start.disagreements == 1
    window = ledger.window(now)
    assert (window.keys, window.disagreements) == (2 * BUCKETS, 0)
    assert ledger.window(now + WINDOW_S / 2).keys == BUCKETS
    assert ledger.window(now + WINDOW_S).keys == 0


def test_nodes_that_come_and_go_do_not_add_up() -> None:
    ledger = Ledger()
    for number in range(10 * NODES_MAX):
        ledger.record({f"node-{number}": Finding.AGREE}, 0.0)
    assert len({node for node, _, _ in ledger.counts()}) == NODES_MAX
    assert ledger.since_start.keys == 10 * NODES_MAX
