"""Attribute lists, and items as (list id, values): docs/dax-protocol.md sections 4.5 and 8.

An item travels without its key attributes and without names: an id stands for the sequence of
its other attributes' names. Clients keep ids for ever, so an id must mean the same on every node
and after any restart: it is derived from the names alone.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

from paceline.dax.cbor import Reader, write_array, write_int, write_text
from paceline.dax.values import read_value, write_value
from paceline.errors import ProtocolError
from paceline.types import Item, KeySchema

EMPTY_LIST_ID = 1
"""The empty list. Clients know it without asking; 0 is false to JS and not used."""

ID_FIRST = 2
ID_BITS = 52
"""JS loses integers beyond 2^53."""

ListId = Callable[[tuple[str, ...]], int]
NamesOf = Callable[[int], tuple[str, ...]]


def list_id(names: Sequence[str]) -> int:
    """The id of an exact sequence of names.

    52 bits of SHA-256 over their CBOR form. Two lists may collide, so an id counts only once it
    is recorded with its names; ``next_id`` gives the next one to try.
    """
    if not names:
        return EMPTY_LIST_ID
    out = bytearray()
    write_array(out, len(names))
    for name in names:
        write_text(out, name)
    candidate = int.from_bytes(sha256(out).digest()[:8], "big") >> (64 - ID_BITS)
    return max(candidate, ID_FIRST)


def next_id(taken: int) -> int:
    """The id to try when ``taken`` already stands for other names."""
    return ID_FIRST if taken + 1 >= 1 << ID_BITS else taken + 1


def attribute_names(item: Item, schema: KeySchema) -> tuple[str, ...]:
    """Names of the non-key attributes in the order of our lists: by code point."""
    keys = schema.names
    return tuple(sorted(name for name in item if name not in keys))


def encode_item(item: Item, schema: KeySchema, list_id: ListId) -> bytes:
    """The content of a *values* string: the list's id, then the non-key attributes' values.

    ``list_id`` gives the recorded id of a list. ValueError when a value is not well-formed.
    """
    names = attribute_names(item, schema)
    return encode_values(item, names, encode_id(list_id(names) if names else EMPTY_LIST_ID))


def encode_id(identifier: int) -> bytes:
    """The beginning of a *values* string."""
    out = bytearray()
    write_int(out, identifier)
    return bytes(out)


def encode_values(item: Item, names: tuple[str, ...], encoded_id: bytes) -> bytes:
    """As ``encode_item``, where the names of the item's list and their id are known."""
    out = bytearray(encoded_id)
    for name in names:
        value = item[name]
        if len(value) == 1 and type(text := value.get("S")) is str:
            write_text(out, text)  # as ``write_value`` does, for what most values are
        else:
            write_value(out, value)
    return bytes(out)


def decode_item(data: bytes, names_of: NamesOf) -> Item:
    """The non-key attributes of a *values* string.

    ``names_of`` gives the names of an id (and raises what it likes for an unknown one).
    ProtocolError when there are not exactly as many values as names.
    """
    reader = Reader(data)
    names = list_names(reader.read_int(), names_of)
    item: Item = {}
    for name in names:
        item[name] = read_value(reader)
    reader.expect_done("an item's values")
    return item


def list_names(identifier: int, names_of: NamesOf) -> tuple[str, ...]:
    """The names of a list; the empty one's without asking."""
    if identifier == EMPTY_LIST_ID:
        return ()
    if not 0 <= identifier < 1 << 63:
        raise ProtocolError(f"{identifier} cannot be an attribute list's id")
    return names_of(identifier)
