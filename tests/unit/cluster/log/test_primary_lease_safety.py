"""At most one holder at any real instant, under random schedules.

A perfect log stands in for consensus; everything around it is bad: proposals are delayed, lost
and committed long after their proposer gave up on them, applies lag behind, several nodes
believe that they lead Raft, clocks run at different rates, processes pause and restart (with a
replay of the log, or from a snapshot).
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from cluster.log.commands import Bootstrap, Command, Grant, Release, decode, encode
from cluster.log.primary_lease import NEVER, Acquired, Action, LeaseKeeper, Lost, Propose, Renewed
from cluster.log.state import ReplicatedState

IDS = ("n1", "n2", "n3")
DURATION_S, RENEW_S, MARGIN = 1.5, 0.25, 0.1
RATE_ERROR = 0.045
"""Within the margin: (1 + 0.1) / (1 + r) >= 1 / (1 - r) up to r = 0.0476."""


def new_state() -> ReplicatedState:
    return ReplicatedState(lambda names: 2)


@dataclass
class Node:
    id: str
    rate: float
    offset: float
    keeper: LeaseKeeper
    state: ReplicatedState = field(default_factory=new_state)
    incarnation: int = 0
    applied: int = 0
    replay_to: int = 0
    paused_until: float = 0.0
    leads: bool = False
    believed: tuple[float, float] | None = None
    """Real time of the acquisition and of the end as this node's clock will count it."""

    def clock(self, real: float) -> float:
        return self.offset + real * self.rate

    def real(self, clock: float) -> float:
        return (clock - self.offset) / self.rate


