"""Keys in files, in every form that is documented."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.errors import ConfigError
from paceline.types import KeyAttribute, KeySchema
from paceline_local.warm.keys import BadKey, format_of, read_keys, typed, values_of

TEXT = KeySchema(KeyAttribute("id", "S"))
NUMBER = KeySchema(KeyAttribute("id", "N"))
BINARY = KeySchema(KeyAttribute("id", "B"))
PAIR = KeySchema(KeyAttribute("id", "S"), KeyAttribute("at", "N"))


@pytest.mark.parametrize(
    ("schema", "line", "key"),
    [
        (TEXT, '{"id": {"S": "x"}, "more": {"BOOL": true}}', {"id": {"S": "x"}}),
        (TEXT, '{"id": "x"}', {"id": {"S": "x"}}),
        (TEXT, '{"Item": {"id": {"S": "x"}}}', {"id": {"S": "x"}}),
        (TEXT, '"x y"', {"id": {"S": "x y"}}),
        (TEXT, "  x y ", {"id": {"S": "x y"}}),
        (TEXT, "17", {"id": {"S": "17"}}),
        (NUMBER, "17", {"id": {"N": "17"}}),
        (NUMBER, '{"id": 1234567890.12345678901}', {"id": {"N": "1234567890.12345678901"}}),
        (NUMBER, '{"id": {"N": "17"}}', {"id": {"N": "17"}}),
        (BINARY, '{"id": {"B": "AAE="}}', {"id": {"B": b"\0\1"}}),
        (BINARY, "AAE=", {"id": {"B": b"\0\1"}}),
        (PAIR, '{"id": "x", "at": 5}', {"id": {"S": "x"}, "at": {"N": "5"}}),
        (
            KeySchema(KeyAttribute("Item", "S")),
            '{"Item": {"S": "x"}}',
            {"Item": {"S": "x"}},
        ),
    ],
)
def test_a_line(schema: KeySchema, line: str, key: dict[str, Any]) -> None:
    assert list(read_keys(["\n", line + "\n"], schema)) == [key]


@pytest.mark.parametrize(
    ("schema", "line", "reason"),
    [
        (TEXT, '{"other": "x"}', "id is missing"),
        (TEXT, '{"id": 5}', "must be of type S"),
        (TEXT, '{"id": {"N": "5"}}', "must be of type S"),
        (TEXT, '{"id": true}', "must be of type S"),
        (TEXT, '{"id": ""}', "is empty"),
        (TEXT, '{"id":', "line 1"),
        (NUMBER, "seventeen", "line 1"),
        (BINARY, "!", "base64"),
        (PAIR, "x", "range key"),
        (PAIR, '"x"', "range key"),
    ],
)
def test_a_line_that_is_no_key(schema: KeySchema, line: str, reason: str) -> None:
    (found,) = read_keys([line], schema)
    assert isinstance(found, BadKey)
    assert found.reason.startswith("line 1: ")
    assert reason in found.reason


def test_csv() -> None:
    lines = ["at,more,id\n", "5,,x\n", ",,y\n", '6,"a\nb","z, z"\n']
    first, second, third = read_keys(lines, PAIR, "csv")
    assert first == {"id": {"S": "x"}, "at": {"N": "5"}}
    assert isinstance(second, BadKey)
    assert second.reason.startswith("line 3: ")
    assert third == {"id": {"S": "z, z"}, "at": {"N": "6"}}
    with pytest.raises(ConfigError, match="does not name at"):
        list(read_keys(["id,when\n", "x,5\n"], PAIR, "csv"))


def test_the_format_is_told_by_the_name() -> None:
    assert [format_of(name) for name in ("a.CSV", "a.csv.gz", "a.json", "a", "csv")] == [
        "csv",
        "csv",
        "json",
        "json",
        "json",
    ]


def test_values_of_an_expression() -> None:
    values = values_of('{":a": "x", ":b": 1.50, ":c": {"B": "AAE="}, ":d": {"S": "s"}}', "--values")
    assert [typed(value, "--values") for value in values.values()] == [
        {"S": "x"},
        {"N": "1.50"},
        {"B": b"\0\1"},
        {"S": "s"},
    ]
    assert typed(True, "--values") == {"BOOL": True}
    for text in ("[]", "{"):
        with pytest.raises(ConfigError, match="--values"):
            values_of(text, "--values")
    with pytest.raises(ConfigError, match="no text"):
        typed([], "--values")
