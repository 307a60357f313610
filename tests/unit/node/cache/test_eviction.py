"""SIEVE and LRU against models of a few lines, and against each other."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cache.eviction import Linked, Lru, Policy, Sieve, policy_named


class Named(Linked):
    __slots__ = ("name",)

    def __init__(self, name: int) -> None:
        super().__init__()
        self.name = name


class ReferenceSieve:
    """The paper's algorithm on a list, newest first, the hand being a name."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.visited: dict[int, bool] = {}
        self.hand: int | None = None

    def insert(self, name: int) -> None:
        self.order.insert(0, name)
        self.visited[name] = False

    def hit(self, name: int) -> None:
        self.visited[name] = True

    def _before(self, name: int) -> int | None:
        at = self.order.index(name)
        return self.order[at - 1] if at > 0 else None

    def remove(self, name: int) -> None:
        if self.hand == name:
            self.hand = self._before(name)
        self.order.remove(name)
        del self.visited[name]

    def replace(self, old: int, new: int) -> None:
        self.order[self.order.index(old)] = new
        self.visited[new] = self.visited.pop(old)
        if self.hand == old:
            self.hand = new

    def evict(self) -> int | None:
        if not self.order:
            return None
        at = self.order[-1] if self.hand is None else self.hand
        while self.visited[at]:
            self.visited[at] = False
            before = self._before(at)
            at = self.order[-1] if before is None else before
        self.hand = at
        self.remove(at)
        return at


class ReferenceLru(ReferenceSieve):
    def hit(self, name: int) -> None:
        self.order.remove(name)
        self.order.insert(0, name)

    def evict(self) -> int | None:
        return self.order.pop() if self.order else None

    def remove(self, name: int) -> None:
        self.order.remove(name)


operations = st.lists(
    st.tuples(
        st.sampled_from(["insert", "insert", "hit", "hit", "hit", "evict", "remove", "replace"]),
        st.integers(0, 1 << 30),
    ),
    max_size=120,
)


def replay(
    trace: list[tuple[str, int]], policy: Policy, reference: ReferenceSieve
) -> tuple[list[int], list[int]]:
    """Victims of the policy and of the reference, all that is left evicted at the end."""
    nodes: dict[int, Named] = {}
    victims: list[int] = []
    expected: list[int] = []
    names = iter(range(1 << 30))

    def evict() -> bool:
        victim, name = policy.evict(), reference.evict()
        if victim is None or name is None:
            assert victim is None
            assert name is None
            return False
        assert isinstance(victim, Named)
        assert not victim.linked
        victims.append(victim.name)
        expected.append(name)
        nodes.pop(victim.name, None)
        return True

    for operation, pick in trace:
        if operation == "insert":
            node = Named(next(names))
            nodes[node.name] = node
            policy.insert(node)
            reference.insert(node.name)
        elif operation == "evict":
            evict()
        elif nodes:
            node = sorted(nodes.items())[pick % len(nodes)][1]
            if operation == "hit":
                node.visited = True
                if policy.touch is not None:
                    policy.touch(node)
                reference.hit(node.name)
            elif operation == "remove":
                policy.remove(nodes.pop(node.name))
                reference.remove(node.name)
                assert not node.linked
            else:
                new = Named(next(names))
                policy.replace(nodes.pop(node.name), new)
                reference.replace(node.name, new.name)
                nodes[new.name] = new
    while evict():
        pass
    return victims, expected


@given(operations)
def test_sieve_evicts_what_the_paper_says(trace: list[tuple[str, int]]) -> None:
    victims, expected = replay(trace, Sieve(), ReferenceSieve())
    assert victims == expected


@pytest.mark.parametrize("seed", range(20))
def test_sieve_follows_the_paper_on_long_traces(seed: int) -> None:
    rng = random.Random(seed)
    kinds = ["insert", "insert", "insert", "hit", "hit", "evict", "remove", "replace", "replace"]
    trace = [(rng.choice(kinds), rng.randrange(1 << 30)) for _ in range(500)]
    victims, expected = replay(trace, Sieve(), ReferenceSieve())
    assert victims == expected


@given(operations)
def test_lru_evicts_the_least_recently_used(trace: list[tuple[str, int]]) -> None:
    victims, expected = replay(trace, Lru(), ReferenceLru())
    assert victims == expected


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4))
def test_a_bounded_scan_still_evicts_everything_once(visited: list[bool], scan_max: int) -> None:
    policy = Sieve(scan_max)
    for name, bit in enumerate(visited):
        node = Named(name)
        node.visited = bit
        policy.insert(node)
    victims = []
    while (victim := policy.evict()) is not None:
        assert isinstance(victim, Named)
        victims.append(victim.name)
    assert sorted(victims) == list(range(len(visited)))


def test_sieve_gives_up_scanning_at_its_limit() -> None:
    policy = Sieve(scan_max=3)
    nodes = [Named(i) for i in range(10)]
    for node in nodes:
        policy.insert(node)
        node.visited = True
    assert policy.evict() is nodes[3]
    assert [node.visited for node in nodes] == [False] * 3 + [True] * 7


def test_policies_by_name() -> None:
    assert isinstance(policy_named("sieve"), Sieve)
    assert isinstance(policy_named("lru"), Lru)
    assert policy_named("sieve").touch is None


def zipf_trace(seed: int, keys: int, requests: int, skew: float) -> list[int]:
    weights = list(accumulate(1 / rank**skew for rank in range(1, keys + 1)))
    return random.Random(seed).choices(range(keys), cum_weights=weights, k=requests)


def hit_ratio(policy: Policy, trace: list[int], capacity: int) -> float:
    nodes: dict[int, Named] = {}
    hits = 0
    for name in trace:
        node = nodes.get(name)
        if node is not None:
            hits += 1
            node.visited = True
            if policy.touch is not None:
                policy.touch(node)
            continue
        if len(nodes) == capacity:
            victim = policy.evict()
            assert isinstance(victim, Named)
            del nodes[victim.name]
        nodes[name] = node = Named(name)
        policy.insert(node)
    return hits / len(trace)


@pytest.mark.parametrize(("capacity", "gain_min"), [(100, 0.08), (1000, 0.04)])
def test_sieve_hits_more_often_than_lru_on_a_zipf_trace(capacity: int, gain_min: float) -> None:
    trace = zipf_trace(seed=20240416, keys=10_000, requests=60_000, skew=0.9)
    sieve, lru = hit_ratio(Sieve(), trace, capacity), hit_ratio(Lru(), trace, capacity)
    assert sieve >= lru + gain_min, f"SIEVE {sieve:.3f}, LRU {lru:.3f}"


def test_a_scan_pushes_hit_entries_out_of_lru_but_not_of_sieve() -> None:
    kept = {}
    for policy in (Sieve(), Lru()):
        hot = [Named(i) for i in range(10)]
        for node in hot:
            policy.insert(node)
        for node in hot:
            node.visited = True
            if policy.touch is not None:
                policy.touch(node)
        for i in range(10, 30):
            policy.insert(Named(i))
            if i >= 20:
                policy.evict()
        kept[type(policy)] = sum(node.linked for node in hot)
    assert kept == {Sieve: 10, Lru: 0}