class World:
    def __init__(
        self,
        seed: int,
        rate_error: float = RATE_ERROR,
        keeper: Callable[[str, str], LeaseKeeper] | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.log: list[Command] = [Bootstrap("c", dict(zip(IDS, IDS, strict=True)))]
        self.logged_at = [0.0]
        self.state = new_state()
        self.state.apply_command(self.log[0])
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.tick_number = 0
        self.make_keeper = keeper or (
            lambda id_, incarnation: LeaseKeeper(id_, incarnation, DURATION_S, RENEW_S, MARGIN)
        )
        self.nodes = [
            Node(
                id_,
                1 + self.rng.uniform(-rate_error, rate_error),
                self.rng.uniform(0, 1e6),
                self.make_keeper(id_, "0"),
            )
            for id_ in IDS
        ]
        self.intervals: list[tuple[float, float, str]] = []
        self.acquisitions = 0

    def at(self, delay: float, action: Callable[[], None]) -> None:
        self.tick_number += 1
        heapq.heappush(self.events, (self.now + delay, self.tick_number, action))

    def delay(self) -> float:
        """Mostly a few milliseconds, sometimes longer than a lease."""
        if self.rng.random() < 0.9:
            return self.rng.expovariate(200)
        return self.rng.uniform(0, 3 * DURATION_S)

    def run(self, real_s: float) -> None:
        for node in self.nodes:
            self.at(self.rng.random() * 0.1, lambda n=node: self.tick(n))  # type: ignore[misc]
        self.at(0.1, self.disturb)
        while self.events and self.events[0][0] < real_s:
            self.now, _, action = heapq.heappop(self.events)
            action()
        for node in self.nodes:
            self.end(node, self.now)

    def disturb(self) -> None:
        rng = self.rng
        node = rng.choice(self.nodes)
        match rng.randrange(6):
            case 0:
                node.paused_until = self.now + rng.uniform(0, 2.5 * DURATION_S)
            case 1:
                self.restart(node)
            case 2:
                self.act(node, node.keeper.release(node.clock(self.now)))
                self.at(rng.uniform(0, 3), node.keeper.resume)
            case 3:
                node.keeper.want_new_epoch()
            case _:
                for other in self.nodes:
                    other.leads = rng.random() < 0.4
        self.at(rng.uniform(0.05, 1.5), self.disturb)

    def restart(self, node: Node) -> None:
        self.end(node, self.now)
        node.incarnation += 1
        node.keeper = self.make_keeper(node.id, str(node.incarnation))
        node.state = new_state()
        node.replay_to = len(self.log)
        node.applied = 0
        node.paused_until = self.now + self.rng.uniform(0, 2)
        if self.rng.random() < 0.5:
            node.state.restore(self.state.snapshot())
            node.applied = len(self.log)
            now = node.clock(self.now)
            self.act(node, node.keeper.restored(node.state.lease, now))

    def tick(self, node: Node) -> None:
        if self.now >= node.paused_until:
            target = len(self.log) if self.rng.random() < 0.8 else node.applied
            while node.applied < target:
                self.apply_next(node)
            actions = node.keeper.tick(
                node.clock(self.now), node.leads, node.applied >= node.replay_to, IDS
            )
            self.act(node, actions)
        self.at(self.rng.uniform(0.01, 0.06), lambda: self.tick(node))

    def apply_next(self, node: Node) -> None:
        command = self.log[node.applied]
        replayed = node.applied < node.replay_to
        result = node.state.apply_command(command)
        node.applied += 1
        now = node.clock(self.now)
        # It may have come as soon as it was in the log; what is replayed came to another process.
        came_at = now if replayed else node.clock(self.logged_at[node.applied - 1])
        self.act(
            node, node.keeper.applied(command, result, node.state.lease, replayed, now, came_at)
        )

    def act(self, node: Node, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Propose(command):
                    self.propose(node, command)
                case Acquired(until=until):
                    self.end(node, self.now)
                    node.believed = (self.now, node.real(until))
                    self.acquisitions += 1
                case Renewed(until):
                    assert node.believed is not None
                    node.believed = (node.believed[0], node.real(until))
                case Lost():
                    self.end(node, self.now)
                case _:
                    pass

    def end(self, node: Node, real: float) -> None:
        if node.believed is not None:
            start, until = node.believed
            self.intervals.append((start, min(until, real), node.id))
            node.believed = None

    def propose(self, node: Node, command: Grant | Release) -> None:
        fate = self.rng.random()
        keeper = node.keeper
        if fate < 0.1:
            return
        if fate < 0.15:
            self.at(
                self.rng.random() * 0.05,
                lambda: keeper.not_committed(command, node.clock(self.now)),
            )
            return
        self.at(self.delay(), lambda: self.commit(command))

    def commit(self, command: Command) -> None:
        command = decode(encode(command))
        self.log.append(command)
        self.logged_at.append(self.now)
        self.state.apply_command(command)

    def overlaps(self) -> list[tuple[tuple[float, float, str], tuple[float, float, str]]]:
        ordered = sorted(self.intervals)
        found = []
        for i, first in enumerate(ordered):
            for second in ordered[i + 1 :]:
                if second[0] >= first[1]:
                    break
                found.append((first, second))
        return found


@pytest.mark.parametrize("seed", range(30))
def test_at_most_one_holder_at_any_instant(seed: int) -> None:
    world = World(seed)
    world.run(60.0)
    assert world.overlaps() == [], f"seed {seed}"


@pytest.mark.full(minutes=1)
def test_at_most_one_holder_in_more_schedules() -> None:
    for seed in range(30, 600):
        test_at_most_one_holder_at_any_instant(seed)


def test_the_schedules_do_get_holders() -> None:
    counts = []
    for seed in range(20):
        world = World(seed)
        world.run(60.0)
        counts.append(len({i[2] for i in world.intervals}))
        assert world.acquisitions >= 3, f"seed {seed}"
    assert counts.count(3) >= 10


class CountsFromTheApply(LeaseKeeper):
    def _believe(self, until: float, started: float, now: float) -> list[Action]:
        return super()._believe(now + DURATION_S, now, now)


class DoesNotBlock(LeaseKeeper):
    def tick(
        self, now: float, raft_leader: bool, synced: bool, members: tuple[str, ...]
    ) -> list[Action]:
        self._block_until = NEVER
        return super().tick(now, raft_leader, synced, members)


class BelievesWhileReleasing(LeaseKeeper):
    def release(self, now: float) -> list[Action]:
        self._releasing = True
        return []


class TrustsReplays(LeaseKeeper):
    def restored(self, record, now):  # type: ignore[no-untyped-def]
        actions = super().restored(record, now)
        if record.holder == self._me:
            actions += self._believe(now + record.duration_s, now, now)
        return actions


class CountsFromBeforeTheProposal(LeaseKeeper):
    def applied(  # type: ignore[no-untyped-def]
        self, command, result, record, replayed, now, came_at
    ):
        return super().applied(
            command, result, record, replayed, now, came_at - DURATION_S * (MARGIN + 0.05)
        )


@pytest.mark.parametrize(
    "broken",
    [
        CountsFromTheApply,
        DoesNotBlock,
        BelievesWhileReleasing,
        TrustsReplays,
        CountsFromBeforeTheProposal,
    ],
)
def test_the_schedules_find_broken_keepers(broken: type[LeaseKeeper]) -> None:
    for seed in range(60):
        world = World(seed, keeper=lambda id_, inc: broken(id_, inc, DURATION_S, RENEW_S, MARGIN))
        world.run(60.0)
        if world.overlaps():
            return
    pytest.fail(f"no seed of 60 caught {broken.__name__}")


def test_the_schedules_find_clocks_beyond_the_margin() -> None:
    for seed in range(60):
        world = World(seed, rate_error=0.3)
        world.run(60.0)
        if world.overlaps():
            return
    pytest.fail("no seed of 60 caught clocks that differ by more than the margin")
