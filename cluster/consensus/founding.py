"""How a log begins: with the disks that all configured founders had, as each of them says. Pure.

Each founder tells all others which disk it has. Who knows the disks of all promises this very set,
durably, and promises no other one ever. Who knows that all have promised the same set has founded
the log. So a log is founded by disks that all took part; a disk takes part in one founding; and of
two foundings, no node has the same disk in both. A founder whose disk is emptied on the way has
another one, which did not promise: the founding then stands still, and says so.

A disk that is not of the founding waits to be taken in by the log's leader, as a learner. So does
one that comes to a log which exists, whatever its node is configured with. A disk that promised
founds that log or takes part in none: others may yet found it by its word, and it would be in two
logs under one name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Disks = Mapping[str, str]
"""Node id -> name of that node's disk."""

UNTOLD = 0
"""The number of no admission. Founders have it: their disks were named by the founding."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a node tells the others of itself. ``promised`` is None until its disk has promised;
    ``founded`` until it has a log, and empty if it does not know how that was founded.
    ``admission``: by which one it comes, as the asked node told this disk before; ``UNTOLD``
    until then, and None in the words of a release that had no such number."""

    node: str
    disk: str
    cluster: str
    founders: tuple[str, ...]
    promised: Disks | None = None
    founded: Disks | None = None
    admission: int | None = UNTOLD


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a member says to a node that shows it its disk and looks for the log. ``accepted``: the
    log has this disk as that node's, so it will be taken in. ``refusal``: why it never will be,
    ``other-disk``, ``not-a-member`` or ``former-log``; only a leader is certain of that.
    ``founders``: node id to disk of those that founded the log, as far as it says.
    ``admission``: the number of that by which the node is a member without a disk; the log takes
    its disk's name from who repeats the number. Introductions may be late by any time: one of a
    disk that was there before the node was removed and admitted again names no disk."""

    accepted: bool = False
    refusal: str = ""
    founders: Disks = field(default_factory=dict)
    admission: int = UNTOLD


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
class BeginLog:
    """The outcome that the log begins with these disks as voters. It has been founded, and nothing
    takes that back."""

    disks: Disks


@dataclass(frozen=True, slots=True)
class Join:
    """The outcome that a log exists of which this disk is no member, and which it may join.
    ``reason`` says for what it waits, in a sentence for the operator."""

    reason: str = "this disk waits to be taken in by the cluster"


@dataclass(frozen=True, slots=True)
class Waits:
    """The outcome that the founding waits; ``reason`` says for what, in a sentence for the
    operator."""

    reason: str


Outcome = Promise | BeginLog | Join | Waits


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
        self._unlike: dict[str, str] = {}
        """By node, why it cannot found the same log as this one."""

    @property
    def introduction(self) -> Introduction:
        """Returns what is to be told to the other founders, again and again."""
        return self._me

    def hear(self, other: Introduction) -> Outcome:
        """Takes the latest introduction of a founder. One that has founded a log answers, too."""
        self.unheard(other.node)
        if other.cluster == self._me.cluster and other.founded is not None:
            return self._exists(other.founded)
        if unlike := self._why_unlike(other):
            self._unlike[other.node] = unlike
        else:
            self._heard[other.node] = other
        return self.outcome()

    def unheard(self, node: str) -> None:
        """Takes that a node gives no answer. What it said before may not be so any more."""
        self._heard.pop(node, None)
        self._unlike.pop(node, None)

    def outcome(self) -> Outcome:
        """Returns what follows from what all have said last."""
        me = self._me
        if me.promised is not None and me.promised.keys() != set(me.founders):
            return Waits(
                f"this disk promised to found a log with {_list(me.promised)}, and is configured "
                f"with {_list(me.founders)}: restore PACELINE_PEERS, or empty the data directory"
            )
        if self._unlike:
            return Waits("; ".join(self._unlike.values()))
        silent = [node for node in me.founders if node not in self._heard]
        if silent:
            return Waits(f"{_list(silent)} did not answer: all founders found the log together")
        disks = {node: self._heard[node].disk for node in me.founders}
        if len(set(disks.values())) < len(disks):
            return Waits("two founders have the same disk: a data directory was copied")
        for node in me.founders:
            promised = self._heard[node].promised
            if promised is not None and promised != disks:
                return Waits(_broken(node, promised, disks))
        if me.promised is None:
            return Promise(disks)
        late = [node for node in me.founders if self._heard[node].promised is None]
        if late:
            return Waits(f"{_list(late)} did not promise yet")
        return BeginLog(me.promised)

    def promise(self, disks: Disks) -> None:
        """Records that the promise is durable."""
        me = self._me
        if me.promised is not None and me.promised != disks:
            raise ValueError("a disk promises once")
        self._me = self._heard[me.node] = Introduction(
            me.node, me.disk, me.cluster, me.founders, disks
        )

    def _why_unlike(self, other: Introduction) -> str:
        me = self._me
        if other.cluster != me.cluster:
            return f"{other.node} belongs to the cluster {other.cluster!r}, not to this one"
        if other.node not in me.founders:
            return f"{other.node} takes part in the founding, but is not configured here"
        if other.founders != me.founders:
            return (
                f"{other.node} is configured with {_list(other.founders)} as founders, this node "
                f"with {_list(me.founders)}; all need the same PACELINE_PEERS"
            )
        return ""

    def _exists(self, founded: Disks) -> Outcome:
        """``founded`` is empty of one that does not know."""
        me = self._me
        if founded.get(me.node) == me.disk:
            if me.promised == founded:
                return BeginLog(founded)
            return Waits("a log was founded with this disk, which did not promise that: a copy?")
        if me.promised is not None:
            return Waits(
                f"this disk promised to found a log with {_list(me.promised)}, but the cluster has "
                "one that was founded without it; to join that, empty the data directory"
                if founded
                else "the cluster has a log, and it is not known yet how that was founded"
            )
        if me.node in founded:
            return Join(
                f"{Join().reason}, which was founded with another disk of {me.node}; if that is "
                f"lost, remove {me.node} from the cluster and add it again"
            )
        return Join()


def _list(nodes: Collection[str]) -> str:
    return ", ".join(sorted(nodes))


def _broken(node: str, promised: Disks, disks: Disks) -> str:
    """Why nobody can keep what ``node`` promised."""
    other = [one for one in disks if promised.get(one) != disks[one]]
    return (
        f"{node} promised to found with another disk of {_list(other)} than is there now; nothing "
        "was written yet: empty the data directories of all founders, and start them again"
    )
