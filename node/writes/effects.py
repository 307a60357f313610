"""What a write may change in its table's indexes, worked out at the primary before it is sent.
Pure, given a clock.

An index holds an item under the index's key attributes, if the item has them all. So a write
touches the index where the item lies before it and where it lies after it: nothing is known of
either beyond the item's own key, unless the primary has the item cached, and the request says what
becomes of it. A cached item that may be served is what DynamoDB has: every write would have parked
it. What is not known counts as any place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol

from cluster.coherence.effects import Effect, IndexTouch, effects_bytes
from cluster.coherence.guard import Guard
from node.cache.caches import Caches
from node.cache.query_keys import IndexKeys, TableKeys
from node.tables.keys import KnownKeys
from node.tables.table_info import TableInfo
from node.writes.plan import ItemWrite, WritePlan
from paceline.dax.attribute_lists import list_names
from paceline.dax.cbor import Reader
from paceline.dax.expressions.parser import parse_update
from paceline.dax.expressions.tree import Call, Group, Op, PathTerm, Term, Variable
from paceline.dax.values import read_value
from paceline.errors import ProtocolError, RequestError
from paceline.types import AttributeValue, Item, Params

EFFECTS_BYTES_MAX = 16 * 1024
"""The most bytes of the effects of one fence. A write of many items with long index keys says only
which keys it has."""

EXPRESSIONS_MAX = 1024
"""The most parsed update expressions that are cached. They name values by placeholders, so an
application has few different ones."""


CHANGES_MAX = 4096
"""The most attributes that a legacy update may change and still have its place in indexes known."""


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN

Known = AttributeValue | None | _Unknown
"""An attribute's value, None for 'the item has none', or UNKNOWN."""

Old = Mapping[str, AttributeValue] | None | _Unknown
"""Attributes of the item before the write, None for 'there is no such item', or UNKNOWN."""


class KnownTables(Protocol):
    def peek(self, table: str) -> TableInfo | None: ...


class Effects:
    """Works out the effects of writes; one per node, asked only while it is the primary."""

    def __init__(
        self,
        tables: KnownTables,
        caches: Caches,
        guard: Guard,
        names_of: Callable[[int], tuple[str, ...]],
        clock: Callable[[], float],
    ) -> None:
        """``names_of`` may raise any RequestError for a list that it does not know."""
        self._tables = tables
        self._caches = caches
        self._guard = guard
        self._names_of = names_of
        self._clock = clock
        self._keys = KnownKeys()

    def of(self, plan: WritePlan) -> tuple[Effect | None, ...]:
        """Returns the effects in the order of ``plan.touched``. They have to be fenced in this same
        turn."""
        keys = plan.keys
        known = {table: self._keys_of(table) for table in {key[0] for key in keys}}
        if not any(table is not None and table.indexes for table in known.values()):
            return tuple([_without_indexes(known[key[0]]) for key in keys])
        effects = tuple(
            self._effect(known[touched.key[0]], touched.key[1], touched.write)
            for touched in plan.touched
        )
        return effects if effects_bytes(effects) <= EFFECTS_BYTES_MAX else ()

    def _keys_of(self, table: str) -> TableKeys | None:
        if not self._caches.invalidates(table):
            return None
        info = self._tables.peek(table)
        return None if info is None else self._keys.of(info)

    def _effect(self, keys: TableKeys | None, key: bytes, write: ItemWrite | None) -> Effect | None:
        if keys is None:
            return None
        if write is None:
            return Effect(keys.digest, None)
        try:
            old = self._cached(keys, key) if keys.foreign else UNKNOWN
            return Effect(keys.digest, touches_of(keys, key, write, old))
        except (RequestError, ProtocolError, ValueError, LookupError, TypeError, AttributeError):
            # A request that DynamoDB will refuse, or an item written by who knows whom.
            return Effect(keys.digest, None)

    def _cached(self, keys: TableKeys, key: bytes) -> Old:
        """Returns the item as DynamoDB has it now, where that is known; of its attributes, those
        that index keys are made of."""
        now = self._clock()
        serving = now < self._guard.serve_until
        entry = self._caches.items.peek(keys.table, key, now) if serving else None
        if entry is None:
            return UNKNOWN
        item = entry.item
        return None if item is None else self._attributes(item, keys.foreign)

    def _attributes(self, item: bytes, wanted: frozenset[str]) -> Item:
        reader = Reader(item)
        names = list_names(reader.read_int(), self._names_of)
        found: Item = {}
        left = len(wanted.intersection(names))
        for name in names:
            if not left:
                break
            if name in wanted:
                found[name] = read_value(reader)
                left -= 1
            else:
                reader.skip()
        return found


def _without_indexes(keys: TableKeys | None) -> Effect | None:
    return None if keys is None else Effect(keys.digest, ())


