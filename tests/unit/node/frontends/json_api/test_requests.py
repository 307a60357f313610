"""What the HTTP front end makes of requests, without a socket."""

import json
from typing import Any

import pytest

from node.frontends.json_api.parameters import to_params
from node.frontends.json_api.replies import reply_of, to_json
from node.requests.reach import RAW, only_reads, raw_params, spoken_name, tables_of
from node.requests.statements import Unreadable, written_table, written_tables
from node.requests.table_names import table_of
from node.tables.item_keys import has_sane_key
from paceline.errors import DynamoDBError, RequestError
from paceline.types import KeyAttribute, KeySchema

KEY = {"id": {"S": "1"}}
GET = {"TableName": "table", "Key": KEY}


def test_binary_values_are_decoded_and_encoded_again() -> None:
    value = {"M": {"a": {"L": [{"B": "AP8="}, {"BS": ["AA==", "AQ=="]}]}}}
    body = {"TableName": "table", "Item": {**KEY, "v": value}}
    params = to_params("PutItem", body)
    assert params is not None
    assert params["Item"]["v"]["M"]["a"]["L"] == [{"B": b"\x00\xff"}, {"BS": [b"\x00", b"\x01"]}]
    assert json.loads(to_json(params)) == body


@pytest.mark.parametrize(
    "body",
    [
        {"Key": KEY},
        {"TableName": "table"},
        {"TableName": "t", "Key": KEY},
        {"TableName": "arn:aws:dynamodb:us-east-1:1:table/table", "Key": KEY},
        {**GET, "Unknown": 1},
        {**GET, "ConsistentRead": "true"},
        {**GET, "ReturnConsumedCapacity": "ALL"},
        {**GET, "Key": {"id": {"S": "1", "N": "1"}}},
        {**GET, "Key": {"id": {"S": 1}}},
        {**GET, "Key": {"id": {"B": "no base64"}}},
        {**GET, "Key": {"id": {"SS": []}}},
        {**GET, "AttributesToGet": ["a"]},
    ],
)
def test_what_is_not_surely_well_formed_is_dynamodbs_to_judge(body: Any) -> None:
    assert to_params("GetItem", GET) == GET
    assert to_params("GetItem", body) is None


@pytest.mark.parametrize(
    "value",
    [
        "S",
        ["S"],
        {},
        None,
        {"S": None},
        {"N": 1},
        {"B": 1},
        {"BOOL": "true"},
        {"NULL": 1},
        {"M": []},
        {"M": {"a": "S"}},
        {"L": {}},
        {"L": ["S"]},
        {"SS": "ab"},
        {"SS": [1]},
        {"NS": []},
        {"BS": ["AA==", 1]},
        {"X": "1"},
    ],
)
def test_a_value_of_no_form_that_dynamodb_has_is_left_to_it(value: Any) -> None:
    assert to_params("PutItem", {"TableName": "table", "Item": {**KEY, "v": value}}) is None


@pytest.mark.parametrize(("limit", "taken"), [(2**31 - 1, True), (2**31, False), (10**30, False)])
def test_numbers_that_dynamodb_has_no_room_for(limit: int, taken: bool) -> None:
    assert (to_params("Scan", {"TableName": "table", "Limit": limit}) is not None) is taken


def test_legacy_parameters_of_pages_and_writes_are_understood() -> None:
    condition = {"a": {"ComparisonOperator": "EQ", "AttributeValueList": [{"B": "AA=="}]}}
    query = to_params("Query", {"TableName": "table", "KeyConditions": condition})
    assert query is not None
    assert query["KeyConditions"]["a"]["AttributeValueList"] == [{"B": b"\x00"}]
    update = {
        "TableName": "table",
        "Key": KEY,
        "AttributeUpdates": {"a": {"Action": "PUT", "Value": {"B": "AA=="}}},
        "Expected": {"b": {"Exists": False}},
    }
    params = to_params("UpdateItem", update)
    assert params is not None
    assert params["AttributeUpdates"]["a"]["Value"] == {"B": b"\x00"}


@pytest.mark.parametrize(
    ("key", "sane"),
    [
        ({"id": {"S": "x"}, "n": {"N": "1"}}, True),
        ({"id": {"S": ""}, "n": {"N": "1"}}, False),
        ({"id": {"S": "x" * 2049}, "n": {"N": "1"}}, False),
        ({"id": {"S": "x"}, "n": {"N": "1E400"}}, False),
        ({"id": {"S": "x"}, "n": {"N": "1" * 39}}, False),
        ({"id": {"S": "x"}, "n": {"N": "one"}}, False),
    ],
)
def test_keys_that_dynamodb_would_refuse(key: Any, sane: bool) -> None:
    schema = KeySchema(KeyAttribute("id", "S"), KeyAttribute("n", "N"))
    assert has_sane_key(key, schema) is sane


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("SELECT * FROM t", None),
        (" -- UPDATE x\n /* DELETE */ (select * from t)", None),
        ("EXISTS(SELECT * FROM t WHERE id='1')", None),
        ("INSERT INTO \"my.table\" VALUE {'id': '1'}", "my.table"),
        ("insert\n/* in */ into t VALUE {'id': 'DELETE FROM x'}", "t"),
        ("UPDATE Music SET a='1' WHERE id='1'", "Music"),
        ('UPDATE"a""b" SET a=1 WHERE id=1', 'a"b'),
        ("-- x\nDELETE FROM t.i WHERE id='1'", "t"),
        ("/* x */ DELETE FROM t WHERE id='*/SELECT'", "t"),
        ('DELETE FROM "arn:aws:dynamodb:us-east-1:1:table/t" WHERE id=1', "t"),
    ],
)
def test_the_table_of_a_statement(statement: str, table: str | None) -> None:
    assert written_table(statement) == table


