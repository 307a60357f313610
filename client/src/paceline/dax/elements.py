"""Counts the CBOR elements of a request, in its frame and in the strings within, without reading
them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from paceline.dax.cbor_scanner import Scanner
from paceline.dax.cbor_types import BYTES, TEXT
from paceline.dax.options import Options
from paceline.dax.request_types import (
    BatchGetItem,
    BatchWriteItem,
    DefineAttributeListId,
    DeleteItem,
    GetItem,
    PutItem,
    Query,
    Request,
    TransactGetItems,
    TransactWriteItems,
    UpdateItem,
)
from paceline.errors import ProtocolError

REQUEST_ELEMENTS_MAX: Final = 2 * 1024 * 1024
"""Of one request. It has 16 MB at most as JSON, in which a value takes nine bytes at least,
``{"S":""},``: 1 864 135 of them. Only elements of sets may have fewer (docs/limits.md)."""

NAMES_MAX: Final = 256 * 1024
"""The most names of one attribute list. An item has 400 KB, and a name with its value at least two
bytes."""

_OF_A_KEY: Final = 8
"""No more are ever read of one key: two parts, of which a number has four at most. Most have one,
and to count what stands in fifty keys takes longer than to read them."""

_UNENDING: Final = 1 << 62

SHORT_BYTES: Final = 4096
_STRINGS: Final = (BYTES, TEXT)
_UNENDING_SIZE: Final = 31


def count_elements(request: Request, elements_max: int) -> int | None:
    """Returns the number of elements; None if above ``elements_max``. Strings that are no CBOR end
    their own count: whoever decodes them fails at the same byte."""
    count = len(request.names) if isinstance(request, DefineAttributeListId) else 0
    if count > NAMES_MAX:
        return None
    if isinstance(request, BatchGetItem):
        count += sum(_OF_A_KEY * len(get.keys) for get in request.tables.values())
    for encoded in _encoded(request):
        count += elements_in(encoded, elements_max - count + 1)
        if count > elements_max:
            return None
    return count if count <= elements_max else None


def elements_in(encoded: bytes, seen_max: int) -> int:
    """Of one such string; no more than so many are looked at."""
    if len(encoded) <= SHORT_BYTES:
        return _heads_in(encoded, seen_max)
    scanner = Scanner(0, _UNENDING)
    with suppress(ProtocolError):
        scanner.scan(encoded, seen_max=seen_max)
    return scanner.seen


def _heads_in(encoded: bytes, seen_max: int) -> int:
    """As the scanner has it, or more where they are not well-formed: what nests in what is not
    looked at."""
    at = seen = 0
    end = len(encoded)
    while at < end and seen < seen_max:
        head = encoded[at]
        seen += 1
        at += 1
        size = head & 31
        if 24 <= size < 28:
            behind = at + (1 << (size - 24))
            size = int.from_bytes(encoded[at:behind], "big")
            at = behind
        if head >> 5 in _STRINGS and head & 31 != _UNENDING_SIZE:
            at += size
    return seen


def _encoded(request: Request) -> Iterator[bytes]:
    """Yields the strings that hold CBOR."""
    match request:
        case PutItem():
            yield request.values
        case BatchGetItem():
            for get in request.tables.values():
                if get.projection:
                    yield get.projection
        case BatchWriteItem():
            for writes in request.tables.values():
                for key, values in writes:
                    yield key
                    if values:
                        yield values
        case TransactGetItems():
            for one in request.items:
                yield one.key
                if one.projection:
                    yield one.projection
        case TransactWriteItems():
            for item in request.items:
                for part in (item.key, item.values, item.condition, item.update):
                    if part:
                        yield part
        case Query() if request.key_condition:
            yield request.key_condition
    if isinstance(request, GetItem | PutItem | UpdateItem | DeleteItem):
        yield request.key
    options = getattr(request, "options", None)
    if options is not None:
        yield from _of_options(options)


def _of_options(options: Options) -> Iterator[bytes]:
    for part in (
        options.projection,
        options.condition,
        options.update,
        options.filter,
        options.exclusive_start_key,
    ):
        if part:
            yield part
