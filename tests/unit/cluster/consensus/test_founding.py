"""Logs are founded by disks that all took part, and by none twice."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace

import pytest

from cluster.consensus.founding import (
    BeginLog,
    Disks,
    Founding,
    Introduction,
    Join,
    Outcome,
    Promise,
    Waits,
)
from tests.simulation.planting import Change, changed

ALL = ("n1", "n2", "n3")
DISKS = {"n1": "a", "n2": "b", "n3": "c"}
Peers = tuple[str, ...]
FOUNDING = "cluster.consensus.founding:Founding"


def intro(node: str, promised: Disks | None = None, **other: object) -> Introduction:
    return replace(Introduction(node, DISKS[node], "c", ALL, promised), **other)


def first(promised: Disks | None = None) -> Founding:
    return Founding("n1", "a", "c", ALL, promised)


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, Waits)
    return outcome.reason


class TestRules:
    def test_nothing_is_promised_before_all_have_spoken(self) -> None:
        founding = first()
        assert "n2, n3 did not answer" in reason(founding.outcome())
        assert "n3 did not answer" in reason(founding.hear(intro("n2")))
        assert founding.hear(intro("n3")) == Promise(DISKS)

    def test_nothing_is_founded_before_all_have_promised(self) -> None:
        founding = first()
        founding.hear(intro("n2"))
        founding.hear(intro("n3"))
        founding.promise(DISKS)
        assert founding.introduction.promised == DISKS
        assert "n3 did not promise" in reason(founding.hear(intro("n2", DISKS)))
        assert founding.hear(intro("n3", DISKS)) == BeginLog(DISKS)

    def test_one_alone_founds_with_itself(self) -> None:
        founding = Founding("n1", "a", "c", ["n1"])
        assert founding.outcome() == Promise({"n1": "a"})
        founding.promise({"n1": "a"})
        assert founding.outcome() == BeginLog({"n1": "a"})

    def test_a_disk_promises_once(self) -> None:
        founding = first(DISKS)
        with pytest.raises(ValueError, match="promises once"):
            founding.promise({**DISKS, "n3": "d"})

    def test_another_disk_stops_what_was_promised(self) -> None:
        founding = first(DISKS)
        founding.hear(intro("n2", DISKS))
        assert "another disk of n3" in reason(founding.hear(intro("n3", disk="d")))

    def test_another_disk_before_that_is_as_good(self) -> None:
        founding = first()
        founding.hear(intro("n2"))
        founding.hear(intro("n3"))
        assert founding.hear(intro("n3", disk="d")) == Promise({**DISKS, "n3": "d"})

    def test_who_missed_the_end_hears_of_it(self) -> None:
        founding = first(DISKS)
        assert founding.hear(intro("n2", DISKS, founded=DISKS)) == BeginLog(DISKS)

    @pytest.mark.parametrize("node", ["n2", "n9"])
    def test_a_disk_that_is_not_of_it_joins(self, node: str) -> None:
        founding = Founding("n1", "z", "c", ALL)
        other = replace(intro("n2", DISKS, founded={"n2": "b"}), node=node)
        assert founding.hear(other) == Join()
        assert founding.hear(replace(other, founded={})) == Join()

    def test_one_whose_disk_was_exchanged_is_told(self) -> None:
        outcome = Founding("n1", "z", "c", ALL).hear(intro("n2", DISKS, founded=DISKS))
        assert isinstance(outcome, Join)
        assert "founded with another disk of n1" in outcome.reason

    def test_a_disk_that_promised_joins_no_other_log(self) -> None:
        """The others may found the first one yet, by its word; it would be in both."""
        founded = {"n2": "x", "n3": "y"}
        assert "founded without it" in reason(first(DISKS).hear(intro("n2", founded=founded)))
        assert "not known yet" in reason(first(DISKS).hear(intro("n2", founded={})))

    @pytest.mark.parametrize("now", [("n1", "n2"), ("n1", "n2", "n3", "n4")])
    def test_who_promised_founds_with_nobody_less_and_nobody_more(self, now: Peers) -> None:
        """As after a restart with other peers. Of three, the third did not promise maybe."""
        founding = Founding("n1", "a", "c", now, DISKS)
        for node in now[1:]:
            said = Introduction(node, DISKS.get(node, "d"), "c", now, DISKS)
            assert "restore PACELINE_PEERS" in reason(founding.hear(said))
        assert "restore PACELINE_PEERS" in reason(founding.outcome())

    def test_nobody_promises_what_another_one_cannot(self) -> None:
        founding = first()
        founding.hear(intro("n2", {**DISKS, "n3": "before"}))
        assert "n2 promised to found with another disk of n3" in reason(founding.hear(intro("n3")))
        founding = first(DISKS)
        founding.hear(intro("n2", DISKS))
        late = founding.hear(intro("n3", {**DISKS, "n2": "e"}))
        assert "n3 promised to found with another disk of n2" in reason(late)

    def test_what_a_silent_one_said_before_does_not_count(self) -> None:
        """Its disk may be another one by now, as in a pod without a volume."""
        founding = first()
        founding.hear(intro("n2"))
        founding.unheard("n2")
        assert "n2 did not answer" in reason(founding.hear(intro("n3")))
        founding.hear(intro("n2", cluster="x"))
        founding.unheard("n2")
        assert "n2 did not answer" in reason(founding.outcome())

    def test_a_copy_of_a_founders_disk_founds_nothing(self) -> None:
        other = {**DISKS, "n3": "d"}
        assert "a copy" in reason(first(DISKS).hear(intro("n2", other, founded=other)))
        founding = first()
        founding.hear(intro("n2", disk="a"))
        assert "same disk" in reason(founding.hear(intro("n3")))

    def test_all_need_the_same_configuration(self) -> None:
        assert "PACELINE_PEERS" in reason(first().hear(intro("n2", founders=("n1", "n2"))))
        assert "not configured here" in reason(first().hear(replace(intro("n2"), node="n7")))
        assert "belongs to the cluster 'x'" in reason(first().hear(intro("n2", cluster="x")))
        other_order = Founding("n1", "a", "c", ("n3", "n1", "n2"))
        other_order.hear(intro("n2"))
        assert other_order.hear(intro("n3")) == Promise(DISKS)
        founding = first()
        founding.hear(intro("n2", founders=("n1", "n2")))
        assert "PACELINE_PEERS" in reason(founding.hear(intro("n3"))), "whoever speaks last"
        assert "x" in reason(founding.hear(intro("n3", DISKS, cluster="x", founded=DISKS)))
        founding.hear(intro("n3"))
        assert founding.hear(intro("n2")) == Promise(DISKS), "it was put right"
        with pytest.raises(ValueError, match="not among"):
            Founding("n9", "a", "c", ALL)


class Founders:
    """Nodes that restart, lose their disks and hear each other late, twice or never."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disks: dict[str, str] = {}
        self.promised: dict[str, Disks | None] = {}
        """By disk; what it has durably."""
        self.founded: dict[str, Disks] = {}
        """By disk."""
        self.running: dict[str, Founding] = {}
        self.letters: list[Introduction] = []
        self.seen: Counter[str] = Counter()
        self._count = 0
        for node in ALL:
            self.replace(node)

    def replace(self, node: str) -> None:
        self._count += 1
        self.disks[node] = f"d{self._count}"
        self.promised[self.disks[node]] = None
        self.start(node)

    def start(self, node: str) -> None:
        disk = self.disks[node]
        self.running[node] = Founding(node, disk, "c", ALL, self.promised[disk])

    def speak(self, node: str) -> Introduction:
        disk = self.disks[node]
        return replace(self.running[node].introduction, founded=self.founded.get(disk))

    def take(self, node: str, outcome: Outcome) -> None:
        disk = self.disks[node]
        self.seen[type(outcome).__name__] += 1
        if disk in self.founded:
            return
        match outcome:
            case Promise(disks):
                if self.rng.random() < 0.1:
                    self.start(node)  # it ended before that was durable
                    return
                self.promised[disk] = disks
                if self.rng.random() < 0.1:
                    self.start(node)
                    return
                self.running[node].promise(disks)
            case BeginLog(disks):
                for other in self.founded.values():
                    shared = set(disks.items()) & set(other.items())
                    assert other == disks or not shared, f"{other} and {disks} were founded"
                for one in disks.values():
                    assert self.promised[one] == disks, f"{one} did not promise {disks}"
                self.founded[disk] = disks

    def step(self, troubles: bool) -> None:
        rng = self.rng
        node = rng.choice(ALL)
        choice = rng.random()
        if troubles and choice < 0.02:
            self.replace(node)
        elif troubles and choice < 0.06:
            self.start(node)
        elif choice < 0.5:
            self.letters.append(self.speak(node))
        elif self.letters:
            letter = rng.choice(self.letters[-12:] if troubles else self.letters[-3:])
            if letter.node != node:
                self.take(node, self.running[node].hear(letter))
            self.take(node, self.running[node].outcome())


