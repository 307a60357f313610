"""S3-FIFO, SIEVE and LRU against models of a few lines, and against each other."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cache.eviction import SMALL_SHARE, Lru, PolicyMaker, S3Fifo, Sieve, policy_named
from node.cache.nodes import Nodes


class Named(Nodes):
    """Nodes that have names."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[int, int] = {}

    def identity(self, node: int) -> int:
        return self.names[node]

    def new(self, name: int) -> int:
        node = self.take()
        self.names[node] = name
        return node

    def hit(self, node: int) -> None:
        self.hits[node] = min(self.hits[node] + 1, 3)


class ReferenceSieve:
    """The paper's algorithm on a list, newest first, the hand being a name."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.hits: dict[int, int] = {}
        self.hand: int | None = None

    def insert(self, name: int) -> None:
        self.order.insert(0, name)
        self.hits[name] = 0

    def hit(self, name: int) -> None:
        self.hits[name] = min(self.hits[name] + 1, 3)

    def _before(self, name: int) -> int | None:
        at = self.order.index(name)
        return self.order[at - 1] if at > 0 else None

    def remove(self, name: int) -> None:
        if self.hand == name:
            self.hand = self._before(name)
        self.order.remove(name)
        del self.hits[name]

    def evict(self) -> int | None:
        if not self.order:
            return None
        at = self.order[-1] if self.hand is None else self.hand
        while self.hits[at]:
            self.hits[at] = 0
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


class ReferenceS3Fifo(ReferenceSieve):
    """Two lists, newest first, and every ghost by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.small: list[int] = []
        self.main: list[int] = []
        self.ghosts: list[int] = []

    def insert(self, name: int) -> None:
        self.hits[name] = 0
        recent = self.ghosts[-len(self.main) :] if self.main else []
        if name in recent:
            self._forget(name)
        (self.main if name in recent else self.small).insert(0, name)

    def _forget(self, name: int) -> None:
        """Its place stays, and counts as before."""
        self.ghosts = [-1 if ghost == name else ghost for ghost in self.ghosts]

    def _queue(self, name: int) -> list[int]:
        return self.main if name in self.main else self.small

    def remove(self, name: int) -> None:
        self._queue(name).remove(name)
        del self.hits[name]

    def evict(self) -> int | None:
        while self.small or self.main:
            share = (len(self.small) + len(self.main)) // SMALL_SHARE
            small = bool(self.small) and (not self.main or len(self.small) >= share)
            name = (self.small if small else self.main).pop()
            if self.hits[name] < (2 if small else 1):
                del self.hits[name]
                if small:
                    self._forget(name)
                    self.ghosts.append(name)
                return name
            self.hits[name] = 0 if small else self.hits[name] - 1
            self.main.insert(0, name)
        return None


operations = st.lists(
    st.tuples(
        st.sampled_from(["insert", "insert", "hit", "hit", "hit", "evict", "remove"]),
        st.integers(0, 1 << 30),
    ),
    max_size=120,
)


def replay(
    trace: list[tuple[str, int]], make: PolicyMaker, reference: ReferenceSieve
) -> tuple[list[int], list[int]]:
    """Victims of the policy and of the reference, all that is left evicted at the end."""
    nodes = Named()
    policy = make(nodes)
    there: dict[int, int] = {}
    victims: list[int] = []
    expected: list[int] = []
    names = iter(range(1 << 30))

    def evict() -> bool:
        victim, name = policy.evict(), reference.evict()
        if victim is None or name is None:
            assert victim is None
            assert name is None
            return False
        assert not nodes.is_linked(victim)
        victims.append(nodes.names[victim])
        expected.append(name)
        there.pop(nodes.names[victim])
        nodes.give_back(victim)
        return True

    for operation, pick in trace:
        if operation == "insert":
            name = next(names)
            there[name] = node = nodes.new(name)
            policy.insert(node)
            reference.insert(name)
        elif operation == "evict":
            evict()
        elif there:
            name, node = sorted(there.items())[pick % len(there)]
            if operation == "hit":
                nodes.hit(node)
                if policy.touch is not None:
                    policy.touch(node)
                reference.hit(name)
            else:
                policy.remove(there.pop(name))
                reference.remove(name)
                assert not nodes.is_linked(node)
                nodes.give_back(node)
    while evict():
        pass
    assert nodes.used in (1, 2), "the sentinels are left"
    return victims, expected


