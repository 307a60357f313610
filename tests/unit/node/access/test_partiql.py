"""PartiQL statements: table, attributes and leading keys, and what is refused."""

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.access.need import ATTRIBUTES, FULL_TABLE_SCAN, LEADING_KEYS, CannotJudge
from node.access.partiql import read
from node.requests.statements import Unreadable, written_table
from tests.support.examples import examples
from tests.support.rows import every_row
from tests.unit.node.access.asked import ANY, PLAYS, USERS, asked, only, told


def run(statement: str, *parameters: Any, **more: Any) -> Any:
    return only("ExecuteStatement", Statement=statement, Parameters=list(parameters), **more)


LONGEST_S = 3.0
"""Far more than any takes, also on a loaded machine."""

BY_TEAM = f"{USERS}/index/byTeam"
READ: list[tuple[str, str, str, list[str], list[str] | None, str]] = [
    # statement, action, resource, attributes, leading keys (None: none), select
    ("SELECT * FROM Users WHERE id = 'ada'", "Select", USERS, ["id"], ["ada"], "ALL_ATTRIBUTES"),
    ("SELECT * FROM Users", "Select", USERS, [], None, "ALL_ATTRIBUTES"),
    (
        'select "name", a.b[0] from "Users" where "id" = \'ad\'\'a\' and pay > 5;',
        *("Select", USERS, ["name", "a", "id", "pay"], ["ad'a"], "SPECIFIC_ATTRIBUTES"),
    ),
    (
        "SELECT wins FROM Users WHERE 'ada' = id",
        *("Select", USERS, ["wins", "id"], ["ada"], "SPECIFIC_ATTRIBUTES"),
    ),
    (
        "SELECT wins FROM Users WHERE id IN ['ada', 'bob'] ORDER BY id DESC",
        *("Select", USERS, ["wins", "id"], ["ada", "bob"], "SPECIFIC_ATTRIBUTES"),
    ),
    (
        "SELECT wins FROM Users WHERE (id IN ('ada')) AND at BETWEEN 1 AND 2",
        *("Select", USERS, ["wins", "id", "at"], ["ada"], "SPECIFIC_ATTRIBUTES"),
    ),
    (
        "SELECT * FROM Users.byTeam WHERE team = 'red' AND contains(town, 'x')",
        *("Select", BY_TEAM, ["team", "town"], ["red"], "ALL_PROJECTED_ATTRIBUTES"),
    ),
    (
        'SELECT * FROM "Users"."byTeam" WHERE attribute_type("id", \'S\')',
        *("Select", BY_TEAM, ["id"], None, "ALL_PROJECTED_ATTRIBUTES"),
    ),
    (
        "SELECT * FROM Plays WHERE game = -5.0 AND at IS NOT MISSING",
        *("Select", PLAYS, ["game", "at"], ["-5"], "ALL_ATTRIBUTES"),
    ),
    (
        "SELECT Users.pay FROM Users WHERE id = 'ada'",
        *("Select", USERS, ["Users", "pay", "id"], ["ada"], "SPECIFIC_ATTRIBUTES"),
    ),
]


@pytest.mark.parametrize(("statement", "verb", "resource", "attributes", "leading", "select"), READ)
def test_select(
    statement: str,
    verb: str,
    resource: str,
    attributes: list[str],
    leading: list[str] | None,
    select: str,
) -> None:
    need = run(statement)
    assert (need.action, need.resource) == (f"dynamodb:PartiQL{verb}", resource)
    facts = told(need)
    assert facts.get("attributes", []) == attributes
    assert facts.get("leadingkeys") == leading
    assert facts["select"] == select
    assert facts["fulltablescan"] == ("false" if leading else "true")
    assert need.facts.unknown == {}


