"""The checker of the chaos runs, on histories that are known to be good or bad."""

from tests.support.load import Freshness, LeaseWatch, Seen


def written(*values: int) -> Freshness:
    """A checker that knows of these values of ``k``, acknowledged in order."""
    freshness = Freshness()
    for value in values:
        while freshness.issue("k") < value:
            pass
        freshness.acknowledge("k", value)
    return freshness


def read(freshness: Freshness, value: int) -> None:
    freshness.end_read("k", freshness.begin_read("k"), value, "a test")


def test_reads_of_the_last_value_and_of_newer_ones_are_good() -> None:
    freshness = written(1, 2)
    read(freshness, 2)
    assert freshness.issue("k") == 3
    read(freshness, 3)
    freshness.end_state("k", 3)
    assert freshness.violations == []
    assert freshness.reads_checked == 2


def test_a_read_that_began_before_the_acknowledgement_may_miss_it() -> None:
    freshness = written(1)
    floor = freshness.begin_read("k")
    freshness.acknowledge("k", freshness.issue("k"))
    freshness.end_read("k", floor, 1, "a test")
    assert freshness.violations == []


def test_an_unacknowledged_write_may_be_seen_or_not() -> None:
    freshness = written(1)
    freshness.issue("k")
    read(freshness, 1)
    freshness.end_state("k", 1)
    assert freshness.violations == []


def test_a_stale_read_is_found() -> None:
    freshness = written(1, 2)
    read(freshness, 1)
    assert len(freshness.violations) == 1
    assert freshness.violations[0].startswith("stale")


def test_a_missing_item_is_stale_after_a_write() -> None:
    freshness = written(1)
    read(freshness, 0)
    assert freshness.violations


def test_reads_that_go_back_are_found_without_any_acknowledgement() -> None:
    freshness = written(1)
    freshness.issue("k")
    read(freshness, 2)
    read(freshness, 1)
    assert [text.split(":")[0] for text in freshness.violations] == ["stale"]


def test_a_value_that_nobody_wrote_is_found() -> None:
    freshness = written(1)
    read(freshness, 7)
    assert freshness.violations[0].startswith("invented")


def test_a_lost_write_is_found() -> None:
    freshness = written(1, 2)
    freshness.end_state("k", 1)
    assert freshness.violations[0].startswith("lost")


def test_recovery_counts_only_writes_that_began_afterwards() -> None:
    seen = Seen(writes=[(1.0, 2.5), (2.1, 3.0), (2.2, 2.9)])
    assert seen.recovery_s(2.0) is not None
    assert abs((seen.recovery_s(2.0) or 0) - 0.9) < 1e-9
    assert seen.recovery_s(3.0) is None


def test_two_holders_of_the_lease_are_found() -> None:
    watch = LeaseWatch(lambda node_id: None, [])
    watch.claimed("a", 1, asked=10.0, answered=10.1, left=1.5)
    watch.claimed("a", 1, asked=10.2, answered=10.3, left=1.4)
    watch.claimed("b", 2, asked=11.6, answered=11.7, left=1.5)
    assert watch.violations == []
    watch.claimed("a", 3, asked=12.9, answered=13.0, left=1.5)
    assert len(watch.violations) == 1
