"""Which reports are accepted, and who is asked next."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from cluster.log.view import ClusterView, Member
from discovery.sources import (
    BACKOFF_MAX_S,
    BACKOFF_MIN_S,
    OVERTAKE_S,
    SEEDS_MAX,
    LatestView,
    Report,
    Seeds,
)


def view(epoch: int, *, cluster: str = "c", members: int = 1) -> ClusterView:
    nodes = tuple(
        Member(f"n{i}", "a", "i", i, {"members": f"10.0.0.{i}:8181"}) for i in range(1, members + 1)
    )
    return ClusterView(cluster, nodes, epoch=epoch)


def report(epoch: int, at: float, source: str = "a", *, cluster: str = "c") -> Report:
    return Report(source, view(epoch, cluster=cluster), at)


def accepted(*reports: Report) -> list[bool]:
    latest = LatestView()
    return [latest.accept(r) for r in reports]


def test_first_report_and_news_of_the_same_source_are_believed() -> None:
    assert accepted(report(1, 0.0), report(1, 0.0), report(2, 1.0)) == [True, True, True]


def test_newer_epoch_is_believed_from_anyone_even_if_it_was_confirmed_earlier() -> None:
    assert accepted(report(1, 1.0, "a"), report(2, 0.5, "b")) == [True, True]


def test_cut_off_node_does_not_bring_back_an_old_epoch() -> None:
    assert accepted(report(5, 10.0, "a"), report(4, 10.5, "b"), report(4, 2.0, "b")) == [
        True,
        False,
        False,
    ]


def test_same_epoch_is_believed_from_whoever_confirmed_it_last() -> None:
    assert accepted(report(1, 5.0, "a"), report(1, 4.0, "b"), report(1, 6.0, "c")) == [
        True,
        False,
        True,
    ]


def test_cluster_that_was_wiped_is_believed_once_the_old_one_is_silent() -> None:
    old = report(9, 10.0)
    assert accepted(old, report(1, 10.0 + OVERTAKE_S), report(1, 10.1 + OVERTAKE_S)) == [
        True,
        False,
        True,
    ]
    other = [report(99, 10.1, cluster="x"), report(1, 10.1 + OVERTAKE_S, cluster="x")]
    assert accepted(old, *other) == [True, False, True]


def test_report_without_members_is_never_believed() -> None:
    empty = Report("a", ClusterView("c", ()), 0.0)
    assert accepted(empty, report(1, 0.0), dataclasses.replace(empty, confirmed_at=99.0)) == [
        False,
        True,
        False,
    ]


def test_members_become_seeds_and_leave_with_the_view() -> None:
    seeds = Seeds(["10.0.0.1:8181", "configured:1"])
    seeds.learn(view(1, members=3))
    assert set(seeds.addresses) == {
        "10.0.0.1:8181",
        "10.0.0.2:8181",
        "10.0.0.3:8181",
        "configured:1",
    }
    seeds.learn(view(1, members=1))
    assert set(seeds.addresses) == {"10.0.0.1:8181", "configured:1"}


def test_seeds_are_bounded() -> None:
    seeds = Seeds(["configured:1"])
    seeds.learn(view(1, members=SEEDS_MAX * 2))
    assert len(seeds.addresses) == SEEDS_MAX
    assert "configured:1" in seeds.addresses


def test_backoff_starts_when_everyone_failed_and_ends_with_a_success() -> None:
    seeds = Seeds(["a:1", "b:1"])
    pauses = []
    for _ in range(20):
        seeds.failed()
        pauses.append(seeds.backoff_s)
    assert pauses[0] == 0.0
    assert pauses[1:3] == [BACKOFF_MIN_S, BACKOFF_MIN_S]
    assert pauses[3] == 2 * BACKOFF_MIN_S
    assert pauses[-1] == BACKOFF_MAX_S
    seeds.succeeded()
    assert seeds.backoff_s == 0.0


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 3))
def test_every_seed_has_its_turn(steps: list[int], configured: int) -> None:
    seeds = Seeds([f"c{i}:1" for i in range(configured)])
    waiting: dict[str, int] = dict.fromkeys(seeds.addresses, 0)
    for step in steps:
        if step:
            seeds.learn(view(1, members=step))
            waiting = {a: waiting.get(a, 0) for a in seeds.addresses}
        chosen = seeds.next()
        waiting = {a: n + 1 for a, n in waiting.items()}
        waiting[chosen] = 0
        # Others may have come meanwhile, so up to all that ever were can be in front.
        assert max(waiting.values()) <= configured + 5
