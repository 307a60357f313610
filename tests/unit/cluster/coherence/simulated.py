"""A cluster in one process, driven by a seed: nodes, links, leases, troubles. No traffic yet.

Time is virtual. Every node has a clock of its own, with its own rate and origin.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from cluster.coherence.guard import Fill
from cluster.coherence.messages import (
    LeaseHandBack,
    Position,
    PrimaryMessage,
    ReplicaMessage,
    Subscribe,
)
from cluster.coherence.primary import Action, Primary, Ready, Send
from cluster.coherence.replica import Action as ReplicaAction
from cluster.coherence.replica import ToPrimary
from paceline.types import Key
from tests.unit.cluster.coherence.due import Due
from tests.unit.cluster.coherence.toys import (
    BLOCK_S,
    CORRECT,
    DRIFT,
    DURATION_S,
    KEYS,
    PRIMARY_S,
    QUARANTINE_S,
    RENEW_S,
    TROUBLES,
    Kinds,
    Times,
    ToyCaches,
    ToyDynamoDB,
    Weather,
)


@dataclass(eq=False)
class Link:
    id: int
    replica: Node
    primary: Primary
    holder: Node
    up: deque[ReplicaMessage] = field(default_factory=deque)
    down: deque[PrimaryMessage] = field(default_factory=deque)
    up_at: float = 0.0
    down_at: float = 0.0
    stalled_until: float = 0.0
    cut: bool = False
    cut_above: bool = False


@dataclass(eq=False)
class Write:
    primary: Primary
    keys: tuple[Key, ...]
    knows_image: bool
    refused: bool
    fence: Position | None = None
    attempts: int = 0
    ambiguous: bool = False
    done: bool = False


@dataclass(eq=False)
class Flight:
    fill: Fill
    joined: list[dict[Key, int]]


class Node:
    def __init__(self, world: SimulatedCluster, name: str) -> None:
        self.world = world
        self.name = name
        self.starts = 0
        self.paused_until = 0.0
        self.rate = world.rng.uniform(1 - DRIFT, 1 + DRIFT)
        self.origin = world.rng.uniform(0, 1000)
        self.start()

    def start(self) -> None:
        """A new process: nothing of the former one is left."""
        self.starts += 1
        self.alive = True
        self.caches = ToyCaches()
        self.guard = self.world.kinds.guard(self.caches, QUARANTINE_S)
        self.replica = self.world.kinds.replica(
            self.name, f"{self.name}.{self.starts}", self.guard, self.world.times
        )
        self.primary: Primary | None = None
        self.link: Link | None = None
        self.links: dict[int, Link] = {}
        self.writes: dict[Position, Write] = {}
        self.flights: dict[Any, Flight] = {}
        self.target: tuple[int, Node] | None = None
        self.connecting = False
        self.granted = self.recalled = 0
        """The last epoch granted to this process, and the last one that asked for its memory."""
        self.lease_until = 0.0
        self.due = Due(strict=self.world.kinds is CORRECT)

    def now(self) -> float:
        return self.origin + self.rate * self.world.t


class SimulatedCluster:
    """Nodes, links, primary leases and troubles; ``run`` returns what happened, in counts."""

    def __init__(
        self, seed: int, kinds: Kinds = CORRECT, weather: dict[str, Any] | None = None
    ) -> None:
        """``weather``: fields of Weather to fix, the rest is as the seed wills."""
        self.seed = seed
        self.kinds = kinds
        self.rng = random.Random(seed)
        self.weather = replace(Weather.of(self.rng), **(weather or {}))
        self.t = 0.0
        self._events: list[tuple[float, int, Node | None, int, Callable[[], None]]] = []
        self._count = 0
        self._links = 0
        self.trace: deque[str] = deque(maxlen=400)
        self.counts: dict[str, int] = {}
        self.dynamodb = ToyDynamoDB()
        self.floor: dict[Key, int] = dict.fromkeys(KEYS, 0)
        """Newest version that was acknowledged or seen."""
        self.times = Times(self.weather.read_lease_s)
        self.nodes = [Node(self, f"n{i}") for i in range(self.rng.randint(3, 5))]
        self.members = frozenset(node.name for node in self.nodes[: self.rng.randint(1, 5)])
        self.epoch = 0
        self.holder: tuple[Node, int] | None = None
        self.block_until = 0.0
        self.no_renewal_until = 0.0
        self.quiet_until = 0.0

    # -- time -------------------------------------------------------------------------------

    def at(self, delay_s: float, node: Node | None, act: Callable[[], None]) -> None:
        """``act`` after ``delay_s``, unless the process it was meant for is gone by then."""
        self._count += 1
        starts = node.starts if node is not None else 0
        heapq.heappush(self._events, (self.t + delay_s, self._count, node, starts, act))

    def run(self) -> dict[str, int]:
        for act in (self._oracle, self._trouble, self._ticking, *self.traffic()):
            self.at(0, None, act)
        while self._events and self._events[0][0] <= DURATION_S:
            self.t, _, node, starts, act = heapq.heappop(self._events)
            if node is not None:
                if not node.alive or node.starts != starts:
                    continue
                if self.t < node.paused_until:
                    self.at(node.paused_until - self.t, node, act)
                    continue
            act()
        return self.counts

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def note(self, text: str) -> None:
        self.trace.append(f"{self.t:8.3f} {text}")

    def delay(self) -> float:
        """Mostly short, sometimes long."""
        rng = self.rng
        if rng.random() < self.weather.slow:
            return rng.uniform(0.05, 1.2)
        return rng.uniform(0.0005, 0.02)

    def awake(self) -> list[Node]:
        return [n for n in self.nodes if n.alive and self.t >= n.paused_until]

    # -- what the traffic does ----------------------------------------------------------------

    def ready(self, node: Node, fence: Position) -> None:
        raise NotImplementedError

    def traffic(self) -> tuple[Callable[[], None], ...]:
        """What goes on all the time besides the cluster itself."""
        raise NotImplementedError

    # -- the primary lease ------------------------------------------------------------------

    def _oracle(self) -> None:
        """Stands for the replicated log: one holder at a time, renewals, new epochs."""
        self.at(RENEW_S / 2, None, self._oracle)
        if self.holder is not None and self.t >= self.no_renewal_until:
            node, epoch = self.holder
            if node.alive and self.t >= node.paused_until:
                proposed = node.now()
                applied_s = self.delay()
                self.at(applied_s, None, partial(self._renew, node, epoch, proposed))
        if self.t >= self.block_until and self.rng.random() < 0.3:
            candidates = self.awake()
            if candidates:
                self.grant(self.rng.choice(candidates))

    def _renew(self, node: Node, epoch: int, proposed: float) -> None:
        if self.holder != (node, epoch):
            return
        self.block_until = self.t + BLOCK_S
        self.at(self.delay(), node, partial(self._renewed, node, epoch, proposed + PRIMARY_S))

    def _renewed(self, node: Node, epoch: int, until: float) -> None:
        if node.granted == epoch:
            node.lease_until = until
        if node.primary is not None and node.primary.epoch == epoch:
            node.primary.renewed(until, node.now())

    def grant(self, node: Node) -> None:
        self.epoch += 1
        self.holder = (node, self.epoch)
        self.block_until = self.t + BLOCK_S
        self.no_renewal_until = 0.0
        self.count("epochs")
        self.note(f"epoch {self.epoch} is granted to {node.name}")
        until = node.now() + PRIMARY_S
        self.at(self.rng.uniform(0, 0.1), node, partial(self._begin, node, self.epoch, until))
        for other in self.nodes:
            if other is not node:
                self.at(self.delay(), other, partial(self.follow, other, self.epoch, node))

    def _begin(self, node: Node, epoch: int, until: float) -> None:
        if self.holder == (node, epoch):
            self.begin(node, epoch, until)

    def begin(self, node: Node, epoch: int, until: float) -> None:
        """The grant has reached its holder."""
        raise NotImplementedError

    def close(self, node: Node) -> None:
        if node.primary is not None:
            self.act(node, node.primary.close(node.now()))
            node.primary = None

    # -- links ------------------------------------------------------------------------------

    def follow(self, node: Node, epoch: int, holder: Node) -> None:
        if node.target is not None and node.target[0] >= epoch:
            return
        if max(node.granted, node.recalled) > epoch:
            return
        self.close(node)
        if node.link is not None:
            self.cut(node.link)
            node.replica.disconnected(node.now())
        node.target = (epoch, holder)
        self._reconnect(node)

    def _reconnect(self, node: Node) -> None:
        if not node.connecting:
            node.connecting = True
            self.at(self.delay(), node, partial(self._connect, node))

    def _connect(self, node: Node) -> None:
        node.connecting = False
        if node.target is None or node.primary is not None:
            return
        epoch, holder = node.target
        primary = holder.primary
        if not holder.alive or primary is None or primary.epoch != epoch:
            self._reconnect(node)
            return
        self._links += 1
        link = node.link = Link(self._links, node, primary, holder)
        holder.links[link.id] = link
        self.react(node, node.replica.connect(epoch, node.now()))

    def cut(self, link: Link) -> None:
        """The replica's side is gone at once, the primary hears of it later."""
        link.cut = True
        if link.replica.link is link:
            link.replica.link = None
        self.at(self.delay(), link.holder, partial(self._unlinked, link))

    def _unlinked(self, link: Link) -> None:
        if not link.cut_above:
            link.cut_above = True
            link.primary.unlinked(link.id, link.holder.now())

    def send_up(self, link: Link, message: ReplicaMessage) -> None:
        """In order; a lost one is not repeated."""
        if self.rng.random() < self.weather.loss and not isinstance(message, Subscribe):
            return
        link.up.append(message)
        again = self.rng.random() < self.weather.doubled
        if again and not isinstance(message, Subscribe | LeaseHandBack):
            link.up.append(message)
        link.up_at = max(link.up_at, self.t + self.delay(), link.stalled_until)
        for _ in range(1 + again):
            self.at(link.up_at - self.t, link.holder, partial(self._deliver_up, link))

    def _deliver_up(self, link: Link) -> None:
        if link.cut_above or not link.up:
            return
        message = link.up.popleft()
        now = link.holder.now()
        if isinstance(message, Subscribe):
            actions = link.primary.subscribed(link.id, message, now)
        else:
            actions = link.primary.received(link.id, message, now)
            link.holder.due.received(link.primary, now)
        self.act(link.holder, actions)

    def send_down(self, link: Link, message: PrimaryMessage) -> None:
        """May be lost, doubled, and overtake the one before."""
        if self.rng.random() < self.weather.loss:
            self.count("lost")
            return
        link.down.append(message)
        if len(link.down) > 1 and self.rng.random() < self.weather.loss:
            link.down[-1], link.down[-2] = link.down[-2], link.down[-1]
        link.down_at = max(link.down_at, self.t + self.delay(), link.stalled_until)
        self.at(link.down_at - self.t, link.replica, partial(self._deliver_down, link))
        if self.rng.random() < self.weather.doubled:
            doubled_s = link.down_at - self.t + self.rng.uniform(0, 1)
            self.at(doubled_s, link.replica, partial(self._deliver_again, link, message))

    def _deliver_again(self, link: Link, message: PrimaryMessage) -> None:
        if not link.cut:
            self.react(link.replica, link.replica.replica.received(message, link.replica.now()))

    def _deliver_down(self, link: Link) -> None:
        if link.cut or not link.down:
            return
        message = link.down.popleft()
        node = link.replica
        if self.rng.random() < 0.2:
            batch = [message]
            while link.down and len(batch) < 4:
                batch.append(link.down.popleft())
            self.react(node, node.replica.received_all(batch, node.now()))
        else:
            self.react(node, node.replica.received(message, node.now()))

    def act(self, node: Node, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                link = node.links.get(action.link)
                if link is not None and not link.cut_above:
                    self.send_down(link, action.message)
            elif isinstance(action, Ready):
                self.ready(node, action.fence)
            else:
                link = node.links.get(action.link)
                if link is not None:
                    link.cut_above = True
                    self.at(self.delay(), link.replica, partial(self._broken, link))

    def react(self, node: Node, actions: list[ReplicaAction]) -> None:
        for action in actions:
            if isinstance(action, ToPrimary):
                if node.link is not None:
                    self.send_up(node.link, action.message)
                continue
            self.count("resubscriptions")
            self.note(f"{node.name} resubscribes: {action.reason}")
            if node.link is not None:
                self.cut(node.link)
            self._reconnect(node)

    def _broken(self, link: Link) -> None:
        node = link.replica
        if node.link is link:
            self.cut(link)
            node.replica.disconnected(node.now())
            self._reconnect(node)

    def _ticking(self) -> None:
        self.at(0.05, None, self._ticking)
        for node in self.awake():
            node.guard.tick(node.now())
            if node.primary is not None:
                self.act(node, node.due.tick_primary(node.primary, node.now()))
                if node.primary.drained(node.now()):
                    self.count("hand-overs")
                    self.note(f"{node.name} is drained")
                    self.close(node)
                    if self.holder is not None and self.holder[0] is node:
                        self.grant(self.rng.choice(self.awake()))
            else:
                self.react(node, node.due.tick_replica(node.replica, node.now()))

    # -- trouble ----------------------------------------------------------------------------

    def _trouble(self) -> None:
        self.at(self.rng.expovariate(1 / self.weather.trouble_s), None, self._trouble)
        node = self.rng.choice(self.nodes)
        holder = self.holder[0] if self.holder is not None else None
        if holder is not None and self.rng.random() < 0.3:
            node = holder
        troubles = self.weather.troubles
        kind = self.rng.choices(troubles, [TROUBLES[trouble] for trouble in troubles])[0]
        link = node.link
        if kind == "break" and link is not None:
            self.note(f"the link of {node.name} breaks")
            self.at(self.delay(), node, partial(self._broken, link))
            self.cut_quietly(link)
        elif kind == "stall" and link is not None:
            link.stalled_until = self.t + self.rng.uniform(0.3, 3)
        elif kind == "pause":
            until = self.t + self.rng.choice([0.5, 3, 8]) * self.rng.random()
            node.paused_until = max(node.paused_until, until)
            self.note(f"{node.name} is paused until {until:.3f}")
        elif kind == "death" and node.alive:
            self.note(f"{node.name} dies")
            node.alive = False
            self.at(self.rng.uniform(0.1, 3), None, partial(self._restart, node))
        elif kind == "no renewals":
            self.no_renewal_until = self.t + self.rng.uniform(0.5, 3)
            self.note("no renewals for a while")
        elif kind == "drain" and holder is not None and holder.alive:
            if holder.primary is not None:
                holder.primary.draining(holder.now())
        elif kind == "hand back" and link is not None and node in self.awake():
            self.count("hand-backs")
            self.note(f"{node.name} hands its lease back")
            self.react(node, node.replica.hand_back(node.now()))
            link.stalled_until = self.t + self.rng.choice([0, 0.9]) * self.rng.random()
            self.at(self.rng.uniform(0, 2), node, partial(self._broken, link))
            self.at(self.rng.uniform(1, 4), None, partial(self._replaced, node))

    def cut_quietly(self, link: Link) -> None:
        """Nothing gets through any more, and nobody knows yet."""
        link.up.clear()
        link.down.clear()
        link.cut = True
        self.at(self.delay(), link.holder, partial(self._unlinked, link))

    def _replaced(self, node: Node) -> None:
        """The process that handed its lease back serves no more; another one takes its place."""
        node.alive = False
        self._restart(node)

    def _restart(self, node: Node) -> None:
        if not node.alive:
            node.start()
            node.paused_until = 0.0
            if self.holder is not None and self.holder[0] is not node:
                epoch, holder = self.holder[1], self.holder[0]
                self.at(self.delay(), node, partial(self.follow, node, epoch, holder))