def run(seed: int) -> Counter[str]:
    founders = Founders(seed)
    for _ in range(150):
        founders.step(troubles=True)
    for _ in range(300):
        founders.step(troubles=False)
    founders.seen["all"] = all(disk in founders.founded for disk in founders.disks.values())
    return founders.seen


def test_no_disk_founds_two_logs() -> None:
    first_seed = int(os.environ.get("PACELINE_SEED", random.randrange(10**9)))
    print(f"PACELINE_SEED={first_seed}")
    for n in range(200):
        run(first_seed + n)


def test_founders_have_all_that_they_are_for() -> None:
    seen = sum((run(seed) for seed in range(200)), start=run(1))
    assert min(seen[name] for name in ("Promise", "BeginLog", "Join", "Waits", "all")) > 10, seen


@pytest.mark.parametrize(
    ("where", "old", "new"),
    [
        ("outcome", "if late:", "if False:"),
        ("outcome", "if silent:", "if False:"),
        ("outcome", "if me.promised is None:", "if True:"),
        ("outcome", "me.promised.keys() != set(me.founders)", "False"),
        ("outcome", "promised is not None and promised != disks", "False"),
        ("_exists", "if founded.get(me.node) == me.disk:", "if False:"),
        ("_exists", "if me.promised is not None:", "if False:"),
        ("_exists", "if me.promised == founded:", "if True:"),
        ("hear", "self.unheard(other.node)", "pass"),
        (
            "promise",
            "if me.promised is not None and me.promised != disks:",
            "if False:",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_a_rule_left_out_shows(where: str, old: str, new: str) -> None:
    tests = TestRules()
    rules = [getattr(tests, name) for name in dir(tests) if name.startswith("test_")]
    with changed([Change(f"{FOUNDING}.{where}", old, new)]):
        failed = 0
        for rule in rules:
            try:
                match rule.__name__:
                    case "test_a_disk_that_is_not_of_it_joins":
                        rule("n2")
                    case "test_who_promised_founds_with_nobody_less_and_nobody_more":
                        rule(("n1", "n2"))
                    case _:
                        rule()
            except (Exception, pytest.fail.Exception):
                failed += 1
        assert failed