WRITTEN: list[tuple[str, str, list[str], list[str], str | None]] = [
    ("INSERT INTO Users VALUE {'id': 'ada', 'pay': 5}", "Insert", ["id", "pay"], ["ada"], None),
    (
        "INSERT INTO \"Users\" VALUE {'id': 'ada', 'a': {'id': 'bob', 'x': [1, 2]}}",
        *("Insert", ["id", "a"], ["ada"], None),
    ),
    ("DELETE FROM Users WHERE id = 'ada'", "Delete", ["id"], ["ada"], None),
    (
        "DELETE FROM Users WHERE id = 'ada' RETURNING ALL OLD *",
        *("Delete", ["id"], ["ada"], "ALL_OLD"),
    ),
    (
        "UPDATE Users SET pay = pay + 1, b.c = list_append(d, [5]) REMOVE e WHERE id='ada' AND f=1 "
        "RETURNING MODIFIED NEW *",
        *("Update", ["pay", "b", "d", "e", "id", "f"], ["ada"], "UPDATED_NEW"),
    ),
    (
        "UPDATE Users REMOVE desc SET \"by\" = TRUE WHERE id = 'ada'",
        *("Update", ["desc", "by", "id"], ["ada"], None),
    ),
]


@pytest.mark.parametrize(("statement", "verb", "attributes", "leading", "returned"), WRITTEN)
def test_writes(
    statement: str, verb: str, attributes: list[str], leading: list[str], returned: str | None
) -> None:
    need = run(statement)
    assert (need.action, need.resource) == (f"dynamodb:PartiQL{verb}", USERS)
    facts = told(need)
    assert facts["attributes"] == attributes
    assert facts["leadingkeys"] == leading
    assert facts.get("returnvalues") == returned
    assert "fulltablescan" not in facts
    assert need.facts.unknown == {}


def test_parameters_count_in_order() -> None:
    need = run(
        "UPDATE Users SET a = ?, b = ? WHERE c = ? AND id = ?",
        *({"S": "1"}, {"S": "2"}, {"S": "3"}, {"S": "ada"}),
    )
    assert told(need)["leadingkeys"] == ["ada"]
    need = run("SELECT * FROM Users WHERE id IN (?, 'x', ?)", {"S": "a"}, {"S": "b"})
    assert told(need)["leadingkeys"] == ["a", "x", "b"]
    need = run("INSERT INTO Users VALUE {'a': [?, ?], 'id': ?}", {}, {}, {"S": "ada"})
    assert told(need)["leadingkeys"] == ["ada"]
    blob = run("SELECT * FROM Blobs WHERE hash = ?", {"B": b"\x00"})
    assert told(blob)["leadingkeys"] == ["AA=="]
    text = run("SELECT * FROM Users WHERE id = '?' AND a = ?", {"S": "x"})
    assert told(text)["leadingkeys"] == ["?"]


@every_row(
    ("statement", "parameters"),
    [
        ("SELECT * FROM Users WHERE id = ?", []),
        ("SELECT * FROM Users WHERE id = ?", [{"N": "5"}]),
        ("SELECT * FROM Users WHERE id = ?", ["ada"]),
        ("SELECT * FROM Users WHERE id = 5", []),
        ("SELECT * FROM Users WHERE id > 'a'", []),
        ("SELECT * FROM Users WHERE id = 'a' OR id = 'b'", []),
        ("SELECT * FROM Users WHERE NOT id = 'a'", []),
        ("SELECT * FROM Users WHERE (id = 'a' OR id = 'b') AND c = 1", []),
        ("SELECT * FROM Users WHERE id = 'a' AND id = 'b'", []),
        ("SELECT * FROM Users WHERE id = 'a' || 'b'", []),
        ("SELECT * FROM Users WHERE ID = 'a'", []),
        ("SELECT * FROM Users WHERE b BETWEEN 1 AND id = 'a'", []),
        ("SELECT * FROM Users WHERE Users.id = 'a'", []),
        ("SELECT * FROM Users WHERE id.x = 'a'", []),
        ("SELECT * FROM Users WHERE id = other", []),
        ("SELECT * FROM Users WHERE id IN [other]", []),
        ("SELECT * FROM Users WHERE id IN []", []),
        ("SELECT * FROM Users WHERE begins_with(id, 'a')", []),
        ("SELECT * FROM Others WHERE id = 'a'", []),
        ("SELECT * FROM Users.byBoth WHERE team = 'a'", []),
        ("UPDATE Users SET a = 1", []),
        ("DELETE FROM Users", []),
        ("DELETE FROM Users WHERE a = 1", []),
        ("INSERT INTO Users VALUE {'a': 1}", []),
        ("INSERT INTO Users VALUE {'id': 'a', 'id': 'b'}", []),
        ("INSERT INTO Users VALUE {'id': ['a']}", []),
        ("INSERT INTO Users VALUE ?", [{"M": {"id": {"S": "a"}}}]),
    ],
)
def test_leading_keys_that_are_not_read_are_unknown(statement: str, parameters: list[Any]) -> None:
    need = run(statement, *parameters)
    assert LEADING_KEYS in need.facts.unknown
    if statement.startswith("SELECT"):
        sure = need.facts.context.get(FULL_TABLE_SCAN)
        plain = statement.endswith(("= ?", "= 5"))
        assert sure == (("false",) if plain else ("true",)) or FULL_TABLE_SCAN in need.facts.unknown


