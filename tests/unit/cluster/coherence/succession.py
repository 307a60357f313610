"""New epochs in the simulated cluster: takeovers by memory, changes of members, own epochs."""

from __future__ import annotations

from functools import partial
from typing import Any

from cluster.coherence.replicas import Replicas
from cluster.coherence.takeover import GoOn, Takeover, take_over
from cluster.coherence.takeover_report import TakeoverReport, report_for_takeover
from tests.unit.cluster.coherence.simulated import Node, SimulatedCluster
from tests.unit.cluster.coherence.toys import CORRECT, Kinds

DECIDE_S = 0.02


class SucceedingCluster(SimulatedCluster):
    """A new holder asks the members of the epochs before, as nodes do."""

    def __init__(
        self, seed: int, kinds: Kinds = CORRECT, weather: dict[str, Any] | None = None
    ) -> None:
        super().__init__(seed, kinds, weather)
        self.epoch_members: dict[int, frozenset[str]] = {}
        self._by_name = {node.name: node for node in self.nodes}

    # -- grants -----------------------------------------------------------------------------

    def grant(self, node: Node) -> None:
        if self.epoch and self.rng.random() < self.weather.members_change:
            self._change_members()
        super().grant(node)
        self.epoch_members[self.epoch] = self.members

    def _change_members(self) -> None:
        """One more or one less."""
        outside = sorted(self._by_name.keys() - self.members)
        if outside and (len(self.members) == 1 or self.rng.random() < 0.5):
            self.members |= {self.rng.choice(outside)}
        elif len(self.members) > 1:
            self.members -= {self.rng.choice(sorted(self.members))}
        self.count("member changes")

    def _oracle(self) -> None:
        super()._oracle()
        if self.holder is None or self.rng.random() >= self.weather.own_epochs:
            return
        node = self.holder[0]
        if node in self.awake() and node.primary is not None and node.primary.holds(node.now()):
            self.grant(node)

    # -- taking over ------------------------------------------------------------------------

    def begin(self, node: Node, epoch: int, until: float) -> None:
        former = node.primary
        self.close(node)
        if node.link is not None:
            self.cut(node.link)
            node.replica.disconnected(node.now())
        node.target = None
        node.granted = epoch
        node.lease_until = until
        if former is not None and former.epoch == epoch - 1:
            self.count("own epochs")
            self.start_epoch(node, epoch, self.members, reset=False, former=former.replicas)
        elif epoch == 1:
            self.start_epoch(node, epoch, self.members, reset=False)
        else:
            self._ask(node, epoch)

    def _ask(self, node: Node, epoch: int) -> None:
        now = node.now()
        earlier = {e: members for e, members in self.epoch_members.items() if e < epoch}
        position = node.guard.position
        takeover = self.kinds.takeover(
            node.name, epoch, earlier, report_for_takeover(node.guard, position, now), now
        )
        for name in sorted(takeover.asked):
            asked = partial(self._recalled, node, takeover, self._by_name[name], epoch)
            if self.rng.random() < self.weather.loss:
                continue
            self.at(self.delay(), self._by_name[name], asked)
        self.at(DECIDE_S, node, partial(self._decide, node, takeover, epoch))

    def _recalled(self, asker: Node, takeover: Takeover, node: Node, epoch: int) -> None:
        if epoch <= max(node.granted, node.recalled - 1):
            self.at(self.delay(), asker, partial(takeover.failed, node.name))
            return
        node.recalled = epoch
        self.close(node)
        if node.target is not None and node.target[0] < epoch:
            if node.link is not None:
                self.cut(node.link)
                node.replica.disconnected(node.now())
            node.target = None
        node.guard.lapse(node.now())
        report: TakeoverReport = report_for_takeover(node.guard, asker.guard.position, node.now())
        self.at(self.delay(), asker, partial(takeover.answered, node.name, report))

    def _decide(self, node: Node, takeover: Takeover, epoch: int) -> None:
        if self.holder != (node, epoch) or node.granted != epoch:
            return
        decision = takeover.decide(node.now())
        if decision is None:
            self.at(DECIDE_S, node, partial(self._decide, node, takeover, epoch))
            return
        if isinstance(decision, GoOn):
            self.count("takeovers")
            self.note(f"{node.name} takes over at {decision.report.position}")
            before = node.guard.position
            take_over(node.guard, decision, node.now())
            if before is not None and before != node.guard.position:
                self.count("tails" if node.caches.items else "tails or resets")
        else:
            self.count("fresh starts")
            self.note(f"{node.name} starts over: {decision.reason}")
        reset = not isinstance(decision, GoOn)
        self.start_epoch(node, epoch, self.epoch_members[epoch], reset=reset)

    def start_epoch(
        self,
        node: Node,
        epoch: int,
        members: frozenset[str],
        *,
        reset: bool,
        former: Replicas | None = None,
    ) -> None:
        node.guard.log.messages_max = self.weather.log_messages_max
        node.primary = self.kinds.primary(
            node.name,
            epoch,
            members,
            node.guard,
            self.times,
            reset=reset,
            lease_until=node.lease_until,
            now=node.now(),
            former=former,
        )
