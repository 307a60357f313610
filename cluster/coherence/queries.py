"""What query results depend on, and what a write can change in them.

Nothing here knows a schema: partitions and sort values are canonical bytes whose unsigned order is
DynamoDB's order of the values, worked out by whoever knows the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from cluster.coherence.effects import IndexTouch

QueryScope = tuple[str, str | None, bytes | None]
"""(table, index, partition), coarser than what a result depends on: fences and quarantines are
kept per partition, ranges within it count only for what there is when a fence arrives.

``(t, None, None)``: everything of the table, for a table whose schema is not known here.
``(t, BASE, p)``: the partition, in the table and in its local indexes.
``(t, BASE, None)``: some partition of those.
``(t, g, p)``, ``(t, g, None)``: the same of the global index ``g``.
``(t, GLOBALS, None)``, ``(t, GLOBALS, g)``: all entries of all global indexes, of ``g`` alone."""

BASE = ""
GLOBALS = "*"
LOCALS = "/"
"""They stand for the table itself, all its global and all its local indexes. No index can have such
a name: DynamoDB's have at least three characters."""

RANGES_MAX = 1024
"""The most ranges (results and fills of one partition of one index) that a write is compared with,
at 0.1 us each. In a larger partition it evicts all."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a result was made of: the entries of ``index`` under ``partition`` (None: all of the
    index) whose sort value is in [low, high). ``high`` None: no upper end.

    ``is_global``: the index is a global one, hence eventually consistent always. ``detached``:
    writes are not to matter.
    """

    table: str
    index: str = BASE
    is_global: bool = False
    partition: bytes | None = None
    low: bytes = b""
    high: bytes | None = None
    detached: bool = False

    def scopes(self) -> tuple[QueryScope, ...]:
        """The scopes whose fences and quarantines concern a read with this dependency."""
        table, partition = self.table, self.partition
        if self.detached:
            return ()
        if not self.is_global:
            return (table, None, None), (table, BASE, partition)
        return (
            (table, None, None),
            (table, GLOBALS, None),
            (table, GLOBALS, self.index.encode()),
            (table, self.index, partition),
        )


class Change(NamedTuple):
    """What a write of one key can change: it concerns reads of ``scopes``, and results that lie
    at ``touches`` (None: everything of the table) from before it."""

    scopes: tuple[QueryScope, ...]
    touches: tuple[IndexTouch, ...] | None

    @classmethod
    def of_table(cls, table: str) -> Change:
        """The change to assume when the table's schema is not known: everything."""
        return cls(((table, None, None),), None)


def global_scopes(table: str, touch: IndexTouch) -> tuple[QueryScope, ...]:
    """The scopes that a touch of a global index concerns."""
    if touch.partition is None:
        return (table, GLOBALS, touch.name.encode()), (table, touch.name, None)
    return (table, touch.name, touch.partition), (table, touch.name, None)


class Dependent(Protocol):
    """A result, or a read that may become one."""

    @property
    def dependency(self) -> Dependency | None: ...


D = TypeVar("D", bound=Dependent)


class _Index(Generic[D]):
    __slots__ = ("is_global", "partitions", "whole")

    def __init__(self, is_global: bool) -> None:
        self.is_global = is_global
        self.partitions: dict[bytes, dict[D, None]] = {}
        self.whole: dict[D, None] = {}
        """The dependents on the whole index."""

    def empty(self) -> bool:
        return not self.partitions and not self.whole

    def all(self) -> Iterator[D]:
        yield from self.whole
        for dependents in self.partitions.values():
            yield from dependents

    def at(self, partition: bytes | None, sort: bytes | None) -> Iterator[D]:
        if partition is None:
            yield from self.all()
            return
        yield from self.whole
        dependents = self.partitions.get(partition)
        if not dependents:
            return
        if sort is None or len(dependents) > RANGES_MAX:
            yield from dependents
            return
        for dependent in dependents:
            dependency = dependent.dependency
            assert dependency is not None
            high = dependency.high
            if dependency.low <= sort and (high is None or sort < high):
                yield dependent


class Dependents(Generic[D]):
    """Results or fills, indexed by the writes that can change them."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, _Index[D]]] = {}

    def __bool__(self) -> bool:
        return bool(self._tables)

    def __len__(self) -> int:
        return sum(
            len(index.whole) + sum(map(len, index.partitions.values()))
            for indexes in self._tables.values()
            for index in indexes.values()
        )

    def add(self, dependent: D) -> None:
        dependency = dependent.dependency
        if dependency is None or dependency.detached:
            return
        indexes = self._tables.setdefault(dependency.table, {})
        index = indexes.get(dependency.index)
        if index is None:
            index = indexes[dependency.index] = _Index(dependency.is_global)
        if dependency.partition is None:
            index.whole[dependent] = None
        else:
            index.partitions.setdefault(dependency.partition, {})[dependent] = None

    def discard(self, dependent: D) -> None:
        dependency = dependent.dependency
        if dependency is None:
            return
        indexes = self._tables.get(dependency.table)
        index = None if indexes is None else indexes.get(dependency.index)
        if indexes is None or index is None:
            return
        if dependency.partition is None:
            index.whole.pop(dependent, None)
        elif dependency.partition in index.partitions:
            dependents = index.partitions[dependency.partition]
            dependents.pop(dependent, None)
            if not dependents:
                del index.partitions[dependency.partition]
        if index.empty():
            del indexes[dependency.index]
            if not indexes:
                del self._tables[dependency.table]

    def touched(self, table: str, touches: Sequence[IndexTouch] | None) -> list[D]:
        """Returns those that a write at ``touches`` can change; some may appear several times."""
        indexes = self._tables.get(table)
        if not indexes:
            return []
        if touches is None:
            return [each for index in indexes.values() for each in index.all()]
        found: list[D] = []
        for name, partition, sort in touches:
            if name not in (GLOBALS, LOCALS):
                index = indexes.get(name)
                if index is not None:
                    found += index.at(partition, sort)
                continue
            for other, index in indexes.items():
                if index.is_global if name == GLOBALS else other and not index.is_global:
                    found += index.at(partition, sort)
        return found

    def pop_touched(self, table: str, touches: Sequence[IndexTouch] | None) -> list[D]:
        """Removes and returns what ``touched`` finds, each once."""
        found = list(dict.fromkeys(self.touched(table, touches)))
        for dependent in found:
            self.discard(dependent)
        return found


def successor(value: bytes) -> bytes:
    """The least of all byte strings above ``value``."""
    return value + b"\x00"


def prefix_end(prefix: bytes) -> bytes | None:
    """The least of all byte strings above those that begin with ``prefix``; None: there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def merged(changes: Iterable[Change]) -> tuple[QueryScope, ...]:
    """The scopes of all changes, each once."""
    return tuple(dict.fromkeys(scope for change in changes for scope in change.scopes))
