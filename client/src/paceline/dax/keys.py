"""Primary keys as bytes: docs/dax-protocol.md section 5.

The same number has several spellings on the wire (JS sends doubles, others decimals), so keys of
caches and fences are *canonical*: decoded and encoded again. String and binary parts have one
spelling only. Keys in replies are *spelled*: AWS's clients show an application the zeros at the end
of a number range key just as they find them.
"""

from collections.abc import Callable
from typing import Any

from paceline.dax.cbor import (
    BYTES,
    TEXT,
    Reader,
    write_break,
    write_bytes,
    write_map_indefinite,
    write_text,
)
from paceline.dax.lexdecimal import (
    decode_lexdecimal,
    encode_lexdecimal,
    encode_spelled_lexdecimal,
)
from paceline.dax.numbers import read_number, write_number
from paceline.dax.values import as_bytes, read_value, write_value
from paceline.errors import ProtocolError
from paceline.types import AttributeValue, Item, KeyAttribute, KeySchema


def encode_key(schema: KeySchema, key: Item) -> bytes:
    """Canonical key bytes. ``key`` may be a whole item: other attributes are left out.

    ValueError in DynamoDB's words when a key attribute is missing or has the wrong type.
    """
    return _encode(schema, key, encode_lexdecimal)


def encode_spelled_key(schema: KeySchema, key: Item) -> bytes:
    """Key bytes for a reply, from which clients get numbers in DynamoDB's own spelling; otherwise
    as ``encode_key``."""
    return _encode(schema, key, encode_spelled_lexdecimal)


def _encode(schema: KeySchema, key: Item, encode_number: Callable[[str], bytes]) -> bytes:
    out = bytearray()
    hash_value = _part(schema.hash, key)
    if schema.range is None and schema.hash.type != "N":
        return hash_value.encode() if isinstance(hash_value, str) else as_bytes(hash_value)
    if schema.hash.type == "S":
        write_text(out, hash_value)
    elif schema.hash.type == "B":
        write_bytes(out, as_bytes(hash_value))
    else:
        write_number(out, hash_value)
    if schema.range is not None:
        range_value = _part(schema.range, key)
        if schema.range.type == "S":
            out += range_value.encode()
        elif schema.range.type == "B":
            out += as_bytes(range_value)
        else:
            out += encode_number(range_value)
    return bytes(out)


def _part(attribute: KeyAttribute, key: Item) -> Any:
    value = key.get(attribute.name)
    if value is None:
        raise ValueError(
            f"One of the required keys was not given a value: missing the key {attribute.name}"
        )
    if len(value) > 1:
        raise ValueError(f"the key {attribute.name} has more than one type")
    if attribute.type not in value:
        raise ValueError(
            f"Type mismatch for key {attribute.name} expected: {attribute.type} "
            f"actual: {next(iter(value), None)}"
        )
    content = value[attribute.type]
    if attribute.type != "B" and not isinstance(content, str):
        raise ValueError(f"the key {attribute.name} must be text, not {type(content).__name__}")
    return content


def decode_key(schema: KeySchema, data: bytes) -> Item:
    """The key's attributes; ProtocolError when the bytes do not fit the schema."""
    if schema.range is None:
        return {schema.hash.name: _decode_lone(schema.hash, data)}
    reader = Reader(data)
    hash_value = _read_part(schema.hash, reader)
    rest = data[reader.pos :]
    range_value: AttributeValue
    if schema.range.type == "S":
        range_value = {"S": _text(rest)}
    elif schema.range.type == "B":
        range_value = {"B": rest}
    else:
        range_value = {"N": decode_lexdecimal(rest)}
    return {schema.hash.name: hash_value, schema.range.name: range_value}


def _decode_lone(attribute: KeyAttribute, data: bytes) -> AttributeValue:
    if attribute.type == "S":
        return {"S": _text(data)}
    if attribute.type == "B":
        return {"B": data}
    reader = Reader(data)
    value = _read_part(attribute, reader)
    reader.expect_done("a key")
    return value


def _read_part(attribute: KeyAttribute, reader: Reader) -> AttributeValue:
    major = reader.peek_major()
    if attribute.type == "S" and major == TEXT:
        return {"S": reader.read_text()}
    if attribute.type == "B" and major == BYTES:
        return {"B": reader.read_bytes()}
    if attribute.type == "N":
        return {"N": read_number(reader)}
    raise ProtocolError(
        f"a key's bytes do not fit its schema: {attribute.name} is of type {attribute.type}"
    )


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a key's string is not UTF-8") from None


def stored_key(schema: KeySchema, sent: Item) -> Item:
    """The key attributes of ``sent`` as DynamoDB gives them back: numbers in their canonical text,
    binary values as bytes."""
    return decode_key(schema, encode_key(schema, sent))


def has_one_spelling(schema: KeySchema) -> bool:
    """Whether valid key bytes under ``schema`` are canonical as they are."""
    return schema.hash.type != "N" and (schema.range is None or schema.range.type != "N")


def canonical_key(schema: KeySchema, data: bytes) -> bytes:
    """The one spelling of the key that ``data`` spells; ProtocolError when it does not fit."""
    if schema.range is None and schema.hash.type == "B":
        return data
    return encode_key(schema, decode_key(schema, data))


def encode_compound_key(item: Item) -> bytes:
    """Table and index key attributes by name, as index queries page with them.

    An indefinite map, because Go reads nothing else here; in the order of ``item``.
    """
    out = bytearray()
    write_map_indefinite(out)
    for name, value in item.items():
        write_text(out, name)
        write_value(out, value)
    write_break(out)
    return bytes(out)


def decode_compound_key(data: bytes) -> Item:
    reader = Reader(data)
    count = reader.read_map()
    item: Item = {}
    done = 0
    while reader.more(done, count):
        name = reader.read_text()
        item[name] = read_value(reader)
        done += 1
    reader.expect_done("a compound key")
    return item
