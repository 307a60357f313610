"""Token buckets, and a memory that does not grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.access.rates import Rates
from cluster.access.recent import Recent


def test_a_burst_and_then_the_rate() -> None:
    rates: Rates[str] = Rates(10.0, burst=3)
    assert [rates.take("a", 100.0) for _ in range(5)] == [True, True, True, False, False]
    assert rates.take("b", 100.0), "others have a bucket of their own"
    assert not rates.take("a", 100.05)
    assert rates.take("a", 100.101)
    assert not rates.take("a", 100.15)
    assert [rates.take("a", 200.0) for _ in range(4)] == [True, True, True, False]


@given(
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
    st.integers(1, 5),
    st.sampled_from([0.5, 2.0, 8.0]),
)
def test_never_more_than_burst_and_rate(gaps: list[float], burst: int, per_s: float) -> None:
    rates: Rates[int] = Rates(per_s, burst)
    now, taken = 0.0, []
    for gap in gaps:
        now += gap
        if rates.take(1, now):
            taken.append(now)
    for first, begin in enumerate(taken):
        for count, end in enumerate(taken[first:], 1):
            assert count <= burst + (end - begin) * per_s + 1e-6


def test_the_memory_is_bounded_and_the_busy_are_remembered() -> None:
    rates: Rates[int] = Rates(1.0, burst=1, names_max=100)
    assert rates.take(-1, 0.0)
    for stranger in range(10_000):
        rates.take(stranger, 0.0)
        assert not rates.take(-1, 0.0), "who asks all the time is not forgotten"
        assert len(rates) <= 100


@given(st.lists(st.integers(0, 30), max_size=300), st.integers(2, 12))
def test_the_latest_are_there(keys: list[int], most: int) -> None:
    recent: Recent[int, int] = Recent(most)
    for place, key in enumerate(keys):
        recent.put(key, place)
        assert len(recent) <= most
        latest = list(dict.fromkeys(reversed(keys[: place + 1])))[: max(1, most // 2)]
        last = {one: at for at, one in enumerate(keys[: place + 1])}
        assert [recent.get(one) for one in reversed(latest)] == [last[one] for one in latest[::-1]]
