"""How a log begins: with the disks that all configured founders had, as each of them says. Pure.

Each founder tells all others which disk it has. Who knows the disks of all promises this very set,
durably, and promises no other one ever. Who knows that all have promised the same set has founded
the log. So a log is founded by disks that all took part; a disk takes part in one founding; and of
two foundings, no node has the same disk in both. A founder whose disk is emptied on the way has
another one, which did not promise: the founding then stands still, and says so.

A disk that is not of the founding waits to be taken in by the log's leader, as a learner. So does
one that comes to a log which exists, whatever its node is configured with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cluster.consensus.interface import Welcome

Disks = Mapping[str, str]
"""Node id -> name of that node's disk."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a founder tells the others of itself. ``promised`` and ``founded`` are None until they
    are known."""

    node: str
    disk: str
    cluster: str
    founders: tuple[str, ...]
    promised: Disks | None = None
    founded: Disks | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """To an introduction: the other's own, and what its log says of the disk, if it has one."""

    introduction: Introduction
    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Promise:
    """The action to make the promise durable. Afterwards ``Founding.promise`` is called, and the
    introduction is told anew."""

    disks: Disks


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome that the log begins with these disks as voters. It has been founded, and nothing
    takes that back."""

    disks: Disks


@dataclass(frozen=True, slots=True)
class Join:
    """The outcome that a log exists of which this disk is no member."""


@dataclass(frozen=True, slots=True)
class Waits:
    """The outcome that the founding waits; ``reason`` says for what, in a sentence for the
    operator."""

    reason: str


Outcome = Promise | Found | Join | Waits


class Founding:
    """One founder's part, until there is a log. ``promised`` is what its disk promised before."""

    def __init__(
        self,
        node: str,
        disk: str,
        cluster: str,
        founders: Collection[str],
        promised: Disks | None = None,
    ) -> None:
        self._me = Introduction(node, disk, cluster, tuple(sorted(founders)), promised)
        if node not in self._me.founders:
            raise ValueError(f"{node} is not among the founders")
        self._heard: dict[str, Introduction] = {node: self._me}

    @property
    def introduction(self) -> Introduction:
        """Returns what is to be told to the other founders, again and again."""
        return self._me

    def hear(self, other: Introduction) -> Outcome:
        """Takes the latest introduction of a founder. One that has founded a log answers, too."""
        me = self._me
        if other.cluster != me.cluster:
            return Waits(f"{other.node} belongs to the cluster {other.cluster!r}, not to this one")
        if other.founded is not None:
            return self._exists(other.founded)
        if other.node not in me.founders:
            return Waits(f"{other.node} takes part in the founding, but is not configured here")
        if other.founders != me.founders:
            return Waits(
                f"{other.node} is configured with {', '.join(other.founders)} as founders, this "
                f"node with {', '.join(me.founders)}; all need the same PACELINE_PEERS"
            )
        self._heard[other.node] = other
        return self.outcome()

    def outcome(self) -> Outcome:
        """Returns what follows from everything that was heard until now."""
        me = self._me
        silent = [node for node in me.founders if node not in self._heard]
        if silent:
            return Waits(f"{', '.join(silent)} did not answer yet: all founders found the log")
        disks = {node: self._heard[node].disk for node in me.founders}
        if len(set(disks.values())) < len(disks):
            return Waits("two founders have the same disk: a data directory was copied")
        if me.promised is None:
            return Promise(disks)
        for node, disk in disks.items():
            if me.promised[node] != disk:
                return Waits(
                    f"{node} has another disk than when the founding began; nothing was written "
                    "yet: empty the data directories of all founders, and start them again"
                )
        late = [node for node in me.founders if self._heard[node].promised != me.promised]
        if late:
            return Waits(f"{', '.join(late)} did not promise yet")
        return Found(me.promised)

    def promise(self, disks: Disks) -> None:
        """Records that the promise is durable."""
        me = self._me
        if me.promised is not None and me.promised != disks:
            raise ValueError("a disk promises once")
        self._me = self._heard[me.node] = Introduction(
            me.node, me.disk, me.cluster, me.founders, disks
        )

    def _exists(self, founded: Disks) -> Outcome:
        if founded.get(self._me.node) != self._me.disk:
            return Join()
        if self._me.promised != founded:
            return Waits("a log was founded with this disk, which did not promise that: a copy?")
        return Found(founded)
