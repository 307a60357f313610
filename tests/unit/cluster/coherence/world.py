"""The simulated cluster under traffic, with every read checked.

A read that gives a value older than one that was acknowledged, or that any reader had seen, before
the read began is ``Stale``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cluster.coherence.messages import Image, Outcome, Position
from paceline.errors import NotSent
from paceline.types import Key
from tests.unit.cluster.coherence.simulated import Flight, Node, Write
from tests.unit.cluster.coherence.succession import SucceedingCluster
from tests.unit.cluster.coherence.toys import (
    ATTEMPT_S,
    KEYS,
    LAG_S_MAX,
    LANDING_S_MAX,
    TABLES,
    query_of,
)


class Stale(AssertionError):
    pass


class World(SucceedingCluster):
    """``run`` raises Stale when the promise was broken."""

    @property
    def operations(self) -> int:
        """Reads that got an answer and writes that ended, so far."""
        ends = ("success", "rejected", "unknown", "hit,", "miss,", "joined ")
        return sum(count for what, count in self.counts.items() if what.startswith(ends))

    def traffic(self) -> tuple[Callable[[], None], ...]:
        return self._reading, self._writing

    def ready(self, node: Node, fence: Position) -> None:
        write = node.writes.get(fence)
        if write is not None:
            self.at(self.delay(), node, partial(self._attempt, node, write))

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
            self._read(node, None, (key[0], index), TABLES[key[0]], index=index)
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
        self, node: Node, key: Key | None, name: Any, keys: tuple[Key, ...], *, index: bool
    ) -> None:
        """``key``: of an item, None: a query."""
        floor = dict(self.floor)
        what = "index query" if index else "read" if key is not None else "query"
        values = self._cached(node, name, keys)
        if values is not None:
            self.seen(values, floor, f"hit, {what} on {node.name}")
            return
        flight = node.flights.get(name)
        if flight is not None and node.guard.joinable(flight.fill, node.now()):
            self.count("joined")
            flight.joined.append(floor)
            return
        if key is not None:
            fill = node.guard.begin_fill(key, node.now())
        else:
            fill = node.guard.begin_query(query_of(name[0], index=index), node.now())
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
                    if key is not None:
                        node.caches.install(name, Image(b"%d" % values[name]), now)
                    else:
                        node.caches.queries[name] = values
                for joined in flight.joined:
                    self.seen(values, joined, f"joined {what} on {node.name}")
            self.seen(values, floor, f"miss, {what} on {node.name}")

        slow = self.rng.random() < self.weather.slow
        self.at(self.rng.uniform(0, 4) if slow else self.delay(), None, serve)
