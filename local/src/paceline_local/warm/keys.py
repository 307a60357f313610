"""Reads keys as people have them in files: DynamoDB JSON, plain JSON, plain text, CSV. Pure."""

from __future__ import annotations

import base64
import binascii
import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from paceline.dax.keys import encode_key
from paceline.errors import ConfigError
from paceline.types import AttributeValue, Item, KeyAttribute, KeySchema

Format = Literal["json", "csv"]


@dataclass(frozen=True, slots=True)
class BadKey:
    """A record that is no key of the table. ``reason`` says where it is and what is wrong."""

    reason: str


class _Number(str):
    """A JSON number with its digits as they were written."""

    __slots__ = ()


def format_of(name: str) -> Format:
    """The format by the file's name, without ``.gz``."""
    return "csv" if name.lower().removesuffix(".gz").endswith(".csv") else "json"


def read_keys(
    lines: Iterable[str], schema: KeySchema, form: Format = "json"
) -> Iterator[Item | BadKey]:
    """The keys of a file, one a line; empty lines do not count.

    ``json``: an object a line, of DynamoDB JSON (``{"id": {"S": "x"}}``, also as DynamoDB exports
    it, under ``Item``) or of plain values; for tables without a range key also a plain value a
    line. ``csv``: with a header that names the key's attributes. More attributes than the key's
    do no harm. ConfigError if a CSV file lacks one.
    """
    if form == "csv":
        yield from _csv_keys(lines, schema)
        return
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text:
            yield _checked(lambda text=text: _parsed(text, schema), schema, number)


def key_of(record: Any, schema: KeySchema) -> Item:
    """The key in ``record``, a mapping of names to values in either form. ValueError."""
    found: Item = {}
    for attribute in (schema.hash, schema.range):
        if attribute is None:
            continue
        if attribute.name not in record:
            raise ValueError(f"the key attribute {attribute.name} is missing")
        found[attribute.name] = _value(record[attribute.name], attribute)
    # The codec's own check of what a key may be.
    encode_key(schema, found)
    return found


def _csv_keys(lines: Iterable[str], schema: KeySchema) -> Iterator[Item | BadKey]:
    reader = csv.DictReader(lines)
    header = reader.fieldnames or ()
    missing = [name for name in schema.names if name not in header]
    if missing:
        raise ConfigError(
            f"the CSV file's first line does not name {', '.join(missing)}: it must be a header "
            f"with the key of the table ({', '.join(schema.names)})"
        )
    for row in reader:
        yield _checked(lambda row=row: row, schema, reader.line_num)


def _checked(record: Any, schema: KeySchema, number: int) -> Item | BadKey:
    try:
        return key_of(record(), schema)
    except ValueError as error:
        return BadKey(f"line {number}: {error}")


def _parsed(text: str, schema: KeySchema) -> Any:
    if text[0] in '{"':
        record = json.loads(text, parse_int=_Number, parse_float=_Number)
        if isinstance(record, dict):
            inner = record.get("Item")
            exported = len(record) == 1 and isinstance(inner, dict) and "Item" not in schema.names
            return inner if exported else record
    else:
        record = text
    if schema.range is not None:
        raise ValueError("the table has a range key: a plain value is not enough")
    return {schema.hash.name: record}


def _value(raw: Any, attribute: KeyAttribute) -> AttributeValue:
    kind = attribute.type
    if isinstance(raw, dict):
        if len(raw) != 1 or kind not in raw:
            raise ValueError(f"{attribute.name} must be of type {kind}")
        raw = raw[kind]
    if not isinstance(raw, str) or (kind == "S" and isinstance(raw, _Number)):
        raise ValueError(f"{attribute.name} must be of type {kind}")
    if kind == "B":
        try:
            return {"B": base64.b64decode(raw, validate=True)}
        except binascii.Error as error:
            raise ValueError(f"{attribute.name} must be in base64") from error
    if kind == "S" and not raw:
        raise ValueError(f"{attribute.name} is empty")
    return {kind: str(raw)}


def values_of(text: str, option: str) -> Any:
    """The JSON object of an option: DynamoDB JSON, or plain values by their kind."""
    try:
        found = json.loads(text, parse_int=_Number, parse_float=_Number)
    except ValueError as error:
        raise ConfigError(f"{option} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f'{option} must be a JSON object, as in {{":id": "x"}}')
    return found


def typed(value: Any, option: str) -> AttributeValue:
    """One value of ``values_of`` as an attribute value."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind in ("S", "N") and isinstance(content, str):
            return {kind: str(content)}
        if kind == "B" and isinstance(content, str):
            return {"B": base64.b64decode(content)}
        if kind == "BOOL" and isinstance(content, bool):
            return {"BOOL": content}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, _Number):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    raise ConfigError(f"{option}: {json.dumps(value)} is no text, number, binary or boolean")
