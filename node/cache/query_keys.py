"""Where in a table and its indexes a write lies: key bytes to partitions and sort values.

Sort values are bytes whose unsigned order is DynamoDB's order of the values: UTF-8 for strings, the
bytes themselves for binaries, lexicographic decimals (docs/dax-protocol.md section 5.2) for
numbers. Partitions need only be one spelling per value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.queries import (
    BASE,
    GLOBALS,
    LOCALS,
    Change,
    QueryScope,
    global_scopes,
)
from paceline.dax.cbor import Reader, write_bytes, write_text
from paceline.dax.keys import encode_key
from paceline.dax.lexdecimal import encode_lexdecimal
from paceline.dax.numbers import read_number, write_number
from paceline.dax.values import as_bytes
from paceline.errors import ProtocolError
from paceline.types import AttributeValue, KeyAttribute, KeySchema

_INTEGER_HEADS = 0x40
"""CBOR's integers, positive and negative, begin with bytes below it."""
_HEAD_BYTES = {24: 2, 25: 3, 26: 5, 27: 9}
"""By the low five bits of the first byte: bytes of a CBOR head that are not just one."""


@dataclass(frozen=True, slots=True)
class IndexKeys:
    """``compound``: its partition or sort key consists of several attributes, which ``schema``
    cannot say: only the index as a whole can be spoken of."""

    name: str
    is_global: bool
    schema: KeySchema
    compound: bool = False


class TableKeys:
    """One table's keys and those of its indexes, as they were described at one time."""

    def __init__(
        self, table: str, table_id: str, schema: KeySchema, indexes: Iterable[IndexKeys]
    ) -> None:
        self.table = table
        self.schema = schema
        self.indexes = {index.name: index for index in indexes}
        described = (table_id, schema, sorted(self.indexes.values(), key=lambda i: i.name))
        self.digest = crc32(repr(described).encode())
        """Equal on all nodes that know the same of the table."""
        self._whole = Change.of_table(table)
        self._scan: QueryScope = (table, BASE, None)
        self._globals: tuple[QueryScope, ...] = ()
        self._any: tuple[IndexTouch, ...] = ()
        if any(index.is_global for index in self.indexes.values()):
            self._globals = ((table, GLOBALS, None),)
            self._any = (IndexTouch(GLOBALS),)
        self.foreign = frozenset(
            name for index in self.indexes.values() for name in index.schema.names
        ).difference(schema.names)
        """Attributes of index keys that the table's own key does not have."""
        self._has_locals = not all(index.is_global for index in self.indexes.values())

    # -- writes -----------------------------------------------------------------------------

    def split(self, key: bytes) -> tuple[bytes, bytes]:
        """(partition, sort) of canonical key bytes; ProtocolError where they do not fit."""
        schema = self.schema
        if schema.range is None:
            return key, b""
        if not key:
            raise ProtocolError("an empty key")
        head = key[0]
        if head < _INTEGER_HEADS:
            end = _HEAD_BYTES.get(head & 31, 1)
        elif schema.hash.type == "N":
            reader = Reader(key)
            read_number(reader)
            end = reader.pos
        else:
            size = head & 31
            end = 1
            if size >= 24:
                end = _HEAD_BYTES.get(size, len(key) + 1)
                size = int.from_bytes(key[1:end], "big")
            end += size
        if end > len(key):
            raise ProtocolError("a key that ends before its sort value")
        return key[:end], key[end:]

    def change(self, key: bytes, effect: Effect | None) -> Change:
        """What a write of the item can change, as far as ``effect`` and the key tell."""
        if effect is not None and effect.schema != self.digest:
            return self._whole
        try:
            partition, sort = self.split(key)
        except ProtocolError:
            return self._whole
        base = IndexTouch(BASE, partition, sort)
        scopes: tuple[QueryScope, ...] = ((self.table, BASE, partition), self._scan)
        if not self.indexes:
            return Change(scopes, (base,))
        if effect is None or effect.touches is None:
            touches = (base, *self._any)
            if self._has_locals:
                touches += (IndexTouch(LOCALS, partition),)
            return Change(scopes + self._globals, touches)
        for touch in effect.touches:
            index = self.indexes.get(touch.name)
            if index is None:
                return self._whole
            if index.is_global:
                scopes += global_scopes(self.table, touch)
        return Change(scopes, (base, *effect.touches))

    # -- values -----------------------------------------------------------------------------

    def partition(self, index: str, value: AttributeValue) -> bytes:
        """The partition in the table (BASE) or an index; ValueError for a value of another type."""
        if index == BASE or not self.indexes[index].is_global:
            return self._base_partition(value)
        attribute = self.indexes[index].schema.hash
        return encode_key(KeySchema(attribute), {attribute.name: value})

    def _base_partition(self, value: AttributeValue) -> bytes:
        attribute = self.schema.hash
        if self.schema.range is None:
            return encode_key(self.schema, {attribute.name: value})
        content = _content(attribute, value)
        out = bytearray()
        if attribute.type == "S":
            write_text(out, content)
        elif attribute.type == "B":
            write_bytes(out, as_bytes(content))
        else:
            write_number(out, content)
        return bytes(out)

    def sort(self, index: str, value: AttributeValue) -> bytes:
        """As ``partition``; the index has a sort key."""
        attribute = self.range_of(index)
        assert attribute is not None
        content = _content(attribute, value)
        if attribute.type == "S":
            encoded: bytes = content.encode()
            return encoded
        return as_bytes(content) if attribute.type == "B" else encode_lexdecimal(content)

    def hash_of(self, index: str) -> KeyAttribute:
        return self.schema.hash if index == BASE else self.indexes[index].schema.hash

    def range_of(self, index: str) -> KeyAttribute | None:
        return self.schema.range if index == BASE else self.indexes[index].schema.range


def _content(attribute: KeyAttribute, value: AttributeValue) -> str:
    """In whatever form the type has; only its presence is checked here."""
    if attribute.type not in value:
        raise ValueError(f"{attribute.name} is not of type {attribute.type}")
    content: str = value[attribute.type]
    if attribute.type != "B" and not isinstance(content, str):
        raise ValueError(f"{attribute.name} is not text")
    return content