@given(operations)
def test_sieve_evicts_what_the_paper_says(trace: list[tuple[str, int]]) -> None:
    victims, expected = replay(trace, Sieve, ReferenceSieve())
    assert victims == expected


@pytest.mark.parametrize("seed", range(20))
def test_sieve_follows_the_paper_on_long_traces(seed: int) -> None:
    rng = random.Random(seed)
    kinds = ["insert", "insert", "insert", "hit", "hit", "evict", "remove"]
    trace = [(rng.choice(kinds), rng.randrange(1 << 30)) for _ in range(500)]
    victims, expected = replay(trace, Sieve, ReferenceSieve())
    assert victims == expected


@given(operations)
def test_s3_fifo_evicts_what_the_paper_says(trace: list[tuple[str, int]]) -> None:
    victims, expected = replay(trace, S3Fifo, ReferenceS3Fifo())
    assert victims == expected


@pytest.mark.parametrize("seed", range(30))
def test_s3_fifo_follows_the_paper_when_evicted_names_come_back(seed: int) -> None:
    """The table of ghosts is large enough for these few names to forget none too early."""
    rng = random.Random(seed)
    nodes, reference = Named(), ReferenceS3Fifo()
    policy = S3Fifo(nodes)
    there: dict[int, int] = {}
    for _ in range(600):
        name = rng.randrange(40)
        if name in there:
            nodes.hit(there[name])
            reference.hit(name)
            continue
        if len(there) == 20:
            victim = policy.evict()
            assert victim is not None
            assert nodes.names[victim] == reference.evict()
            del there[nodes.names[victim]]
            nodes.give_back(victim)
        there[name] = nodes.new(name)
        policy.insert(there[name])
        reference.insert(name)
        assert {n for n, node in there.items() if nodes.main[node]} == set(reference.main)


def test_what_was_evicted_long_ago_is_a_ghost_no_more() -> None:
    nodes = Named()
    policy = S3Fifo(nodes)
    kept = [nodes.new(name) for name in range(2)]
    for node in kept:
        policy.insert(node)
        nodes.hits[node] = 2
    for name in range(10, 14):
        policy.insert(nodes.new(name))
        policy.evict()
    again, forgotten = nodes.new(13), nodes.new(10)
    policy.insert(again)
    policy.insert(forgotten)
    assert [nodes.main[node] for node in (*kept, again, forgotten)] == [1, 1, 1, 0]


def test_ghosts_take_a_few_bytes_for_each_node_of_the_main_queue() -> None:
    nodes = Named()
    policy = S3Fifo(nodes)
    for name in range(5000):
        node = nodes.new(name)
        policy.insert(node)
        nodes.hits[node] = 2
    for _ in range(10):
        policy.evict()
    main = sum(nodes.main)
    assert 8 * main <= policy.bytes <= 32 * main + 512


@given(operations)
def test_lru_evicts_the_least_recently_used(trace: list[tuple[str, int]]) -> None:
    victims, expected = replay(trace, Lru, ReferenceLru())
    assert victims == expected


@pytest.mark.parametrize("make", [S3Fifo, Sieve])
@given(hit=st.lists(st.integers(0, 3), max_size=30), scan_max=st.integers(1, 4))
def test_a_bounded_scan_still_evicts_everything_once(
    make: type[S3Fifo] | type[Sieve], hit: list[int], scan_max: int
) -> None:
    nodes = Named()
    policy = make(nodes, scan_max)
    for name, hits in enumerate(hit):
        node = nodes.new(name)
        nodes.hits[node] = hits
        policy.insert(node)
    victims = []
    while (victim := policy.evict()) is not None:
        victims.append(nodes.names[victim])
    assert sorted(victims) == list(range(len(hit)))


