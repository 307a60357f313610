"""Values to statistics of periods: against sums that are worked out another way."""

from __future__ import annotations

import random

import pytest

from discovery.watch.aggregation import (
    COARSE_S,
    DAY_S,
    Period,
    Value,
    aligned_start,
    is_period,
    is_statistic,
    percentile,
    periods,
    rolled_up,
)
from discovery.watch.catalogue import Kind

NOON = 1_800_000_000 // 86_400 * 86_400 + 43_200


def values_of(rng: random.Random, nodes: int, start: int, count: int) -> dict[str, list[Value]]:
    return {
        f"n{node}": [
            Value.single(start + 10 * place, float(rng.randrange(100)))
            for place in range(count)
            if rng.random() < 0.9
        ]
        for node in range(nodes)
    }


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_counted_twice(seed: int) -> None:
    rng = random.Random(seed)
    kind: Kind = rng.choice(("count", "level"))
    period_s = rng.choice((10, 60, 120, 300, 3600))
    start = NOON + 60 * rng.randrange(10)
    end = start + rng.randrange(1, 7200)
    by_node = values_of(rng, rng.randint(1, 4), start - 600, 900)
    made = periods(kind, by_node, start, end, period_s)
    inside = [one for values in by_node.values() for one in values if start <= one.at < end]
    assert sum(one.statistic("Sum") or 0 for one in made) == sum(one.total for one in inside)
    assert all((one.at - start) % period_s == 0 and start <= one.at < end for one in made)
    assert [one.at for one in made] == sorted({one.at for one in made})
    for period in made:
        total, count = period.statistic("Sum"), period.statistic("SampleCount")
        average, low = period.statistic("Average"), period.statistic("Minimum")
        high = period.statistic("Maximum")
        assert None not in (total, count, average, low, high)
        assert average == pytest.approx((total or 0) / (count or 1))
        assert (low or 0) <= (average or 0) + 1e-9
        assert (average or 0) <= (high or 0) + 1e-9
        assert period.statistic("p0") == low
        assert period.statistic("p100") == high


def test_an_average_of_counts_is_one_of_minutes() -> None:
    by_node = {"n1": [Value.single(NOON + 10 * place, 5.0) for place in range(12)]}
    (period,) = periods("count", by_node, NOON, NOON + 300, 300)
    assert period.statistic("Sum") == 60.0
    assert period.statistic("SampleCount") == 2
    assert period.statistic("Average") == 30.0
    fine = periods("count", by_node, NOON, NOON + 300, 10)
    assert {one.statistic("Average") for one in fine} == {5.0}


@pytest.mark.parametrize("seed", range(10))
def test_coarse_values_say_the_same_of_whole_spans(seed: int) -> None:
    rng = random.Random(seed)
    kind: Kind = rng.choice(("count", "level"))
    fine = [Value.single(NOON + 10 * place, rng.random()) for place in range(30)]
    coarse = rolled_up(kind, fine)
    assert coarse is not None
    assert coarse.at == NOON
    (one,) = periods(kind, {"n1": fine}, NOON, NOON + COARSE_S, COARSE_S)
    (other,) = periods(kind, {"n1": [coarse]}, NOON, NOON + COARSE_S, COARSE_S)
    for name in ("Sum", "Average", "Minimum", "Maximum", "SampleCount"):
        assert one.statistic(name) == pytest.approx(other.statistic(name))
    assert other.statistic("p50") is None
    assert rolled_up(kind, []) is None


def test_percentiles_are_those_of_sorted_values() -> None:
    rng = random.Random(7)
    numbers = sorted(rng.random() for _ in range(101))
    values = [Value.single(NOON, one) for one in numbers]
    for percent in (0, 1, 50, 90, 99, 100):
        assert percentile(values, percent) == pytest.approx(numbers[percent])
    assert Period(NOON, values).statistic("p99.5") == pytest.approx(
        (numbers[99] + numbers[100]) / 2
    )


def test_starts_are_rounded_down_as_aws_says() -> None:
    at = NOON + 3_000 + 23.5
    assert aligned_start(at, 300, at + 60) == NOON + 3_000
    assert aligned_start(at, 10, at + 60) == NOON + 3_020
    assert aligned_start(at, 5, at + 60) == NOON + 3_020
    assert aligned_start(at, 60, at + 16 * DAY_S) == NOON + 3_000
    assert aligned_start(at + 120, 60, at + 20 * DAY_S) == NOON + 3_000
    assert aligned_start(at, 60, at + 70 * DAY_S) == NOON


def test_periods_and_statistics_that_there_are() -> None:
    assert [one for one in range(1, 130) if is_period(one)] == [1, 5, 10, 20, 30, 60, 120]
    for name in ("Sum", "Average", "p99", "p0", "p99.9", "p100", "p100.0"):
        assert is_statistic(name)
    for name in ("sum", "p", "p101", "p-1", "p9.", "tm90", "", "p\u0661"):
        assert not is_statistic(name)