def test_an_item_as_a_parameter_hides_its_attributes() -> None:
    assert ATTRIBUTES in run("INSERT INTO Users VALUE ?", {"M": {}}).facts.unknown


@every_row(
    "statement",
    [
        *("", "  ", ";", "5", "DROP TABLE Users", "SELECT", "SELECT *", "SELECT * FROM"),
        *("SELECT * FROM 'Users'", "SELECT * FROM Users u", "SELECT * FROM Users, Plays"),
        *("SELECT * FROM Users JOIN Plays", "SELECT * FROM Users.", "SELECT * FROM (SELECT 1)"),
        *("SELECT * FROM Users; SELECT * FROM Plays", "SELECT * FROM Users -- x"),
        *("SELECT * FROM Users /* x */ WHERE id = 'a'", "SELECT * FROM Users WHERE id = 'a"),
        *("SELECT * FROM Users WHERE (id = 'a'", "SELECT * FROM Users WHERE id IN (1]"),
        *("INSERT Users VALUE {}", "INSERT INTO Users {'id': 'a'}", "DELETE Users WHERE id = 'a'"),
        *("UPDATE Users WHERE id = 'a'", "UPDATE SET a = 1", "EXISTS(SELECT * FROM Users) x"),
        *("DELETE FROM Users RETURNING everything", "SELECT \u00e4 FROM Users", "EXISTS"),
        *("SELECT * FROM a-b WHERE id = 'x'", "SELECT * FROM Users@x", "(SELECT * FROM Users)"),
        *("SELECT * FROM Users WHERE a > 1 -- AND id = 'a'", "SELECT a /* x */ FROM Users"),
        *("SELECT * FROM Users WHERE id IN (SELECT id FROM Plays)", "SELECT VALUE id FROM Users"),
        "SELECT * FROM Users WHERE id = '" + "x" * 70_000 + "'",
    ],
)
def test_what_cannot_be_judged_is_refused(statement: str) -> None:
    with pytest.raises(CannotJudge, match=r"the statement|there is more"):
        run(statement)
    with pytest.raises(CannotJudge):
        asked("BatchExecuteStatement", Statements=[{"Statement": statement}])


def test_long_statements_take_bounded_time() -> None:
    deep = "SELECT * FROM Users WHERE " + "(" * 60 + "id = 'x'" + ")" * 60
    assert told(run(deep))["leadingkeys"] == ["x"]
    began = time.monotonic()
    with pytest.raises(CannotJudge, match="too many brackets"):
        run(deep.replace("(" * 60, "(" * 65).replace(")" * 60, ")" * 65))
    most = "SELECT * FROM Users WHERE id IN (" + "?," * 2000 + "?)"
    statements = [{"Statement": most, "Parameters": [{"S": "a"}] * 2001}] * 5
    for need in asked("BatchExecuteStatement", Statements=statements[:4]):
        assert told(need)["leadingkeys"] == ["a"]
    with pytest.raises(CannotJudge, match="in all"):
        asked("BatchExecuteStatement", Statements=statements)
    with pytest.raises(CannotJudge, match="4096 words"):
        run("SELECT * FROM Users WHERE id IN (" + "?," * 4000 + "?)")
    assert time.monotonic() - began < LONGEST_S


