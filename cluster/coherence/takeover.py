"""A new primary goes on from what the old epoch's members report, or starts over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Position
from cluster.coherence.takeover_report import (
    UNKNOWN_BYTES_MAX,
    TakeoverReport,
    bytes_of,
    follows,
    reflect,
)
from paceline.types import Key

ANSWERS_S = 0.5
"""How long to wait for the reports of a majority before starting over. Writes wait meanwhile."""

GRACE_S = 0.05
"""How long to wait for the remaining answers once there are enough. A member whose later position
comes too late loses its warm cache, nothing else."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """The epoch may begin without a Reset, from the report of ``source``.

    ``unknown`` and ``all_unknown``: of all who answered.
    """

    source: str
    report: TakeoverReport
    unknown: tuple[Key, ...]
    all_unknown: bool


@dataclass(frozen=True, slots=True)
class StartOver:
    """The epoch must begin with a Reset and all keys unknown."""

    reason: str


Decision = GoOn | StartOver


class Takeover:
    """Collects the members' reports for a new epoch, and decides whether they suffice.

    Every write that may have reached DynamoDB was fenced at more than half of the members of its
    epoch before it went out. So more than half of the members of *every* epoch that a fence may
    be left from know, together, all such fences. Those are the epochs from the one of the latest
    position on: what came before is settled or unknown in there, and an epoch of which nobody
    knows a message had no fence at a majority.

    A member with a position in an older epoch counts: it has acknowledged no later fence, and
    would know if it had. One that has no position does not, though it may have acknowledged.
    """

    def __init__(
        self,
        node_id: str,
        epoch: int,
        members: Mapping[int, frozenset[str]],
        own: TakeoverReport,
        now: float,
    ) -> None:
        """``members``: of the epochs before ``epoch``, as far back as is known. ``own``: this
        node's report, from before the new epoch."""
        self._node_id = node_id
        self._epoch = epoch
        self._members = members
        self._reports = {node_id: own}
        self._pending = self.asked
        self._ends_at = now + ANSWERS_S
        self._enough_at: float | None = None

    @property
    def asked(self) -> frozenset[str]:
        """The nodes to ask: the other members of all epochs that may matter."""
        return frozenset().union(*self._members.values()) - {self._node_id}

    def answered(self, node_id: str, report: TakeoverReport) -> None:
        if node_id in self._pending:
            self._reports[node_id] = report
            self._pending -= {node_id}

    def failed(self, node_id: str) -> None:
        """The node will not answer: it cannot be reached, or knows of a later epoch."""
        self._pending -= {node_id}

    def decide(self, now: float) -> Decision | None:
        """Decides, or returns None: wait, at most until ``next_deadline``."""
        missing = self._missing()
        if missing is None:
            if self._enough_at is None:
                self._enough_at = now
            if not self._pending or now >= min(self._enough_at + GRACE_S, self._ends_at):
                return self._go_on()
        elif not self._pending or now >= self._ends_at:
            return StartOver(missing)
        return None

    def next_deadline(self) -> float:
        if self._enough_at is not None:
            return min(self._enough_at + GRACE_S, self._ends_at)
        return self._ends_at

    def _top(self) -> tuple[str, Position] | None:
        """Who is furthest, this node before others; None when nobody has a report."""
        best: tuple[str, Position] | None = None
        for node_id, report in self._reports.items():
            if report.position is not None and (best is None or report.position > best[1]):
                best = node_id, report.position
        return best

    def _missing(self) -> str | None:
        """Why the reports at hand are not enough; None: they are."""
        top = self._top()
        if top is None:
            return "no member has a message of the epochs before"
        reporting = {n for n, report in self._reports.items() if report.position is not None}
        for epoch in range(top[1].epoch, self._epoch):
            members = self._members.get(epoch)
            if members is None:
                return f"the members of epoch {epoch} are not known any more"
            if len(members) == 2:
                return f"epoch {epoch} had two members, whose fences need no majority"
            if 2 * len(reporting & members) <= len(members):
                have = ", ".join(sorted(reporting & members)) or "nobody"
                return f"of {len(members)} members of epoch {epoch} only {have} have a position"
        return None

    def _go_on(self) -> GoOn:
        top = self._top()
        assert top is not None
        unknown: dict[Key, None] = {}
        for report in self._reports.values():
            unknown.update(dict.fromkeys(report.unknown))
        all_unknown = any(report.all_unknown for report in self._reports.values())
        if all_unknown or bytes_of(unknown) > UNKNOWN_BYTES_MAX:
            unknown, all_unknown = {}, True
        return GoOn(top[0], self._reports[top[0]], tuple(unknown), all_unknown)


def take_over(guard: Guard, decision: GoOn, now: float) -> None:
    """Makes ``guard`` reflect the streams up to the decision's position, as a replica that was
    never behind would: by the messages that it missed, or else with empty caches. A Primary that
    begins now leads on from there."""
    report = decision.report
    assert report.position is not None
    if guard.position is not None:
        for message in report.tail or ():
            if not follows(guard.position, message):
                break
            reflect(guard, message, now)
    if guard.position != report.position:
        guard.reset(report.fences, decision.unknown, decision.all_unknown, now)
        guard.log.clear()
        guard.position = report.position
    else:
        guard.join(report.fences, decision.unknown, decision.all_unknown, now)
