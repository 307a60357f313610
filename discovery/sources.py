"""Decides which report about the cluster to accept, and which node to ask next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.log.view import MEMBERS, ClusterView

STALE_S = 2.0
"""A source whose view nobody confirmed for so long may be cut off from the others: ask another."""
OVERTAKE_S = 5.0
"""An earlier epoch is accepted only if its view was confirmed so much later than ours. Within
one cluster that cannot happen; it does after the cluster was wiped and started again."""
SEEDS_MAX = 64
"""The most addresses, configured and learned ones together."""
BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """A view as ``source`` reported it. ``confirmed_at`` is on our clock: receipt minus age."""

    source: str
    view: ClusterView
    confirmed_at: float


class LatestView:
    """The latest accepted report. Its epoch never goes back while its view is being confirmed."""

    def __init__(self) -> None:
        self.report: Report | None = None

    def accept(self, new: Report) -> bool:
        """Replaces the latest report by ``new`` and returns True, or returns False and keeps it."""
        if not new.view.members:
            return False
        if self.report is not None and not self._better(new, self.report):
            return False
        self.report = new
        return True

    @staticmethod
    def _better(new: Report, old: Report) -> bool:
        later_s = new.confirmed_at - old.confirmed_at
        if new.view.cluster_id != old.view.cluster_id or new.view.epoch < old.view.epoch:
            return later_s > OVERTAKE_S
        if new.view.epoch > old.view.epoch or new.source == old.source:
            return True
        return later_s >= 0.0


class Seeds:
    """Addresses to follow, tried in turn: the configured ones, then the members of the view.

    ``next`` never repeats one before all others had their turn. ``backoff_s`` is 0 until every
    seed failed since the last success, then doubles with every round.
    """

    def __init__(self, configured: Sequence[str]) -> None:
        self._configured = tuple(dict.fromkeys(configured))
        self._turn: list[str] = list(self._configured)
        self._failures = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(self._turn)

    def learn(self, view: ClusterView) -> None:
        """Takes the view's members as seeds. Members that left are forgotten, unless configured."""
        learned = (m.addresses.get(MEMBERS, "") for m in view.members)
        wanted = list(dict.fromkeys([*self._configured, *_present(learned)]))[:SEEDS_MAX]
        kept = [a for a in self._turn if a in wanted]
        self._turn = kept + [a for a in wanted if a not in kept]

    def next(self) -> str:
        address = self._turn.pop(0)
        self._turn.append(address)
        return address

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1

    @property
    def backoff_s(self) -> float:
        rounds = self._failures // max(1, len(self._turn))
        if rounds == 0:
            return 0.0
        return float(min(BACKOFF_MIN_S * 2 ** min(rounds - 1, 10), BACKOFF_MAX_S))


def _present(addresses: Iterable[str]) -> list[str]:
    return [address for address in addresses if address]