@pytest.mark.parametrize("make", [S3Fifo, Sieve])
def test_a_policy_gives_up_scanning_at_its_limit(make: type[S3Fifo] | type[Sieve]) -> None:
    nodes = Named()
    policy = make(nodes, scan_max=3)
    numbers = [nodes.new(i) for i in range(10)]
    for node in numbers:
        policy.insert(node)
        nodes.hits[node] = 3
    assert policy.evict() == numbers[3]
    assert [nodes.hits[node] for node in numbers] == [0] * 3 + [3] * 7


def test_policies_by_name() -> None:
    made = {name: policy_named(name)(Named()) for name in ("s3fifo", "sieve", "lru")}
    assert list(map(type, made.values())) == [S3Fifo, Sieve, Lru]
    assert made["s3fifo"].touch is None
    assert made["sieve"].touch is None


def zipf_trace(seed: int, keys: int, requests: int, skew: float) -> list[int]:
    weights = list(accumulate(1 / rank**skew for rank in range(1, keys + 1)))
    return random.Random(seed).choices(range(keys), cum_weights=weights, k=requests)


def hit_ratio(make: PolicyMaker, trace: list[int], capacity: int) -> float:
    nodes = Named()
    policy = make(nodes)
    there: dict[int, int] = {}
    hits = 0
    for name in trace:
        node = there.get(name)
        if node is not None:
            hits += 1
            nodes.hit(node)
            if policy.touch is not None:
                policy.touch(node)
            continue
        if len(there) == capacity:
            victim = policy.evict()
            assert victim is not None
            del there[nodes.names[victim]]
            nodes.give_back(victim)
        there[name] = node = nodes.new(name)
        policy.insert(node)
    return hits / len(trace)


@pytest.mark.parametrize(("capacity", "gain_min"), [(100, 0.08), (1000, 0.04)])
@pytest.mark.parametrize("make", [S3Fifo, Sieve])
def test_both_hit_more_often_than_lru_on_a_zipf_trace(
    make: type[S3Fifo] | type[Sieve], capacity: int, gain_min: float
) -> None:
    trace = zipf_trace(seed=20240416, keys=10_000, requests=60_000, skew=0.9)
    ratio, lru = hit_ratio(make, trace, capacity), hit_ratio(Lru, trace, capacity)
    assert ratio >= lru + gain_min, f"{make.__name__} {ratio:.3f}, LRU {lru:.3f}"


def test_what_is_asked_for_thrice_in_a_row_hits_in_s3_fifo_but_not_in_sieve() -> None:
    """Each key a while apart, as one that is written and then read back: SIEVE's hand is where the
    newest ones are, and keeps what will not come again."""
    trace: list[int] = []
    for name in range(3000):
        trace += [name, name - 5, name - 10]
    ratios = {make: hit_ratio(make, trace, 200) for make in (S3Fifo, Sieve, Lru)}
    assert ratios[S3Fifo] > 0.6
    assert ratios[Lru] > 0.6
    assert ratios[Sieve] < 0.1


def test_a_scan_pushes_hit_entries_out_of_lru_alone() -> None:
    kept = {}
    for make in (S3Fifo, Sieve, Lru):
        nodes = Named()
        policy = make(nodes)
        hot = [nodes.new(i) for i in range(10)]
        for node in hot:
            policy.insert(node)
        for node in hot:
            nodes.hits[node] = 2
            if policy.touch is not None:
                policy.touch(node)
        for i in range(10, 30):
            policy.insert(nodes.new(i))
            if i >= 20:
                policy.evict()
        kept[make] = sum(map(nodes.is_linked, hot))
    assert kept == {S3Fifo: 10, Sieve: 10, Lru: 0}
