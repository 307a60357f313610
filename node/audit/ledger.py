"""What all samples together say: counts, and agreement in nines. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log10, sqrt
from typing import Any

from node.audit.judging import Finding

WINDOW_S = 3600.0
"""One key a second makes 3600 in an hour, enough for three nines."""
BUCKETS = 60
"""The window moves in steps of a minute."""

NODES_MAX = 64
"""Nodes with counts of their own: several generations of the largest cluster."""

_Z = 1.645
"""95 % of a normal distribution lie below it."""


def disagreement_rate_max(keys: int, disagreements: int) -> float:
    """Upper end of the one-sided 95 % confidence interval of the share of disagreements.

    Poisson, by Wilson and Hilferty's approximation: about 3 / keys without any disagreement (the
    rule of three), 4.7 / keys with one, 6.3 / keys with two. 1 without samples.
    """
    if keys == 0:
        return 1.0
    count = disagreements + 1
    bound = count * (1 - 1 / (9 * count) + _Z / (3 * sqrt(count))) ** 3
    return min(bound / keys, 1.0)


def nines(keys: int, disagreements: int) -> float:
    """How many nines of agreement the samples prove: 3.0 is 99.9 %. Few samples prove few."""
    return -log10(disagreement_rate_max(keys, disagreements)) + 0.0


@dataclass(slots=True)
class Tally:
    """Keys of which at least one node's answer was judged."""

    keys: int = 0
    disagreements: int = 0

    @property
    def nines(self) -> float:
        return nines(self.keys, self.disagreements)

    def as_dict(self) -> dict[str, Any]:
        return {
            "keys": self.keys,
            "disagreements": self.disagreements,
            "nines": round(self.nines, 2),
        }


class Ledger:
    """Counts findings by node, and keys: since the start, and in a sliding window.

    A key is one observation, however many nodes answered it: their answers are not independent.
    It disagrees if any node's answer does.
    """

    def __init__(self, window_s: float = WINDOW_S, buckets: int = BUCKETS) -> None:
        self._bucket_s = window_s / buckets
        self._buckets: deque[tuple[int, Tally]] = deque(maxlen=buckets + 1)
        self._span = buckets
        self._by_node: dict[str, dict[Finding, int]] = {}
        self.since_start = Tally()

    def record(self, findings: Mapping[str, Finding], now: float) -> None:
        for node, finding in findings.items():
            counts = self._by_node.get(node)
            if counts is None:
                if len(self._by_node) >= NODES_MAX:
                    del self._by_node[next(iter(self._by_node))]
                counts = self._by_node[node] = dict.fromkeys(Finding, 0)
            counts[finding] += 1
        found = set(findings.values())
        if not found & {Finding.AGREE, Finding.DISAGREE}:
            return
        for tally in (self.since_start, self._current(now)):
            tally.keys += 1
            tally.disagreements += Finding.DISAGREE in found

    def _current(self, now: float) -> Tally:
        number = int(now // self._bucket_s)
        if not self._buckets or self._buckets[-1][0] < number:
            self._buckets.append((number, Tally()))
        return self._buckets[-1][1]

    def window(self, now: float) -> Tally:
        """The last hour, to a minute."""
        oldest = int(now // self._bucket_s) - self._span
        recent = [tally for number, tally in self._buckets if number > oldest]
        return Tally(sum(t.keys for t in recent), sum(t.disagreements for t in recent))

    def counts(self) -> Iterator[tuple[str, Finding, int]]:
        for node, counts in self._by_node.items():
            for finding, count in counts.items():
                yield node, finding, count
