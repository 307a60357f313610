"""A primary and replicas on one manual clock, with every message in the test's hands."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cluster.coherence.guard import Guard
from cluster.coherence.messages import (
    Image,
    LeaseRequest,
    Outcome,
    Position,
    PrimaryMessage,
    ReplicaMessage,
    Subscribe,
)
from cluster.coherence.primary import Action, Close, Primary, Ready, Send
from cluster.coherence.replica import Action as ReplicaAction
from cluster.coherence.replica import Replica, Resubscribe, ToPrimary
from cluster.coherence.replicas import Replicas
from paceline.types import Key
from tests.unit.cluster.coherence.toys import ToyCaches

Q = 10.0
K: Key = ("t", b"1")
L: Key = ("t", b"2")
OTHER: Key = ("u", b"1")


@dataclass(frozen=True)
class Times:
    read_s: float = 1.0
    margin: float = 0.1


def image(version: int) -> Image:
    return Image(b"%d" % version)


def serving_guard() -> tuple[Guard, ToyCaches]:
    """A guard with a lease for the next 1000 seconds from 0, and its caches."""
    caches = ToyCaches()
    guard = Guard(caches, Q)
    guard.extend(1000.0, 0.0)
    return guard, caches


class LinkedReplica:
    """One replica and its link: ``down`` and ``up`` are in flight until delivered."""

    def __init__(self, rig: Rig, name: str, incarnation: str = "1") -> None:
        self.rig = rig
        self.name = name
        self.caches = ToyCaches()
        self.guard = Guard(self.caches, Q)
        self.replica = Replica(name, incarnation, self.guard, Times())
        self.link = 0
        self.up: deque[ReplicaMessage] = deque()
        self.down: deque[PrimaryMessage] = deque()
        self.resubscribe: str | None = None

    def connect(self) -> None:
        """Opens a link and delivers its Subscribe; the answer is in flight."""
        self.rig.links += 1
        self.link = self.rig.links
        self.rig.by_link[self.link] = self
        self.up.clear()
        self.down.clear()
        self.resubscribe = None
        self.react(self.replica.connect(self.rig.primary.epoch, self.rig.now))
        self.deliver_up(1)

    def react(self, actions: list[ReplicaAction]) -> None:
        for action in actions:
            if isinstance(action, ToPrimary):
                self.up.append(action.message)
            elif isinstance(action, Resubscribe):
                self.resubscribe = action.reason

    def deliver_up(self, count: int | None = None) -> None:
        for _ in range(len(self.up) if count is None else count):
            message = self.up.popleft()
            primary, now = self.rig.primary, self.rig.now
            if isinstance(message, Subscribe):
                self.rig.act(primary.subscribed(self.link, message, now))
            else:
                self.rig.act(primary.received(self.link, message, now))

    def deliver_down(self, count: int | None = None) -> None:
        for _ in range(len(self.down) if count is None else count):
            self.react(self.replica.received(self.down.popleft(), self.rig.now))

    def exchange(self) -> None:
        """Both directions until nothing is in flight."""
        while self.up or self.down:
            self.deliver_down()
            self.deliver_up()

    def renew(self) -> None:
        """Asks for a lease now and gets the answer at once."""
        while not any(isinstance(message, LeaseRequest) for message in self.up):
            self.react(self.replica._ask(self.rig.now))
        self.exchange()

    def lost(self) -> None:
        """The link breaks; what was in flight is gone. Both sides notice."""
        self.up.clear()
        self.down.clear()
        self.rig.primary.unlinked(self.link, self.rig.now)
        self.replica.disconnected(self.rig.now)

    @property
    def serving(self) -> bool:
        return self.rig.now < self.guard.serve_until

    def fill(self, key: Key, version: int) -> bool:
        """Reads ``version`` from DynamoDB at once, and keeps it if it may."""
        fill = self.guard.begin_fill(key, self.rig.now)
        if fill is None or not self.guard.end_fill(fill, self.rig.now):
            return False
        self.caches.install(key, image(version), self.rig.now)
        return True


class Rig:
    def __init__(
        self,
        replicas: str = "bc",
        *,
        members: str | None = None,
        reset: bool = False,
        epoch: int = 1,
        lease_until: float = 1000.0,
        connect: bool = True,
    ) -> None:
        self.now = 0.0
        self.links = 0
        self.by_link: dict[int, LinkedReplica] = {}
        self.ready: list[Position] = []
        self.closed: dict[int, str] = {}
        self.caches = ToyCaches()
        self.guard = Guard(self.caches, Q)
        self.members = frozenset(members if members is not None else "a" + replicas)
        self.primary = self.begin_epoch(epoch, reset=reset, lease_until=lease_until)
        self.nodes = {name: LinkedReplica(self, name) for name in replicas}
        for node in self.nodes.values():
            if connect:
                node.connect()
                node.exchange()

    def begin_epoch(
        self,
        epoch: int,
        *,
        reset: bool = False,
        lease_until: float = 1000.0,
        former: Replicas | None = None,
    ) -> Primary:
        self.primary = Primary(
            "a",
            epoch,
            self.members,
            self.guard,
            Times(),
            reset=reset,
            lease_until=lease_until,
            now=self.now,
            former=former,
        )
        return self.primary

    def __getitem__(self, name: str) -> LinkedReplica:
        return self.nodes[name]

    def act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.by_link[action.link].down.append(action.message)
            elif isinstance(action, Ready):
                self.ready.append(action.fence)
            elif isinstance(action, Close):
                self.closed[action.link] = action.reason

    def begin(self, *keys: Key) -> Position:
        fence, actions = self.primary.begin(keys, self.now)
        self.act(actions)
        return fence

    def settle(self, fence: Position, outcome: Outcome, *images: Image | None) -> None:
        self.act(self.primary.settle(fence, outcome, images, self.now))

    def write(self, key: Key, version: int | None = None) -> Position:
        """A whole successful write; ``version``: its image, if it is known."""
        fence = self.begin(key)
        self.exchange()
        assert self.primary.may_send(fence, self.now)
        images = (image(version),) if version is not None else ()
        self.settle(fence, Outcome.SUCCESS, *images)
        self.exchange()
        return fence

    def exchange(self) -> None:
        for node in self.nodes.values():
            if node.link in self.by_link and node.link not in self.closed:
                node.exchange()

    def tick(self, now: float) -> None:
        self.now = now
        self.act(self.primary.tick(now))
