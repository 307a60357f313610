"""Worlds in which clusters are founded and their members change have what they are for."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from cluster.consensus.core.messages import Durable, Entry, HardState, Kind, Snapshot, founded
from tests.simulation.check import Violation
from tests.simulation.log_watch import BEGUN, PROMISED, LogWatch
from tests.simulation.membership import LEFT_OUT, NODES
from tests.simulation.options import Options
from tests.simulation.planted import options
from tests.simulation.plants.member_worlds import MEMBER_WORLDS
from tests.simulation.simulation import simulate

SEEN = {
    "founders die": ("died once it had promised", "died once it had begun"),
    "founders lose a disk": ("founders' disks emptied", "foundings begun anew"),
    "a founder has another cluster's disk": ("founders with another cluster's disk",),
    "it grows from one node": ("newcomers' disks lost", "stories of grow"),
    "it grows by disks of another cluster": ("foreign disks kept out", "stories of grow"),
    "members are replaced one by one": ("stories of replace", "crash"),
    "members lose their disks": ("emptied disks refused", "stories of readmit"),
    "a majority is lost for good": ("former members kept out", "stories of recover"),
}


@pytest.mark.parametrize("world", SEEN)
def test_it_happens_and_every_promise_is_kept(world: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(40):
        report = simulate(seed, options(world, seed, operations=60))
        assert report.good, f"{world}, {seed}: {report.violation}"
        seen += report.counts
        if all(seen[what] for what in SEEN[world]):
            return
    raise AssertionError(f"never seen: {[what for what in SEEN[world] if not seen[what]]}")


def test_part_of_the_seeds_have_them_and_the_others_go_as_they_went() -> None:
    kinds: Counter[str] = Counter()
    signing = 0
    for seed in range(400):
        drawn = Options.drawn(random.Random(f"{seed} options"))
        found = Options.of_seed(seed)
        if found.story is not None:
            kinds[found.story.kind] += 1
            assert found.founding is None
            assert found.nodes in NODES[found.story.kind]
            assert not LEFT_OUT & found.troubles.keys()
        elif found.founding is not None:
            kinds["founding"] += 1
        elif found.rights is not None:
            signing += 1
            assert not LEFT_OUT & found.troubles.keys()
        else:
            assert found == drawn
    assert kinds.keys() == {*NODES, "founding"}
    assert 60 < kinds.total() < 140
    assert 20 < signing < 80
    assert {world["story"].kind for world in MEMBER_WORLDS.values() if "story" in world} == {*NODES}


@dataclass
class Disk:
    name: str
    promised: dict[str, str] | None = None


class Watched:
    def __init__(self, **promised: dict[str, str] | None) -> None:
        self.broken: list[str] = []
        self.steps: list[tuple[str, str]] = []
        self.watch = LogWatch(self._fail)
        self.watch.step = lambda disk, what: self.steps.append((disk, what))
        for name, what in promised.items():
            self.watch.has(Disk(name, what))

    def _fail(self, error: BaseException) -> None:
        assert isinstance(error, Violation)
        self.broken.append(str(error))


BOTH = {"n1": "d1", "n2": "d2"}


def entry(index: int, data: bytes = b"x") -> Entry:
    return Entry(index, 1, Kind.COMMAND, data)


class TestLogWatch:
    def test_what_all_have_promised_may_be_founded(self) -> None:
        it = Watched(d1=BOTH, d2=BOTH)
        it.watch.promised(Disk("d1", BOTH), None)
        it.watch.promised(Disk("d1", BOTH), BOTH)
        it.watch.begun("d1", founded(["d1", "d2"]))
        it.watch.begun("d1", None)
        assert not it.broken
        assert it.steps == [("d1", PROMISED), ("d1", PROMISED), ("d1", BEGUN)]

    def test_a_second_promise_is_seen(self) -> None:
        it = Watched()
        it.watch.promised(Disk("d1", BOTH), {"n1": "d1", "n2": "other"})
        assert len(it.broken) == 1

    @pytest.mark.parametrize("other", [None, {"n1": "other", "n2": "d2"}])
    def test_a_founding_without_a_promise_is_seen(self, other: dict[str, str] | None) -> None:
        it = Watched(d1=BOTH, d2=other)
        it.watch.begun("d1", founded(["d1", "d2"]))
        assert "d2 promised" in it.broken[0]

    def test_a_disk_that_promised_joins_no_log(self) -> None:
        it = Watched(d1=BOTH, d3=None)
        joins = Durable(HardState(), Snapshot())
        it.watch.begun("d3", joins)
        assert not it.broken
        it.watch.begun("d1", joins)
        assert len(it.broken) == 1

    def test_what_was_decided_stays(self) -> None:
        it = Watched()
        for disk in ("d1", "d2"):
            it.watch.applied(disk, entry(1))
        it.watch.applied("d2", Snapshot(1))
        assert not it.broken
        it.watch.applied("d3", entry(1, b"y"))
        assert len(it.broken) == 1

    def test_two_clusters_of_the_same_disks_are_seen(self) -> None:
        it = Watched()
        for node in ("n1", "n2"):
            it.watch.named(node, "one")
        assert not it.broken
        it.watch.named("n3", "another")
        assert len(it.broken) == 1

    def test_who_founds_anew_begins_with_nothing(self) -> None:
        it = Watched()
        it.watch.named("n1", "one")
        it.watch.applied("d1", entry(1))
        it.watch.forget()
        it.watch.named("n1", "another")
        it.watch.applied("x1", entry(1, b"y"))
        assert not it.broken

    def test_what_only_lost_disks_had_is_decided_anew(self) -> None:
        it = Watched()
        for index in (1, 2, 3):
            it.watch.applied("d2", entry(index))
        it.watch.goes_on_with(Durable(HardState(1), Snapshot(1), (entry(2),)), ["d2"])
        it.watch.applied("d1", entry(3, b"y"))
        it.watch.applied("d2", entry(3))
        assert not it.broken
        it.watch.applied("d1", entry(2, b"y"))
        assert len(it.broken) == 1
