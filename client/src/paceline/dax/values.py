"""Attribute values as CBOR: docs/dax-protocol.md section 1.1.

There is no type code on the wire: the CBOR type is the DynamoDB type.
"""

from collections.abc import Callable

from paceline.dax.cbor import (
    ARRAY,
    BYTES,
    DEPTH_MAX,
    FALSE_BYTE,
    MAP,
    NULL_BYTE,
    TAG,
    TAG_BINARY_SET,
    TAG_NUMBER_SET,
    TAG_STRING_SET,
    TEXT,
    TRUE_BYTE,
    Reader,
    write_array,
    write_bool,
    write_bytes,
    write_map,
    write_null,
    write_tag,
    write_text,
)
from paceline.dax.numbers import read_number, write_number
from paceline.errors import ProtocolError
from paceline.types import AttributeValue

VALUE_DEPTH_MAX = 100
"""Nesting of lists and maps. DynamoDB takes 32 levels; a few more get its own error message
instead of a closed connection."""
assert VALUE_DEPTH_MAX < DEPTH_MAX


def read_value(reader: Reader, depth: int = 0) -> AttributeValue:
    """Reads one attribute value; its numbers in canonical text."""
    head = reader.peek_byte()
    major = head >> 5
    if major == TEXT:
        return {"S": reader.read_text()}
    if major < BYTES:
        return {"N": read_number(reader)}
    if major == BYTES:
        return {"B": reader.read_bytes()}
    if major == TAG:
        return _read_tagged(reader, head)
    if major in (ARRAY, MAP):
        if depth >= VALUE_DEPTH_MAX:
            raise ProtocolError(f"a value nests more than {VALUE_DEPTH_MAX} deep")
        return _read_list(reader, depth) if major == ARRAY else _read_map(reader, depth)
    if head in (TRUE_BYTE, FALSE_BYTE):
        return {"BOOL": reader.read_bool()}
    if head == NULL_BYTE:
        reader.read_null()
        return {"NULL": True}
    return {"N": read_number(reader)}


def _read_tagged(reader: Reader, head: int) -> AttributeValue:
    if head & 31 != 25:  # set tags have two-byte arguments, number tags sit in the head
        return {"N": read_number(reader)}
    tag = reader.read_tag()
    if tag not in _SET_READERS:
        raise ProtocolError(f"unknown tag {tag} in an attribute value")
    kind, read = _SET_READERS[tag]
    count = reader.read_array()
    elements: list[str | bytes] = []
    while reader.more(len(elements), count):
        elements.append(read(reader))
    return {kind: elements}


_SET_READERS: dict[int, tuple[str, Callable[[Reader], str | bytes]]] = {
    TAG_STRING_SET: ("SS", Reader.read_text),
    TAG_NUMBER_SET: ("NS", read_number),
    TAG_BINARY_SET: ("BS", Reader.read_bytes),
}


def _read_list(reader: Reader, depth: int) -> AttributeValue:
    count = reader.read_array()
    elements: list[AttributeValue] = []
    while reader.more(len(elements), count):
        elements.append(read_value(reader, depth + 1))
    return {"L": elements}


def _read_map(reader: Reader, depth: int) -> AttributeValue:
    count = reader.read_map()
    entries: dict[str, AttributeValue] = {}
    done = 0
    while reader.more(done, count):
        name = reader.read_text()
        entries[name] = read_value(reader, depth + 1)
        done += 1
    return {"M": entries}


def write_value(out: bytearray, value: AttributeValue, depth: int = 0) -> None:
    """Appends one attribute value, its numbers canonical.

    ValueError when it is not exactly one typed value as boto3's low-level client has it. Empty
    sets and wrong numbers are refused here because the wire cannot carry them.
    """
    if len(value) != 1:
        raise ValueError(f"an attribute value has exactly one type, not {len(value)}")
    [(kind, content)] = value.items()
    try:
        if kind == "S":
            write_text(out, content)
        elif kind == "N":
            write_number(out, content)
        elif kind == "B":
            write_bytes(out, as_bytes(content))
        elif kind == "BOOL":
            write_bool(out, content)
        elif kind == "NULL":
            if content is not True:  # which DynamoDB refuses, and the wire has no place for
                raise ValueError("Null attribute value types must have the value of true")
            write_null(out)
        elif kind == "M":
            _check_depth(depth)
            write_map(out, len(content))
            for name, entry in content.items():
                write_text(out, name)
                write_value(out, entry, depth + 1)
        elif kind == "L":
            _check_depth(depth)
            write_array(out, len(content))
            for element in content:
                write_value(out, element, depth + 1)
        else:
            _write_set(out, kind, content)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"a value of type {kind} has the wrong content: {error}") from None


def _write_set(out: bytearray, kind: str, elements: list[str] | list[bytes]) -> None:
    if kind not in _SET_TAGS:
        raise ValueError(f"unknown attribute type {kind!r}")
    if not elements:
        raise ValueError("an attribute value may not contain an empty set")
    write_tag(out, _SET_TAGS[kind])
    write_array(out, len(elements))
    for element in elements:
        if isinstance(element, str):
            if kind == "NS":
                write_number(out, element)
                continue
            if kind == "SS":
                write_text(out, element)
                continue
        elif kind == "BS":
            write_bytes(out, as_bytes(element))
            continue
        raise ValueError(f"a {kind} holds a {type(element).__name__}")


_SET_TAGS = {"SS": TAG_STRING_SET, "NS": TAG_NUMBER_SET, "BS": TAG_BINARY_SET}


def as_bytes(content: object) -> bytes:
    """The content of a binary value in any of the forms that boto3 takes."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, bytearray | memoryview):
        return bytes(content)
    wrapped = getattr(content, "value", None)  # boto3.dynamodb.types.Binary
    if isinstance(wrapped, bytes | bytearray):
        return bytes(wrapped)
    raise ValueError(f"binary content is bytes, not {type(content).__name__}")


def _check_depth(depth: int) -> None:
    if depth >= VALUE_DEPTH_MAX:
        raise ValueError(f"a value nests more than {VALUE_DEPTH_MAX} deep")
