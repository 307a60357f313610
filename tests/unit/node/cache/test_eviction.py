"""S3-FIFO, SIEVE and LRU against models of a few lines, and against each other."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cache.eviction import SMALL_SHARE, Linked, Lru, Policy, S3Fifo, Sieve, policy_named


class Named(Linked):
    __slots__ = ("name",)

    def __init__(self, name: int) -> None:
        super().__init__()
        self.name = name

    @property
    def identity(self) -> int:
        return self.name


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

    def replace(self, old: int, new: int) -> None:
        self.order[self.order.index(old)] = new
        self.hits[new] = self.hits.pop(old)
        if self.hand == old:
            self.hand = new

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

    def replace(self, old: int, new: int) -> None:
        queue = self._queue(old)
        queue[queue.index(old)] = new
        self.hits[new] = self.hits.pop(old)

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
                node.hits = min(node.hits + 1, 3)
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
def test_s3_fifo_evicts_what_the_paper_says(trace: list[tuple[str, int]]) -> None:
    victims, expected = replay(trace, S3Fifo(), ReferenceS3Fifo())
    assert victims == expected


@pytest.mark.parametrize("seed", range(30))
def test_s3_fifo_follows_the_paper_when_evicted_names_come_back(seed: int) -> None:
    """The table of ghosts is large enough for these few names to forget none too early."""
    rng = random.Random(seed)
    policy, reference = S3Fifo(), ReferenceS3Fifo()
    nodes: dict[int, Named] = {}
    for _ in range(600):
        name = rng.randrange(40)
        if name in nodes:
            nodes[name].hits = min(nodes[name].hits + 1, 3)
            reference.hit(name)
            continue
        if len(nodes) == 20:
            victim = policy.evict()
            assert isinstance(victim, Named)
            assert victim.name == reference.evict()
            del nodes[victim.name]
        nodes[name] = Named(name)
        policy.insert(nodes[name])
        reference.insert(name)
        assert {n.name for n in nodes.values() if n.main} == set(reference.main)


def test_what_was_evicted_long_ago_is_a_ghost_no_more() -> None:
    policy = S3Fifo()
    kept = [Named(name) for name in range(2)]
    for node in kept:
        policy.insert(node)
        node.hits = 2
    for name in range(10, 14):
        policy.insert(Named(name))
        policy.evict()
    again, forgotten = Named(13), Named(10)
    policy.insert(again)
    policy.insert(forgotten)
    assert [node.main for node in (*kept, again, forgotten)] == [True, True, True, False]


def test_ghosts_take_a_few_bytes_for_each_node_of_the_main_queue() -> None:
    policy = S3Fifo()
    nodes = [Named(name) for name in range(5000)]
    for node in nodes:
        policy.insert(node)
        node.hits = 2
    for _ in range(10):
        policy.evict()
    main = sum(node.main for node in nodes)
    assert 8 * main <= policy.bytes <= 32 * main + 512


@given(operations)
def test_lru_evicts_the_least_recently_used(trace: list[tuple[str, int]]) -> None:
    victims, expected = replay(trace, Lru(), ReferenceLru())
    assert victims == expected


@pytest.mark.parametrize("make", [S3Fifo, Sieve])
@given(hit=st.lists(st.integers(0, 3), max_size=30), scan_max=st.integers(1, 4))
def test_a_bounded_scan_still_evicts_everything_once(
    make: type[S3Fifo] | type[Sieve], hit: list[int], scan_max: int
) -> None:
    policy = make(scan_max)
    for name, hits in enumerate(hit):
        node = Named(name)
        node.hits = hits
        policy.insert(node)
    victims = []
    while (victim := policy.evict()) is not None:
        assert isinstance(victim, Named)
        victims.append(victim.name)
    assert sorted(victims) == list(range(len(hit)))


@pytest.mark.parametrize("make", [S3Fifo, Sieve])
def test_a_policy_gives_up_scanning_at_its_limit(make: type[S3Fifo] | type[Sieve]) -> None:
    policy = make(scan_max=3)
    nodes = [Named(i) for i in range(10)]
    for node in nodes:
        policy.insert(node)
        node.hits = 3
    assert policy.evict() is nodes[3]
    assert [node.hits for node in nodes] == [0] * 3 + [3] * 7


def test_policies_by_name() -> None:
    assert isinstance(policy_named("s3fifo"), S3Fifo)
    assert policy_named("s3fifo").touch is None
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
            node.hits = min(node.hits + 1, 3)
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
@pytest.mark.parametrize("make", [S3Fifo, Sieve])
def test_both_hit_more_often_than_lru_on_a_zipf_trace(
    make: type[S3Fifo] | type[Sieve], capacity: int, gain_min: float
) -> None:
    trace = zipf_trace(seed=20240416, keys=10_000, requests=60_000, skew=0.9)
    ratio, lru = hit_ratio(make(), trace, capacity), hit_ratio(Lru(), trace, capacity)
    assert ratio >= lru + gain_min, f"{make.__name__} {ratio:.3f}, LRU {lru:.3f}"


def test_what_is_asked_for_thrice_in_a_row_hits_in_s3_fifo_but_not_in_sieve() -> None:
    """Each key a while apart, as one that is written and then read back: SIEVE's hand is where the
    newest ones are, and keeps what will not come again."""
    trace: list[int] = []
    for name in range(3000):
        trace += [name, name - 5, name - 10]
    ratios = {make: hit_ratio(make(), trace, 200) for make in (S3Fifo, Sieve, Lru)}
    assert ratios[S3Fifo] > 0.6
    assert ratios[Lru] > 0.6
    assert ratios[Sieve] < 0.1


def test_a_scan_pushes_hit_entries_out_of_lru_alone() -> None:
    kept = {}
    for policy in (S3Fifo(), Sieve(), Lru()):
        hot = [Named(i) for i in range(10)]
        for node in hot:
            policy.insert(node)
        for node in hot:
            node.hits = 2
            if policy.touch is not None:
                policy.touch(node)
        for i in range(10, 30):
            policy.insert(Named(i))
            if i >= 20:
                policy.evict()
        kept[type(policy)] = sum(node.linked for node in hot)
    assert kept == {S3Fifo: 10, Sieve: 10, Lru: 0}
