"""Which node takes the next attempt: zone, load, latency, health. Pure.

Reads stay in the client's zone while it has a node that works; among several, the better of two
that chance names ("power of two choices": Mitzenmacher 2001) by outstanding requests and latency.
Writes go to the primary, which saves a hop; any node takes them.
"""

from collections.abc import Callable, Container
from typing import Final

from paceline.client.core.breaker import Breaker
from paceline.client.core.budget import RetryBudget
from paceline.client.core.roster import Node, Roster

LATENCY_WEIGHT: Final = 0.1
"""The newest latency's weight in the moving average, so that some tens of requests count."""
LATENCY_HALF_S: Final = 1.0
"""After so long without an answer half of a latency is forgotten: who was slow is tried again."""
LATENCY_FIRST_S: Final = 0.001
"""The assumed latency of a node that was never asked: lower than most, so that it is tried soon."""


class NodeState:
    """What the client knows of a node by its own experience."""

    __slots__ = ("answered_at", "breaker", "latency_s", "node", "outstanding")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.breaker = Breaker()
        self.outstanding = 0
        self.latency_s = LATENCY_FIRST_S
        self.answered_at = float("inf")
        """When the latest answer came; infinite before the first."""

    def cost(self, now: float) -> float:
        return (self.outstanding + 1) * self.remembered_s(now)

    def remembered_s(self, now: float) -> float:
        """The latency, discounted by its age."""
        silent_s = now - self.answered_at
        if silent_s < LATENCY_HALF_S / 16:
            return self.latency_s
        kept = float(0.5 ** (silent_s / LATENCY_HALF_S))
        return max(self.latency_s * kept, LATENCY_FIRST_S / 100)


class Router:
    """``draw(n)``: a random number from 0 to n - 1."""

    def __init__(self, draw: Callable[[int], int], zone: str | None = None) -> None:
        self.zone = zone
        self.roster: Roster | None = None
        self.nodes: dict[int, NodeState] = {}
        self.retries = RetryBudget()
        self.served_at = float("-inf")
        """When any node last did what it was asked for."""
        self._draw = draw
        self._primary: NodeState | None = None
        self._local: list[NodeState] = []
        self._remote: list[NodeState] = []
        self._shunned: list[NodeState] = []

    def update(self, roster: Roster) -> list[Node]:
        """Follows a roster; gives the nodes that are gone or have other addresses now."""
        if not roster.replaces(self.roster) or not roster.nodes:
            return []
        gone = []
        known, self.nodes = self.nodes, {}
        for node in roster.nodes:
            state = known.pop(node.number, None)
            if state is None or (state.node.host, state.node.port) != (node.host, node.port):
                if state is not None:
                    gone.append(state.node)
                state = NodeState(node)
            elif state.node.incarnation != node.incarnation or (
                node.usable and not state.node.usable
            ):
                state.breaker.succeeded()  # it was started again, or somebody reached it
            state.node = node
            self.nodes[node.number] = state
        self.roster = roster
        self._sort()
        return gone + [state.node for state in known.values()]

    def set_zone(self, zone: str) -> None:
        self.zone = zone
        self._sort()

    def _sort(self) -> None:
        self._local, self._remote, self._shunned = [], [], []
        self._primary = None
        for state in self.nodes.values():
            if not state.node.usable:
                self._shunned.append(state)
                continue
            if state.node.primary:
                self._primary = state
            near = self.zone is None or state.node.zone == self.zone
            (self._local if near else self._remote).append(state)

    def pick(self, now: float, write: bool, tried: Container[int] = ()) -> Node | None:
        """A node that may be asked and is not among ``tried``; None when there is none."""
        primary = self._primary
        if (
            write
            and primary is not None
            and primary.node.number not in tried
            and primary.breaker.allows(now)
        ):
            return primary.node
        for states in (self._local, self._remote):
            if len(states) == 1 and not tried:
                if states[0].breaker.allows(now):
                    return states[0].node
                continue
            able = [s for s in states if s.node.number not in tried and s.breaker.allows(now)]
            if able:
                return self._better(able, now).node
        return None

    def _better(self, able: list[NodeState], now: float) -> NodeState:
        count = len(able)
        if count == 1:
            return able[0]
        first = self._draw(count)
        second = self._draw(count - 1)
        a, b = able[first], able[second + (second >= first)]
        return a if a.cost(now) <= b.cost(now) else b

    def last_resort(self, now: float, *, first: bool) -> Node | None:
        """A node that the roster says is unusable; for the first attempt of a call also
        the one whose breaker is open for the shortest time.

        Not for more than the first: hundreds of calls may wait for a cluster that is away.
        """
        able = [state for state in self._shunned if state.breaker.allows(now)]
        if able:
            return self._better(able, now).node
        if not first or not self.nodes:
            return None
        return min(self.nodes.values(), key=lambda state: state.breaker.retry_at).node

    def started(self, number: int, now: float, timeout_s: float) -> None:
        state = self.nodes.get(number)
        if state is not None:
            state.outstanding += 1
            if state.breaker.failures:
                state.breaker.probing(now, timeout_s)

    def finished(self, number: int, now: float, latency_s: float | None) -> None:
        """``latency_s``: None when the node gave no answer."""
        state = self.nodes.get(number)
        if state is None:
            return
        state.outstanding = max(0, state.outstanding - 1)
        if latency_s is None:
            state.breaker.failed(now)
        else:
            if state.breaker.failures:
                state.breaker.succeeded()
            before_s = state.remembered_s(now)
            state.latency_s = before_s + LATENCY_WEIGHT * (latency_s - before_s)
            state.answered_at = now
            self.retries.answered()

    def timed_out(self, number: int, now: float, began: float) -> None:
        """A node gave no answer in the time that it was given. If it answered others meanwhile
        it is slow, which avoiding it would only pass on to the rest."""
        self.retries.timed_out()
        state = self.nodes.get(number)
        if state is not None and began <= state.answered_at <= now:
            self.withdrawn(number)
        else:
            self.finished(number, now, None)

    def withdrawn(self, number: int) -> None:
        """Forgets an attempt that was given up for reasons that say nothing about the node."""
        state = self.nodes.get(number)
        if state is not None:
            state.outstanding = max(0, state.outstanding - 1)
