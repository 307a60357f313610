"""What must hold of the replicated log as a whole, seen from outside of all nodes: how it is
founded, and that what was decided stays so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from cluster.consensus.core.messages import Durable, Entry, Snapshot
from tests.simulation.check import Violation


class Promising(Protocol):
    """A disk, in use or not any more."""

    @property
    def name(self) -> str: ...

    @property
    def promised(self) -> Mapping[str, str] | None:
        """What is on it of the promise: node id to disk."""


Step = Callable[[str, str], None]
"""(name of a disk, what has just become durable on it)."""

PROMISED, BEGUN = "promised", "begun"


class LogWatch:
    """Of all disks of a run. ``fail`` ends the run: what is raised within a node is that node's."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail
        self._disks: dict[str, Promising] = {}
        self._cluster_id = ""
        self._decided: dict[int, tuple[Entry, str]] = {}
        """By index, with the first disk that applied it."""
        self._lost: set[str] = set()
        self.step: Step = lambda disk, what: None

    def forget(self) -> None:
        """All disks are lost, and a new cluster is founded."""
        self._cluster_id = ""
        self._decided.clear()

    def goes_on_with(self, durable: Durable, lost: Iterable[str]) -> None:
        """A majority is lost for good. Of what it had decided, all is forgotten that the one who
        goes on has not on its disk. The lost disks may remember it."""
        self._lost.update(lost)
        kept = {entry.index: entry for entry in durable.entries}
        for index, (entry, _) in list(self._decided.items()):
            if index > durable.snapshot.index and kept.get(index) != entry:
                del self._decided[index]

    def has(self, disk: Promising) -> None:
        self._disks[disk.name] = disk

    def promised(self, disk: Promising, before: Mapping[str, str] | None) -> None:
        """A promise is durable. ``before``: the one that was there."""
        if before not in (None, disk.promised):
            self._broken(f"{disk.name} promises {disk.promised}, and had promised {before}")
        self.step(disk.name, PROMISED)

    def begun(self, disk: str, begin: Durable | None) -> None:
        """A disk has been opened by a process. ``begin``: with what, if it was new."""
        if begin is None:
            return
        voters = begin.snapshot.configuration.voters
        promised = self._promised(disk)
        if not voters and promised is not None:
            self._broken(f"{disk} promised to found with {sorted(promised)}, and joins a log")
        for voter in voters:
            found = self._promised(voter)
            if voter in self._disks and (found is None or sorted(found) != sorted(voters)):
                self._broken(
                    f"{disk} founds a log of {sorted(voters)}, while {voter} promised {found}"
                )
        self.step(disk, BEGUN)

    def applied(self, disk: str, what: Entry | Snapshot) -> None:
        if isinstance(what, Snapshot) or disk in self._lost:
            return
        known, first = self._decided.setdefault(what.index, (what, disk))
        if known is not what and known != what:
            self._broken(f"entry {what.index} is {known} at {first}, and {what} at {disk}")

    def named(self, node: str, cluster_id: str) -> None:
        """A node's log says which cluster it is."""
        if not self._cluster_id:
            self._cluster_id = cluster_id
        elif cluster_id != self._cluster_id:
            self._broken(f"{node} is in the cluster {cluster_id}, others in {self._cluster_id}")

    def _promised(self, disk: str) -> list[str] | None:
        found = self._disks.get(disk)
        promised = None if found is None else found.promised
        return None if promised is None else list(promised.values())

    def _broken(self, what: str) -> None:
        self._fail(Violation(what))
