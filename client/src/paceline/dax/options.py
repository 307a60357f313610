"""A request's optional arguments ("kwargs"): docs/dax-protocol.md section 4.1."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from paceline.dax.cbor import (
    FALSE_BYTE,
    NULL_BYTE,
    TRUE_BYTE,
    Reader,
    write_bool,
    write_break,
    write_bytes,
    write_int,
    write_map_indefinite,
    write_text,
)
from paceline.errors import ProtocolError

MEMO_BYTES_MAX = 256
"""Longer arguments hold paging keys or expressions with values, which hardly ever repeat."""

MEMO_ENTRIES = 1024
"""The most combinations of arguments that are cached. An application has a few dozen."""


@dataclass(frozen=True, slots=True)
class Options:
    """Optional arguments by name, None where absent; enumerations as the numbers on the wire.

    ``raw`` is their encoding as received, for memos; it does not count in comparisons.
    """

    projection: bytes | None = None
    consistent_read: bool | None = None
    consumed_capacity: int | None = None
    condition: bytes | None = None
    collection_metrics: int | None = None
    return_values: int | None = None
    update: bytes | None = None
    exclusive_start_key: bytes | None = None
    filter: bytes | None = None
    index_name: str | None = None
    limit: int | None = None
    scan_index_forward: bool | None = None
    select: int | None = None
    segment: int | None = None
    total_segments: int | None = None
    client_request_token: str | None = None
    raw: bytes = field(default=b"", compare=False, repr=False)


NO_OPTIONS: Final = Options()


def _read_flag(reader: Reader) -> bool:
    """GetItem sends booleans where Query and Scan send 0 and 1."""
    if reader.peek_byte() in (FALSE_BYTE, TRUE_BYTE):
        return reader.read_bool()
    value = reader.read_int()
    if value not in (0, 1):
        raise ProtocolError(f"a flag is 0 or 1, not {value}")
    return value == 1


def _read_name(reader: Reader) -> str:
    return decode_name(reader.read_bytes())


def decode_name(data: bytes) -> str:
    """A table or index name, which travels as a byte string."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a name is not UTF-8") from None


def _write_flag(out: bytearray, value: bool) -> None:
    write_int(out, int(value))


def _write_name(out: bytearray, name: str) -> None:
    write_bytes(out, name.encode())


_KEYS: Final[
    dict[int, tuple[str, Callable[[Reader], object], Callable[[bytearray, Any], None]]]
] = {
    0: ("projection", Reader.read_bytes, write_bytes),
    2: ("consistent_read", _read_flag, _write_flag),
    3: ("consumed_capacity", Reader.read_int, write_int),
    4: ("condition", Reader.read_bytes, write_bytes),
    6: ("collection_metrics", Reader.read_int, write_int),
    7: ("return_values", Reader.read_int, write_int),
    8: ("update", Reader.read_bytes, write_bytes),
    9: ("exclusive_start_key", Reader.read_bytes, write_bytes),
    10: ("filter", Reader.read_bytes, write_bytes),
    11: ("index_name", _read_name, _write_name),
    13: ("limit", Reader.read_int, write_int),
    14: ("scan_index_forward", _read_flag, _write_flag),
    15: ("select", Reader.read_int, write_int),
    16: ("segment", Reader.read_int, write_int),
    17: ("total_segments", Reader.read_int, write_int),
    19: ("client_request_token", Reader.read_text, write_text),
}
"""Wire key -> (field, reader, writer). Python also sends 1 and 5 (names and values, redundant)."""


def read_options(reader: Reader) -> Options:
    """Reads null or a map. The last of doubled keys counts; unknown keys are ignored.

    (Python sends a condition twice: as text, then encoded, under one key.)
    """
    raw = reader.read_raw()
    return _parse_memoized(raw) if len(raw) <= MEMO_BYTES_MAX else _parse(raw)


def _parse(raw: bytes) -> Options:
    reader = Reader(raw)
    if reader.is_null():
        return Options(raw=raw)
    fields: dict[str, Any] = {}
    count = reader.read_map()
    done = 0
    while reader.more(done, count):
        done += 1
        entry = _KEYS.get(reader.read_int())
        if entry is None:
            reader.skip()
        elif reader.peek_byte() == NULL_BYTE:
            reader.read_null()
            fields[entry[0]] = None
        else:
            fields[entry[0]] = entry[1](reader)
    return Options(**fields, raw=raw)


_parse_memoized = lru_cache(MEMO_ENTRIES)(_parse)


def write_options(out: bytearray, options: Options, *, boolean_flags: bool = False) -> None:
    """Appends the map, from the fields and not from ``raw``.

    ``boolean_flags``: GetItem's form of ConsistentRead.
    """
    write_map_indefinite(out)
    for key, (name, _, write) in _KEYS.items():
        value = getattr(options, name)
        if value is None:
            continue
        write_int(out, key)
        if boolean_flags and isinstance(value, bool):
            write_bool(out, value)
        else:
            write(out, value)
    write_break(out)