@pytest.mark.parametrize(
    "statement",
    ["", "TRUNCATE t", "UPDATE", "UPDATEt SET", "/* UPDATE t", "/**/" * 10_000, " " * 100_000],
)
def test_a_statement_that_cannot_be_read(statement: str) -> None:
    with pytest.raises(Unreadable):
        written_table(statement)


def test_batches_of_statements_name_every_table_once() -> None:
    statements = [
        {"Statement": text}
        for text in ("SELECT * FROM a", "UPDATE b SET x=1", "DELETE FROM c", "UPDATE b SET y=1")
    ]
    batch = {"Statements": statements}
    assert written_tables("BatchExecuteStatement", batch) == ("b", "c")
    reads = {"TransactStatements": statements[:1]}
    assert written_tables("ExecuteTransaction", reads) is None


@pytest.mark.parametrize("body", [{}, {"Statement": ""}, {"Statement": 1}])
def test_where_no_statement_is_no_table_is_named(body: Any) -> None:
    assert set(written_tables("ExecuteStatement", body) or ()) <= {"Statement"}
    batch = {"TransactStatements": [body]}
    assert set(written_tables("ExecuteTransaction", batch) or ()) <= {"Statement"}


def test_a_statement_that_cannot_be_read_may_write_to_all_that_it_spells() -> None:
    statements = [{"Statement": "UPDATE b SET x=1"}, {"Statement": 'TRUNCATE "t-1.by" -- now'}]
    tables = written_tables("BatchExecuteStatement", {"Statements": statements})
    assert tables is not None
    assert tables[0] == "b"
    assert {"TRUNCATE", "t-1.by", "t-1", "by", "now"} <= set(tables)
    for body in ({"Statements": "UPDATE t SET x=1"}, {"Statements": ["UPDATE t SET x=1"]}):
        assert "t" in (written_tables("BatchExecuteStatement", body) or ())
    by_parameter = {"Statement": "TRUNCATE ?", "Parameters": [{"S": "some-table"}]}
    assert "some-table" in (written_tables("ExecuteStatement", by_parameter) or ())


def test_a_statement_that_spells_too_much_is_refused() -> None:
    text = "NONSENSE " + " ".join(f"word{number}" for number in range(200))
    with pytest.raises(RequestError, match="cannot tell which tables"):
        written_tables("ExecuteStatement", {"Statement": text})


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM a; DELETE FROM t",
        "--\rDELETE FROM t\nSELECT * FROM a",
        "/* /* */ SELECT * FROM a */ DELETE FROM t",
    ],
)
def test_what_others_may_read_otherwise_is_no_read(statement: str) -> None:
    tables = written_tables("ExecuteStatement", {"Statement": statement})
    assert {"a", "t"} <= set(tables or ())


@pytest.mark.parametrize("statement", ["SELECT * FROM t WHERE a = 'it''s; so'", "SELECT 1 ; "])
def test_a_semicolon_alone_makes_no_write(statement: str) -> None:
    assert written_tables("ExecuteStatement", {"Statement": statement}) is None


def test_tables_are_named_in_many_places() -> None:
    assert table_of("arn:aws:dynamodb:us-east-1:1:table/t/index/i") == "t"
    assert table_of("\ud800") is table_of("x" * 256) is table_of("") is None
    restored = {"TargetTableName": "t", "BackupArn": "x"}
    assert tables_of("RestoreTableFromBackup", restored) == ("t",)
    assert tables_of("ImportTable", {"TableCreationParameters": {"TableName": "t"}}) == ("t",)
    assert tables_of("UpdateTable", {"ResourceArn": "x"}) == ()
    assert tables_of("BatchWriteItem", {"RequestItems": {"a": [], "b": 1}}) == ("a", "b")
    actions = [{"Put": {"TableName": "a"}}, {"Put": {"TableName": 1}}, 2]
    assert tables_of("TransactWriteItems", {"TransactItems": actions}) == ("a",)


def test_errors_have_dynamodbs_names() -> None:
    own = reply_of(RequestError("ValidationException", "wrong"))
    assert json.loads(own.body) == {
        "__type": "com.amazon.coral.validate#ValidationException",
        "message": "wrong",
    }
    told = DynamoDBError("X", "y", 400, request_id="R", body=b'{"as": "it came"}')
    assert (reply_of(told).body, reply_of(told).request_id) == (b'{"as": "it came"}', "R")
    failed = DynamoDBError("ConditionalCheckFailedException", "no", item={"id": {"B": b"\0"}})
    assert json.loads(reply_of(failed).body)["Item"] == {"id": {"B": "AA=="}}


def test_a_raw_request_is_called_what_the_caller_calls_it() -> None:
    params = raw_params("DynamoDB_20120810.UpdateTable", b"{}")
    assert spoken_name(RAW, params) == "UpdateTable"
    assert spoken_name("PutItem", {"TableName": "t"}) == "PutItem"


def test_what_only_reads_is_not_fenced() -> None:
    reads = ("SearchVectors", "ListTables", "GetResourcePolicy", "TransactGetItems")
    assert all(only_reads(operation) for operation in reads)
    assert not any(only_reads(operation) for operation in ("StartBulkPutItems", "GetAndDelete"))
