"""A whole cluster in one process, driven by a seed: nodes, links, leases, a toy DynamoDB.

Time is virtual. Every node has a clock of its own, with its own rate and origin. Every read is
checked: a value older than one that was acknowledged, or that any reader had seen, before the
read began is ``Stale``.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from cluster.coherence.guard import Fill, Guard, Scope
from cluster.coherence.messages import (
    Image,
    LeaseHandBack,
    Outcome,
    Position,
    PrimaryMessage,
    ReplicaMessage,
    Subscribe,
)
from cluster.coherence.primary import Action, Primary, Ready, Send
from cluster.coherence.replica import Action as ReplicaAction
from cluster.coherence.replica import Replica, ToPrimary
from paceline.errors import NotSent
from paceline.types import Key

QUARANTINE_S = 2.0
LANDING_S_MAX = 0.95 * QUARANTINE_S
"""A write lands this long after it was sent at the latest."""
LAG_S_MAX = 0.95 * QUARANTINE_S
"""An eventually consistent read is at most this much behind."""
ATTEMPT_S = 1.0
PRIMARY_S = 1.5
BLOCK_S = PRIMARY_S * 1.1
RENEW_S = 0.25
DURATION_S = 30.0
DRIFT = 0.03
"""Clock rates lie within 1 plus or minus this; the protocol's margin is 0.1."""

KEYS: tuple[Key, ...] = (("t", b"1"), ("t", b"2"), ("t", b"3"), ("u", b"1"))
TABLES = {"t": KEYS[:3], "u": KEYS[3:]}


class Stale(AssertionError):
    pass


@dataclass(frozen=True)
class Times:
    read_s: float = 1.0
    margin: float = 0.1


TROUBLES = {
    "break": 25,
    "stall": 10,
    "pause": 13,
    "death": 7,
    "no renewals": 10,
    "drain": 8,
    "hand back": 27,
}


@dataclass(frozen=True)
class Weather:
    """Some worlds are calm, some are not; some write a lot."""

    loss: float
    """Part of all messages that is lost, or overtakes another."""
    doubled: float
    slow: float
    write_s: float
    trouble_s: float
    read_lease_s: float
    log_messages_max: int
    troubles: tuple[str, ...] = tuple(TROUBLES)

    @classmethod
    def of(cls, rng: Random) -> Weather:
        return cls(
            loss=rng.choice([0.0, 0.01, 0.05, 0.15]),
            doubled=rng.choice([0.0, 0.05]),
            slow=rng.choice([0.02, 0.1, 0.3]),
            write_s=rng.choice([0.05, 0.15, 0.6]),
            trouble_s=rng.choice([0.7, 2.0, 6.0]),
            read_lease_s=rng.choice([0.6, 1.0, 1.4]),
            log_messages_max=rng.choice([3, 30, 8192]),
        )


@dataclass(frozen=True)
class Kinds:
    """The classes under test; a planted bug is a subclass of one of them."""

    guard: type[Guard] = Guard
    primary: type[Primary] = Primary
    replica: type[Replica] = Replica


class ToyDynamoDB:
    """Per key every version that ever was there, with the time at which it landed."""

    def __init__(self) -> None:
        self.version = 0
        self._history: dict[Key, list[tuple[float, int]]] = {key: [(0.0, 0)] for key in KEYS}

    def write(self, keys: tuple[Key, ...], t: float) -> int:
        self.version += 1
        for key in keys:
            self._history[key].append((t, self.version))
        return self.version

    def read(self, key: Key, t: float) -> int:
        for landed, version in reversed(self._history[key]):
            if landed <= t:
                return version
        raise AssertionError("read before the beginning")


class ToyCaches:
    def __init__(self) -> None:
        self.items: dict[Key, int] = {}
        self.parked: dict[Key, int] = {}
        self.queries: dict[tuple[str, bool], dict[Key, int]] = {}

    def park(self, key: Key) -> None:
        if key in self.items:
            self.parked[key] = self.items.pop(key)

    def restore(self, key: Key) -> None:
        if key in self.parked:
            self.items[key] = self.parked.pop(key)

    def discard(self, key: Key) -> None:
        self.items.pop(key, None)
        self.parked.pop(key, None)

    def install(self, key: Key, image: Image, now: float) -> None:
        self.discard(key)
        assert image.item is not None
        self.items[key] = int(image.item)

    def drop_queries(self, table: str) -> None:
        self.queries.pop((table, False), None)
        self.queries.pop((table, True), None)

    def clear(self, table: str | None) -> None:
        for entries in (self.items, self.parked):
            for key in [k for k in entries if table is None or k[0] == table]:
                del entries[key]
        for name in TABLES:
            if table is None or name == table:
                self.drop_queries(name)


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
    def __init__(self, world: World, name: str) -> None:
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

    def now(self) -> float:
        return self.origin + self.rate * self.world.t