def effect_of_change(keys: TableKeys, key: bytes, old: Item | None, new: Item | None) -> Effect:
    """Of a write that has happened and whose images are both known; None: no such item."""
    try:
        write = ItemWrite(new or old or {}, item=new)
        return Effect(keys.digest, touches_of(keys, key, write, old))
    except (ProtocolError, ValueError, LookupError, TypeError, AttributeError):
        return Effect(keys.digest, None)


def touches_of(keys: TableKeys, key: bytes, write: ItemWrite, old: Old) -> tuple[IndexTouch, ...]:
    """Returns where the item lies in the indexes before and after the write, as far as that is
    known."""
    names = keys.schema.names
    partition, _ = keys.split(key)
    values: list[Callable[[str], Known]] = []

    def before(name: str) -> Known:
        if name in names:
            return write.key[name]
        return old if isinstance(old, _Unknown) else (old or {}).get(name)

    if old is not None:
        values.append(before)
    if write.item is not None:
        values.append(write.item.get)
    elif write.update is not None:
        assigned = _assigned(write.update)

        def after(name: str) -> Known:
            return assigned[name] if name in assigned and name not in names else before(name)

        values.append(after)
    touches: dict[IndexTouch, None] = {}
    for index in keys.indexes.values():
        for value_of in values:
            touch = _place(keys, index, partition, value_of)
            if touch is not None:
                touches[touch] = None
    return tuple(touches)


def _place(
    keys: TableKeys, index: IndexKeys, base_partition: bytes, value_of: Callable[[str], Known]
) -> IndexTouch | None:
    """Returns where the index holds an item of these values; None: nowhere."""
    anywhere = IndexTouch(index.name)
    if index.compound:
        return anywhere
    of_hash = value_of(index.schema.hash.name)
    of_range = {} if index.schema.range is None else value_of(index.schema.range.name)
    if of_hash is None or of_range is None:
        return None
    try:
        if not index.is_global:
            partition = base_partition
        elif isinstance(of_hash, _Unknown):
            return anywhere
        else:
            partition = keys.partition(index.name, of_hash)
        if index.schema.range is None:
            return IndexTouch(index.name, partition, b"")
        if isinstance(of_range, _Unknown):
            return IndexTouch(index.name, partition)
        return IndexTouch(index.name, partition, keys.sort(index.name, of_range))
    except ValueError:
        return anywhere  # of a type that no index key has: DynamoDB's to say what becomes of it


def _assigned(update: Params) -> dict[str, Known]:
    """Returns the attributes that the update changes, with the values that they have then."""
    text = update.get("UpdateExpression")
    if text is None:
        changes = update.get("AttributeUpdates") or {}
        if len(changes) > CHANGES_MAX:
            raise ValueError("it changes more attributes than are looked at in one go")
        return {name: _legacy(change) for name, change in changes.items()}
    names = update.get("ExpressionAttributeNames") or {}
    values = update.get("ExpressionAttributeValues") or {}
    return {
        name: values[value] if isinstance(value, str) else value
        for name, value in _read_update(text, tuple(names.items()), tuple(values))
    }


def _legacy(change: Params) -> Known:
    action = change.get("Action", "PUT")
    if action == "PUT":
        value: AttributeValue = change["Value"]
        return value
    return None if action == "DELETE" and "Value" not in change else UNKNOWN


@lru_cache(EXPRESSIONS_MAX)
def _read_update(
    text: str, names: tuple[tuple[str, str], ...], values: tuple[str, ...]
) -> tuple[tuple[str, str | _Unknown | None], ...]:
    """(attribute, the placeholder of its new value; None: removed; or UNKNOWN)."""
    tree = parse_update(text, dict(names), {name: {"S": name} for name in values})
    found: list[tuple[str, str | _Unknown | None]] = []
    terms = tree.terms
    at = 1  # after the group of all actions
    while at < len(terms):
        action, path = terms[at], terms[at + 1]
        assert isinstance(action, Call)
        assert isinstance(path, PathTerm)
        at += 2
        value: str | _Unknown | None = UNKNOWN
        if action.op is Op.REMOVE:
            value = None
        else:
            operand = terms[at]
            if action.op is Op.SET and isinstance(operand, Variable):
                value = tree.values[operand.slot]["S"]
            at = _behind(terms, at)
        found.append((str(path.path[0]), value if len(path.path) == 1 else UNKNOWN))
    return tuple(found)


def _behind(terms: tuple[Term, ...], at: int) -> int:
    """Returns where the tree that begins at ``at`` ends."""
    left = 1
    while left:
        term = terms[at]
        at += 1
        left -= 1
        if isinstance(term, Call):
            left += term.arity
        elif isinstance(term, Group):
            left += term.count
    return at
