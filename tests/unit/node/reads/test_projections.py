"""Which projections a node carries out itself, and which it leaves to DynamoDB."""

from __future__ import annotations

import pytest

from node.reads.projections import ACCEPTED_MAX, Projections, leads_into_key, plain_paths
from node.tables.table_info import IndexInfo, TableInfo
from paceline.types import KeyAttribute, KeySchema, Params
from tests.unit.node.fakes import TABLE


def projected(text: str, **names: str) -> Params:
    params: Params = {"ProjectionExpression": text}
    if names:
        params["ExpressionAttributeNames"] = {f"#{name}": to for name, to in names.items()}
    return params


def test_names_that_may_be_reserved_words_are_dynamodbs_to_take_once() -> None:
    known = Projections()
    plain = projected("name, #a.b", a="x")
    assert known.paths(plain) is None
    known.taken(plain, found=False)
    assert known.paths(plain) is None  # where no item is, nobody has looked at it
    known.taken(plain, found=True)
    assert known.paths(plain) is not None
    assert known.paths(projected("name, #a.b", a="y")) is None
    assert known.paths(projected("name")) is None
    known.taken(projected("name"), found=True)
    assert known.paths(projected("name")) is not None


def test_placeholders_and_positions_need_nobodys_word() -> None:
    known = Projections()
    assert known.paths({}) is not None
    assert known.paths(projected("#a, #b[0].#a", a="x", b="y")) is not None
    assert known.paths(projected("#a, b", a="x")) is None


def test_what_cannot_be_read_is_never_valid_whoever_has_taken_it() -> None:
    known = Projections()
    for params in (
        projected("name,"),
        projected("#a"),
        projected("#a", a="x", b="y"),
        {"ExpressionAttributeNames": {"#a": "x"}},
        {"ProjectionExpression": "name", "ExpressionAttributeNames": {}},
    ):
        assert plain_paths(params) is None
        known.taken(params, found=True)
        assert known.paths(params) is None


def test_of_those_that_were_taken_the_latest_are_remembered() -> None:
    known = Projections()
    for number in range(ACCEPTED_MAX + 1):
        known.taken(projected(f"name{number}"), found=True)
    assert known.paths(projected("name0")) is None
    assert known.paths(projected("name1")) is not None
    assert known.paths(projected(f"name{ACCEPTED_MAX}")) is not None


@pytest.mark.parametrize(
    ("text", "into_key"),
    [("id", False), ("id.a", True), ("v.a, city[0]", True), ("v.id", False), ("city", False)],
)
def test_inside_a_key_attribute_of_the_table_or_of_an_index_is_nothing(
    text: str, into_key: bool
) -> None:
    assert leads_into_key(plain_paths(projected(text)) or (), TABLE) is into_key


@pytest.mark.parametrize(
    ("projection", "leads"),
    [
        ("#k", False),
        ("#k.a", True),
        ("#k[0]", True),
        ("#o, #k.a.b", True),
        ("#o.a", False),
        ("#i.a", True),
        ("#i", False),
    ],
)
def test_a_projection_may_not_lead_into_a_key_or_an_indexs(projection: str, leads: bool) -> None:
    schema = KeySchema(KeyAttribute("id", "S"), KeyAttribute("at", "N"))
    index = IndexInfo("GSI", KeySchema(KeyAttribute("colour", "S")))
    table = TableInfo("table", schema, "1", "ACTIVE", {"by-colour": index})
    names = {"#k": "at", "#o": "other", "#i": "colour"}
    used = {mark: name for mark, name in names.items() if mark in projection}
    params = {"ProjectionExpression": projection, "ExpressionAttributeNames": used}
    assert leads_into_key(plain_paths(params) or (), table) is leads