class World:
    """``run`` returns what happened, in counts; raises Stale when a promise was broken."""

    def __init__(
        self, seed: int, kinds: Kinds = Kinds(), weather: dict[str, Any] | None = None
    ) -> None:
        """``weather``: fields of Weather to fix, the rest is as the seed wills."""
        self.seed = seed
        self.kinds = kinds
        self.rng = Random(seed)
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
        for act in (self._oracle, self._reading, self._writing, self._trouble, self._ticking):
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

    # -- the promise ------------------------------------------------------------------------

    def seen(self, values: dict[Key, int], floor: dict[Key, int], how: str) -> None:
        """A reader gets ``values``; ``floor`` is from when it began to ask."""
        self.count(how)
        for key, version in values.items():
            if version < floor[key]:
                raise Stale(
                    f"seed {self.seed}: {how} of {key} at {self.t:.3f} gave version {version},"
                    f" but {floor[key]} was known before\n" + "\n".join(self.trace)
                )
            self.floor[key] = max(self.floor[key], version)

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
        if self.holder != (node, epoch):
            return
        self._close(node)
        if node.link is not None:
            self.cut(node.link)
            node.replica.disconnected(node.now())
        node.target = None
        node.primary = self.kinds.primary(
            node.name,
            epoch,
            self.members,
            node.guard,
            self.times,
            reset=epoch > 1,
            predecessor=None,
            lease_until=until,
            now=node.now(),
        )
        node.primary._log._messages_max = self.weather.log_messages_max

    def _close(self, node: Node) -> None:
        if node.primary is not None:
            self.act(node, node.primary.close(node.now()))
            node.primary = None

    # -- links ------------------------------------------------------------------------------

    def follow(self, node: Node, epoch: int, holder: Node) -> None:
        if node.target is not None and node.target[0] >= epoch:
            return
        if node.primary is not None and node.primary.epoch > epoch:
            return
        self._close(node)
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
                write = node.writes.get(action.fence)
                if write is not None:
                    self.at(self.delay(), node, partial(self._attempt, node, write))
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
                self.act(node, node.primary.tick(node.now()))
                if node.primary.drained(node.now()):
                    self.count("hand-overs")
                    self.note(f"{node.name} is drained")
                    self._close(node)
                    if self.holder is not None and self.holder[0] is node:
                        self.grant(self.rng.choice(self.awake()))
            else:
                self.react(node, node.replica.tick(node.now()))

    # -- writes -----------------------------------------------------------------------------

    def _writing(self) -> None:
        self.at(self.rng.expovariate(1 / self.weather.write_s), None, self._writing)
        nodes = [n for n in self.awake() if n.primary is not None]
        if self.rng.random() < 0.01:
            self.quiet_until = self.t + self.rng.uniform(1, 6)
        if not nodes or self.t < self.quiet_until:
            return
        node = self.rng.choice(nodes)
        assert node.primary is not None
        keys = tuple(self.rng.sample(KEYS, self.rng.choice([1, 1, 1, 2])))
        kind = self.rng.random()
        write = Write(node.primary, keys, knows_image=kind < 0.5, refused=kind > 0.85)
        try:
            write.fence, actions = node.primary.begin(keys, node.now())
        except NotSent:
            self.count("not begun")
            return
        self.note(f"{node.name} fences {keys} as {write.fence}")
        node.writes[write.fence] = write
        self.act(node, actions)
        self.at(self.rng.uniform(0.5, 4), node, partial(self._out_of_time, node, write))

    def _out_of_time(self, node: Node, write: Write) -> None:
        if not write.attempts and not write.done:
            self.count("never ready")
            self._settle(node, write, None, refused=True)

    def _attempt(self, node: Node, write: Write) -> None:
        if write.done:
            return
        assert write.fence is not None
        if not write.primary.may_send(write.fence, node.now()):
            self._settle(node, write, None, refused=not write.attempts)
            return
        write.attempts += 1
        answered = [False]
        fate = self.rng.random()
        # Landed is what DynamoDB does at some time after this; the answer may never come.
        landing_s = self.delay() if fate < 0.85 else self.rng.uniform(0, LANDING_S_MAX)
        if fate < 0.95:
            self.at(landing_s, None, partial(self._land, node, write, answered))
        self.at(ATTEMPT_S, node, partial(self._answer, node, write, answered, None, False))

    def _land(self, node: Node, write: Write, answered: list[bool]) -> None:
        version = None if write.refused else self.dynamodb.write(write.keys, self.t)
        if version is not None:
            self.note(f"version {version} of {write.keys} lands, fence {write.fence}")
        if self.rng.random() < 0.95:
            answer = partial(self._answer, node, write, answered, version, write.refused)
            # Not before this turn ends, and only to the process that asked.
            self.at(self.delay(), node, answer)

    def _answer(
        self, node: Node, write: Write, answered: list[bool], version: int | None, refused: bool
    ) -> None:
        if answered[0] or write.done:
            return
        answered[0] = True
        if version is None and not refused:
            write.ambiguous = True
            if write.attempts < 2 and self.rng.random() < 0.4:
                self._attempt(node, write)
                return
        self._settle(node, write, version, refused=refused)

    def _settle(self, node: Node, write: Write, version: int | None, *, refused: bool) -> None:
        assert write.fence is not None
        write.done = True
        now = node.now()
        outcome = Outcome.UNKNOWN
        images: tuple[Image | None, ...] = ()
        if not write.ambiguous and version is not None:
            outcome = Outcome.SUCCESS
            if write.knows_image:
                images = (Image(b"%d" % version),) * len(write.keys)
        elif not write.ambiguous and refused:
            outcome = Outcome.REJECTED
        orphaned = write.primary.orphaned(write.fence, now)
        node.writes.pop(write.fence, None)
        self.act(node, write.primary.settle(write.fence, outcome, images, now))
        self.count(outcome.value)
        self.note(f"{node.name} settles {write.fence} {outcome.value} orphaned={orphaned}")
        if version is not None and not orphaned:
            self.count("acknowledged")
            for key in write.keys:
                self.floor[key] = max(self.floor[key], version)

    # -- reads ------------------------------------------------------------------------------

    def _reading(self) -> None:
        self.at(self.rng.expovariate(60), None, self._reading)
        nodes = self.awake()
        if not nodes:
            return
        node = self.rng.choice(nodes)
        key = self.rng.choice(KEYS)
        kind = self.rng.random()
        if kind < 0.7:
            self._read(node, key, key, (key,), index=False)
        elif kind < 0.95:
            index = kind > 0.85
            self._read(node, (key[0], None), (key[0], index), TABLES[key[0]], index=index)
        elif kind < 0.98:
            node.caches.items.pop(key, None)
        elif kind < 0.985 and node.primary is not None:
            self.act(node, node.primary.flush(self.rng.choice([None, key[0]]), node.now()))

    def _cached(self, node: Node, name: Any, keys: tuple[Key, ...]) -> dict[Key, int] | None:
        if node.now() >= node.guard.serve_until:
            return None
        if name in node.caches.items:
            return {name: node.caches.items[name]}
        return node.caches.queries.get(name)

    def _read(
        self, node: Node, scope: Scope, name: Any, keys: tuple[Key, ...], *, index: bool
    ) -> None:
        floor = dict(self.floor)
        what = "index query" if index else "read" if scope[1] is not None else "query"
        values = self._cached(node, name, keys)
        if values is not None:
            self.seen(values, floor, f"hit, {what} on {node.name}")
            return
        flight = node.flights.get(name)
        if flight is not None and node.guard.joinable(flight.fill, node.now()):
            self.count("joined")
            flight.joined.append(floor)
            return
        fill = node.guard.begin_fill(scope, node.now(), index=index)
        if fill is not None:
            flight = node.flights[name] = Flight(fill, [])
        else:
            flight = None
        consistent = not index and (fill is None or fill.consistent)
        if index:
            floor = dict.fromkeys(KEYS, 0)  # an index is as late as DynamoDB makes it

        def serve() -> None:
            lag_s = 0.0 if consistent else self.rng.uniform(0, LAG_S_MAX)
            values = {key: self.dynamodb.read(key, max(self.t - lag_s, 0)) for key in keys}
            self.at(self.delay(), node, partial(returned, values))

        def returned(values: dict[Key, int]) -> None:
            now = node.now()
            if flight is not None:
                if node.flights.get(name) is flight:
                    del node.flights[name]
                if self.rng.random() < 0.02:
                    node.guard.abandon(flight.fill)
                elif node.guard.end_fill(flight.fill, now):
                    self.count("kept")
                    self.note(f"{node.name} keeps {values}")
                    if scope[1] is not None:
                        node.caches.install(name, Image(b"%d" % values[name]), now)
                    else:
                        node.caches.queries[name] = values
                for joined in flight.joined:
                    self.seen(values, joined, f"joined {what} on {node.name}")
            self.seen(values, floor, f"miss, {what} on {node.name}")

        slow = self.rng.random() < self.weather.slow
        self.at(self.rng.uniform(0, 4) if slow else self.delay(), None, serve)

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

    def cut_quietly(self, link: Link) -> None:
        """Nothing gets through any more, and nobody knows yet."""
        link.up.clear()
        link.down.clear()
        link.cut = True
        self.at(self.delay(), link.holder, partial(self._unlinked, link))

    def _restart(self, node: Node) -> None:
        if not node.alive:
            node.start()
            node.paused_until = 0.0
            if self.holder is not None and self.holder[0] is not node:
                epoch, holder = self.holder[1], self.holder[0]
                self.at(self.delay(), node, partial(self.follow, node, epoch, holder))
