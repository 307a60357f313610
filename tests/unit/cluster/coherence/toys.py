"""What the simulated cluster stands on: a toy DynamoDB, toy caches, the weather."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Image
from cluster.coherence.primary import Primary
from cluster.coherence.queries import Change, Dependency
from cluster.coherence.replica import Replica
from cluster.coherence.takeover import Takeover
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


def query_of(table: str, *, index: bool = False) -> Dependency:
    """What a scan of the table, or of its global index, depends on."""
    return Dependency(table, "index", is_global=True) if index else Dependency(table)


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
    members_change: float
    own_epochs: float
    troubles: tuple[str, ...] = tuple(TROUBLES)

    @classmethod
    def of(cls, rng: random.Random) -> Weather:
        return cls(
            loss=rng.choice([0.0, 0.01, 0.05, 0.15]),
            doubled=rng.choice([0.0, 0.05]),
            slow=rng.choice([0.02, 0.1, 0.3]),
            write_s=rng.choice([0.05, 0.15, 0.6]),
            trouble_s=rng.choice([0.7, 2.0, 6.0]),
            read_lease_s=rng.choice([0.6, 1.0, 1.4]),
            log_messages_max=rng.choice([3, 30, 8192]),
            members_change=rng.choice([0.0, 0.3]),
            own_epochs=rng.choice([0.0, 0.02]),
        )


@dataclass(frozen=True)
class Kinds:
    """The classes under test; a planted bug is a subclass of one of them."""

    guard: type[Guard] = Guard
    primary: type[Primary] = Primary
    replica: type[Replica] = Replica
    takeover: type[Takeover] = Takeover


CORRECT = Kinds()


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

    def change(self, key: Key, effect: Effect | None) -> Change:
        return Change.of_table(key[0])

    def drop_queries(self, table: str, touches: Sequence[IndexTouch] | None) -> None:
        self.queries.pop((table, False), None)
        self.queries.pop((table, True), None)

    def clear(self, table: str | None) -> None:
        for entries in (self.items, self.parked):
            for key in [k for k in entries if table is None or k[0] == table]:
                del entries[key]
        for name in TABLES:
            if table is None or name == table:
                self.drop_queries(name, None)