def test_a_transaction_has_statements_and_conditions() -> None:
    found = asked(
        "ExecuteTransaction",
        TransactStatements=[
            {"Statement": "EXISTS(SELECT * FROM Users WHERE id = ?)", "Parameters": [{"S": "ada"}]},
            {"Statement": "UPDATE Users SET a = 1 WHERE id = 'bob'"},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert [(need.action, told(need)["leadingkeys"]) for need in found] == [
        ("dynamodb:PartiQLSelect", ["ada"]),
        ("dynamodb:PartiQLUpdate", ["bob"]),
    ]
    for need in found:
        assert need.facts.context["dynamodb:enclosingoperation"] == ("ExecuteTransaction",)
        assert told(need)["returnconsumedcapacity"] == "TOTAL"


def test_a_batch_has_statements_and_encloses_nothing() -> None:
    found = asked(
        "BatchExecuteStatement",
        Statements=[
            {"Statement": "SELECT a FROM Users WHERE id = 'ada'"},
            {"Statement": "DELETE FROM Plays WHERE game = 1 AND at = 'x'"},
        ],
    )
    assert [(need.action, need.resource) for need in found] == [
        ("dynamodb:PartiQLSelect", USERS),
        ("dynamodb:PartiQLDelete", PLAYS),
    ]
    assert "dynamodb:enclosingoperation" not in found[0].facts.context


def test_an_item_that_comes_with_a_failed_condition_is_returned() -> None:
    found = asked(
        "ExecuteStatement",
        Statement="DELETE FROM Users WHERE id = 'ada'",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    assert [told(need).get("returnvalues") for need in found] == [None, "ALL_OLD"]


@pytest.mark.parametrize("statements", [None, [], {}, [5]])
def test_no_statements_need_something(statements: Any) -> None:
    found = asked("BatchExecuteStatement", Statements=statements)
    assert {need.resource for need in found} == {ANY}
    assert len(found) == 4


def test_the_table_in_place_of_attributes_is_all_of_them() -> None:
    for projection in ("Users", "users", '"Users", id', "COUNT(*)", "id, *"):
        assert told(run(f"SELECT {projection} FROM Users"))["select"] == "ALL_ATTRIBUTES"


PIECES = [
    *("SELECT", "INSERT INTO", "UPDATE", "DELETE FROM", "FROM", "WHERE", "SET", "REMOVE", "VALUE"),
    *("Users", '"Users"', '"a""b"', "Plays", "Users.byTeam", '"Users"."byTeam"', "*", ",", ";"),
    *("id = 'x'", "'FROM Plays'", "{'id': 'x'}", "(", ")", "EXISTS(", "--", "/*", "*/", "a-b", "?"),
    *("AND", "OR", "RETURNING ALL OLD *", "''", "'", '"'),
]


@settings(max_examples=examples(500))
@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=2, max_size=9), space=st.sampled_from(" \n")
)
@example(pieces=["UPDATE", "Users", "SET", "id = 'x'"], space=" ")
@example(pieces=["EXISTS(", "DELETE FROM", "Users", "WHERE", "id = 'x'", ")"], space=" ")
@example(pieces=["DELETE FROM", '"Users"."byTeam"', "WHERE", "id = 'x'"], space=" ")
@example(pieces=["INSERT INTO", '"a""b"', "VALUE", "{'id': 'x'}", ";"], space="\n")
@example(pieces=["SELECT", "*", "FROM", "Users", "WHERE", "id = 'x'"], space=" ")
def test_rights_are_asked_for_the_table_that_is_fenced(pieces: list[str], space: str) -> None:
    """The other reader of statements, which fences what they write to, sees the same table."""
    text = space.join(pieces)
    try:
        statement = read(text)
    except CannotJudge:
        return
    try:
        written = written_table(text)
    except Unreadable:
        return  # then each table that it spells is fenced
    assert written == (None if statement.verb == "Select" else statement.table)


def test_an_arn_names_the_table() -> None:
    assert run(f"SELECT * FROM \"{USERS}\" WHERE id = 'ada'").resource == USERS
