"""Keys of reply bodies and the parts that several replies share: docs/dax-protocol.md section 10.

Capacity and metrics are written by ``write_*`` and read by ``read_*``, in boto3's shapes.
"""

from collections.abc import Callable
from typing import Any, Final

from paceline.dax.cbor import (
    Reader,
    write_bytes,
    write_float64,
    write_int,
    write_map,
    write_null,
    write_text,
)
from paceline.dax.cbor_writers import close_map, open_map
from paceline.dax.values import read_value, write_value
from paceline.errors import ProtocolError
from paceline.types import KeySchema, Result

ITEM: Final = 0
CONSUMED_CAPACITY: Final = 1
ATTRIBUTES: Final = 2
COLLECTION_METRICS: Final = 3
ITEMS: Final = 7
COUNT: Final = 8
LAST_EVALUATED_KEY: Final = 9
SCANNED_COUNT: Final = 10

_UNITS: Final = {1: "CapacityUnits", 2: "ReadCapacityUnits", 3: "WriteCapacityUnits"}
_TABLE_NAME: Final = 4
_TABLE: Final = 5
_INDEXES: Final = {6: "GlobalSecondaryIndexes", 7: "LocalSecondaryIndexes"}


def write_capacity(out: bytearray, capacity: Result) -> None:
    """Consumed capacity of single items, queries and batches: a byte string of five values."""
    inner = bytearray()
    write_text(inner, capacity.get("TableName", ""))
    write_float64(inner, float(capacity.get("CapacityUnits", 0)))
    table = capacity.get("Table")
    if table is None:
        write_null(inner)
    else:
        write_float64(inner, float(table.get("CapacityUnits", 0)))
    for name in _INDEXES.values():
        indexes = capacity.get(name)
        if indexes is None:
            write_null(inner)
            continue
        write_map(inner, len(indexes))
        for index, units in indexes.items():
            write_text(inner, index)
            write_float64(inner, float(units.get("CapacityUnits", 0)))
    write_bytes(out, inner)


def read_capacity(reader: Reader) -> Result:
    inner = Reader(reader.read_bytes())
    capacity: Result = {"TableName": inner.read_text(), "CapacityUnits": inner.read_float()}
    if inner.is_null():
        inner.read_null()
    else:
        capacity["Table"] = {"CapacityUnits": inner.read_float()}
    for name in _INDEXES.values():
        if inner.is_null():
            inner.read_null()
        else:
            capacity[name] = read_mapping(inner, _read_units)
    inner.expect_done("consumed capacity")
    return capacity


def _read_units(reader: Reader) -> Result:
    return {"CapacityUnits": reader.read_float()}


def write_extended_capacity(out: bytearray, capacity: Result, *, indefinite: bool = False) -> None:
    """Consumed capacity of transactions: a map, with reads and writes apart."""
    fields = bytearray()
    count = 1
    write_int(fields, _TABLE_NAME)
    write_text(fields, capacity.get("TableName", ""))
    count += _write_units(fields, capacity)
    if "Table" in capacity:
        write_int(fields, _TABLE)
        _write_units_map(fields, capacity["Table"])
        count += 1
    for key, name in _INDEXES.items():
        if name in capacity:
            write_int(fields, key)
            write_map(fields, len(capacity[name]))
            for index, units in capacity[name].items():
                write_text(fields, index)
                _write_units_map(fields, units)
            count += 1
    open_map(out, count, indefinite=indefinite)
    out += fields
    close_map(out, indefinite=indefinite)


def _write_units_map(out: bytearray, units: Result) -> None:
    write_map(out, sum(name in units for name in _UNITS.values()))
    _write_units(out, units)


def _write_units(out: bytearray, units: Result) -> int:
    present = 0
    for key, name in _UNITS.items():
        if name in units:
            write_int(out, key)
            write_float64(out, float(units[name]))
            present += 1
    return present


def read_extended_capacity(reader: Reader) -> Result:
    capacity: Result = {}
    count = reader.read_map()
    done = 0
    while reader.more(done, count):
        done += 1
        key = reader.read_int()
        if key in _UNITS:
            capacity[_UNITS[key]] = reader.read_float()
        elif key == _TABLE_NAME:
            capacity["TableName"] = reader.read_text()
        elif key == _TABLE:
            capacity["Table"] = read_extended_capacity(reader)
        elif key in _INDEXES:
            capacity[_INDEXES[key]] = read_mapping(reader, read_extended_capacity)
        else:
            raise ProtocolError(f"unknown key {key} in consumed capacity")
    return capacity


def write_metrics(out: bytearray, metrics: Result, schema: KeySchema) -> None:
    """Item collection metrics: a byte string of hash key value and the size's bounds in GB."""
    inner = bytearray()
    write_value(inner, metrics["ItemCollectionKey"][schema.hash.name])
    low, high = metrics["SizeEstimateRangeGB"]
    write_float64(inner, float(low))
    write_float64(inner, float(high))
    write_bytes(out, inner)


def read_metrics(reader: Reader, schema: KeySchema) -> Result:
    inner = Reader(reader.read_bytes())
    metrics: Result = {
        "ItemCollectionKey": {schema.hash.name: read_value(inner)},
        "SizeEstimateRangeGB": [inner.read_float(), inner.read_float()],
    }
    inner.expect_done("item collection metrics")
    return metrics


def read_mapping(reader: Reader, read: Callable[[Reader], Any]) -> dict[str, Any]:
    """A map from text to what ``read`` reads."""
    count = reader.read_map()
    entries: dict[str, Any] = {}
    done = 0
    while reader.more(done, count):
        name = reader.read_text()
        entries[name] = read(reader)
        done += 1
    return entries
