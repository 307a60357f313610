"""Whether what clients saw keeps the promises, judged by the truth about every item.

DynamoDB's own order of versions is known here, so freshness needs no search: a read that begins
after a version was acknowledged, or was read by anyone, may not return an older one. That is
linearizability for registers whose values are unique.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from paceline.types import Item, Key, Params
from paceline_local.testing.linearizability import Operation, Register, Verdict, check
from tests.simulation.dynamodb import Store
from tests.simulation.expressions import projected
from tests.simulation.outside import Outside
from tests.simulation.versions import VALUE, Record, Version


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(frozen=True, slots=True)
class Given:
    """``attributes`` as they came back for ReturnValues ``kind``; ``changed``: what was set."""

    kind: str
    changed: tuple[str, ...]
    attributes: Item

    def expected(self, before: Item | None, after: Item | None) -> Item:
        old, new = before or {}, after or {}
        match self.kind:
            case "ALL_OLD":
                return old
            case "ALL_NEW":
                return new
            case "UPDATED_OLD":
                return {name: old[name] for name in self.changed if name in old}
            case "UPDATED_NEW":
                return {name: new[name] for name in self.changed if name in new}
        return {}


STEPS_MAX = 300_000
"""Of the search, per key: about a second. Hardly any key needs a thousandth of it."""


class Checker:
    def __init__(
        self, store: Store, clock: Callable[[], float], outside: Outside | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._outside = outside
        self.foreign: set[int] = set()
        """Sequences of versions that writers outside the cluster left."""
        self.levels: dict[str, float] = {}
        """By table: what was written by then, by anybody, all nodes know."""
        self.floor: dict[Key, int] = {}
        """Sequence of the newest version that was acknowledged or seen."""
        self.history: list[Operation] = []
        """What clients saw, for a checker that does not know DynamoDB's order."""
        self._deletions: list[tuple[str, float, float | None]] = []
        """Of whole tables: name, when it began, when it was acknowledged."""
        self.reads = 0
        store.on_landed = self._landed
        self._failed: dict[str, str] = {}
        """Values of writes that surely failed, and what was said."""

    def recorded(
        self,
        key: Key,
        client: int,
        *,
        write: bool,
        value: str | None,
        begun: float,
        ended: float | None,
    ) -> None:
        """``value`` None: the item is absent. ``ended`` None: the outcome is not known."""
        if self.shared_with_outsiders(key):
            return
        kind, argument, result = ("write", value, None) if write else ("read", None, value)
        self.history.append(Operation(client, kind, key, argument, result, begun, ended))

    def verdict(self) -> Verdict:
        """Whether each key's history is linearizable, by a search that knows the history only."""
        deletions = [
            Operation(-1, "write", record.key, None, None, begun, ended)
            for table, begun, ended in self._deletions
            for record in self._store.by_table[table]
        ]
        return check([*self.history, *deletions], Register(), steps_max=STEPS_MAX)

    # -- reads --------------------------------------------------------------------------------

    def floors(self, keys: Iterable[Key]) -> dict[Key, int]:
        """To be taken when a read begins."""
        floor = self.floor
        return {key: floor.get(key, 0) for key in keys}

    def seen(
        self, key: Key, item: Item | None, floor: int, how: str, projection: Params | None = None
    ) -> None:
        self.reads += 1
        record = self._store.records[key]
        # That of a key whose bytes are those of another table's, too, may be that one's.
        floor = record.own(floor)
        version = self._which(key, record, item, floor, how, projection or {})
        if version.sequence < floor:
            raise Violation(
                f"stale: {how} of {key} gave {_name(version)}, when "
                f"{_name(self._by_sequence(record, floor))} had been acknowledged or seen before"
            )
        sequence = version.sequence
        if sequence in self.foreign:
            sequence = self._own_by(record, sequence)
        if sequence > self.floor.get(key, 0):
            self.floor[key] = sequence

    def _own_by(self, record: Record, sequence: int) -> int:
        """The last version that a client left by then: who has seen what an outsider left says
        nothing of what other nodes know of that."""
        own = (v.sequence for v in reversed(record.versions) if v.sequence < sequence)
        return next(s for s in own if s not in self.foreign)

    def shared_with_outsiders(self, key: Key) -> bool:
        """Half of the keys have writers outside the cluster, or all whose tables are deleted by
        others: clients do not see whole histories of those."""
        if self._outside is None:
            return False
        return bool(self._outside.remake_every_s) or zlib.crc32(key[1]) % 2 == 0

    def known(self, key: Key, sequence: int) -> None:
        """The cluster says that all nodes know of this version."""
        if sequence > self.floor.get(key, 0):
            self.floor[key] = sequence

    def known_since(self, table: str, since: float) -> float:
        """Of results of an index: what all nodes must know, if not more than ``since``."""
        return since if self._outside is None else min(since, self.levels.get(table, 0.0))

    def _which(
        self,
        key: Key,
        record: Record,
        item: Item | None,
        floor: int,
        how: str,
        projection: Params,
    ) -> Version:
        """The version that was read: of several absences the first that may be meant."""
        if item is not None:
            version = self._store.landed.get(item[VALUE]["S"])
            if version is None or not record.has(version):
                raise Violation(f"{how} of {key} gave {item}, which was never there")
            if version.item is None or projected(version.item, projection) != item:
                raise Violation(f"{how} of {key} gave {item} instead of {version.item}")
            return version
        absences = [v for v in record.versions if v.item is None]
        if not absences:
            raise Violation(f"{how} of {key} gave nothing, but it was always there")
        return next((v for v in absences if v.sequence >= floor), absences[-1])

    def seen_by_index(
        self, key: Key, item: Item | None, matches: Callable[[Item], bool], since: float, how: str
    ) -> None:
        """Some version that matches what was given must have been there after ``since``."""
        self.reads += 1
        record = self._store.records[key]
        versions = record.versions
        for index, version in enumerate(versions):
            gone = versions[index + 1].t if index + 1 < len(versions) else float("inf")
            if gone < since:
                continue
            if item is None:
                if version.item is None or not matches(version.item):
                    return
            elif version.item == item:
                return
        raise Violation(f"stale: {how} gave {item} for {key}, which was gone before {since:.3f}")

    @staticmethod
    def _by_sequence(record: Record, sequence: int) -> Version:
        return record.versions[record.place(sequence)]

    # -- writes -------------------------------------------------------------------------------

    def returned(self, key: Key, value: str | None, given: Given, begun: float, how: str) -> None:
        """What came back with an acknowledged write."""
        if value is not None and self._misread(key, value, begun):
            return
        versions = self._store.records[key].versions
        if value is not None:
            index = self._store.records[key].place(self._store.landed[value].sequence)
            possible = [given.expected(versions[index - 1].item, versions[index].item)]
        else:
            possible = [
                given.expected(before.item, None)
                for before, after in pairwise([*versions, versions[-1]])
                if (after.item is None and after.t >= begun) or before is after
            ]
            possible.append(given.expected(None, None))
        if given.attributes not in possible:
            raise Violation(
                f"the write of {value or 'nothing'} to {key} {how} returned {given.kind}"
                f" {given.attributes}, not {possible}"
            )

    def acknowledged(self, key: Key, value: str | None, begun: float) -> None:
        record = self._store.records[key]
        if value is not None:
            version = self._store.landed.get(value)
            if version is None:
                raise Violation(f"the write of {value} to {key} was acknowledged and never landed")
            if self._misread(key, value, begun):
                return
            sequence = version.sequence
        else:
            deleted = [
                v.sequence
                for index, v in enumerate(record.versions)
                if v.item is None
                and (index + 1 == len(record.versions) or record.versions[index + 1].t >= begun)
            ]
            if not deleted:
                raise Violation(f"the deletion of {key} was acknowledged and never landed")
            sequence = deleted[0]
        if sequence > self.floor.get(key, 0):
            self.floor[key] = sequence

    def _misread(self, key: Key, value: str, begun: float) -> bool:
        """Whether a write is of another key than was meant. DAX sends keys without their types, so
        that one of the table before is another key of a table made anew meanwhile."""
        version = self._store.landed.get(value)
        if version is None or self._store.records[key].has(version):
            return False
        made = self._store.made.get(key[0])
        if made is not None and made.created_at < begun:
            raise Violation(f"the write of {value} to {key} landed on another key")
        return True

    def table_deleted(self, table: str, begun: float, ended: float | None) -> None:
        """By way of the cluster: a write of all its keys. ``ended`` None: whether it was done is
        not known."""
        self._deletions.append((table, begun, ended))
        if ended is None:
            return
        for record in self._store.by_table[table]:
            gone = [v.sequence for v in record.versions if v.item is None and v.t >= begun]
            if gone and gone[0] > self.floor.get(record.key, 0):
                self.floor[record.key] = gone[0]

    def failed(self, value: str, why: str) -> None:
        """A client was told that nothing happened."""
        if value in self._store.landed:
            raise Violation(f"the write of {value} took effect, and its client was told: {why}")
        self._failed[value] = why

    def _landed(self, value: str) -> None:
        if value in self._failed:
            raise Violation(
                f"the write of {value} took effect after its client was told: {self._failed[value]}"
            )


def _name(version: Version) -> str:
    return f"{version.value or 'nothing'} (version {version.sequence}, of {version.t:.3f})"
