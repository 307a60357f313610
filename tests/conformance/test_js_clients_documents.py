"""The JavaScript document clients (lib-dax 3.1.0, DocumentClient of v2; lib-dynamodb on the HTTP
API), and what the families of
clients make of each other's items."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from amazondax import AmazonDaxClient

from tests.conformance.conftest import CREDENTIALS
from tests.support.cluster import Cluster
from tests.support.js_client import JsClient, JsError, Kind, LowLevel
from tests.support.twins import Twins, normalized

DOCUMENTS: tuple[Kind, ...] = ("v3-document", "v2-document", "v3-http-document")
ITEM: dict[str, Any] = {
    "id": "document",
    "text": "žluť 🐎",
    "empty": "",
    "integer": 42,
    "negative": -7,
    "fraction": 0.1,
    "small": 1e-7,
    "large": 2251799813685248.5,
    "precise": 1.7976931348623157,
    "yes": True,
    "no": False,
    "nothing": None,
    "bytes": b"\x00\xff",
    "list": [1, "two", [3.5, None], {"deep": ["x"]}],
    "map": {"a": {"b.c": 1.25}, "empty": {}, "list": []},
    "texts": {"x", "y"},
    "numbers": {1, 2.5},
}
STORED = {
    "integer": {"N": "42"},
    "fraction": {"N": "0.1"},
    "small": {"N": "0.0000001"},
    "large": {"N": "2251799813685248.5"},
    "precise": {"N": "1.7976931348623157"},
    "map": {
        "M": {
            "a": {"M": {"b.c": {"N": "1.25"}}},
            "empty": {"M": {}},
            "list": {"L": []},
        }
    },
    "numbers": {"NS": ["1", "2.5"]},
}


@pytest.fixture(scope="module", params=DOCUMENTS)
def document(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[JsClient]:
    node = str(cluster.entry["nodes"][2]["http"])
    with JsClient(request.param, node if "http" in request.param else cluster.dax) as client:
        yield client


@pytest.fixture(scope="module", params=["v3", "v2"])
def javascript(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[LowLevel]:
    with JsClient(request.param, cluster.dax) as client:
        yield LowLevel(client)


def test_a_document_of_every_type(document: JsClient, twins: Twins, plain: Any) -> None:
    table = twins.cached.names["hash"]
    assert document.call("put", {"TableName": table, "Item": ITEM}) == {}
    stored = plain.get_item(TableName=table, Key={"id": {"S": "document"}})["Item"]
    for name, value in STORED.items():
        assert normalized(stored[name]) == normalized(value)
    for _ in range(3):
        found = document.call("get", {"TableName": table, "Key": {"id": "document"}})
        assert found["Item"] == ITEM


def test_operations_on_documents(document: JsClient, twins: Twins) -> None:
    table = twins.cached.names["range"]
    prefix = f"rows of {document.kind}"
    rows = [
        {"pk": prefix, "sk": n + 0.5, "v": n, "g": "even" if n % 2 else "odd"} for n in range(8)
    ]
    puts = [{"PutRequest": {"Item": row}} for row in rows]
    written = document.call("batchWrite", {"RequestItems": {table: puts}})
    assert written["UnprocessedItems"] == {}

    mine = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": prefix}}
    for _ in range(2):
        page = document.call("query", {"TableName": table, **mine})
        assert page["Items"] == rows
    page = document.call("query", {"TableName": table, "Limit": 3, **mine})
    assert page["LastEvaluatedKey"] == {"pk": prefix, "sk": 2.5}
    rest = document.call(
        "query", {"TableName": table, "ExclusiveStartKey": page["LastEvaluatedKey"], **mine}
    )
    assert page["Items"] + rest["Items"] == rows

    updated = document.call(
        "update",
        {
            "TableName": table,
            "Key": {"pk": prefix, "sk": 1.5},
            "UpdateExpression": "SET v = v + :half ADD tags :tags",
            "ConditionExpression": "v = :one",
            "ExpressionAttributeValues": {":half": 0.5, ":one": 1, ":tags": {"new"}},
            "ReturnValues": "ALL_NEW",
        },
    )
    assert updated["Attributes"] == {**rows[1], "v": 1.5, "tags": {"new"}}
    key = {"pk": prefix, "sk": 1.5}
    found = document.call("get", {"TableName": table, "Key": key, "ProjectionExpression": "v"})
    assert found["Item"] == {"v": 1.5}

    keys = [{"pk": prefix, "sk": n + 0.5} for n in (2, 4, 99)]
    found = document.call("batchGet", {"RequestItems": {table: {"Keys": keys}}})
    assert sorted(found["Responses"][table], key=lambda row: row["v"]) == [rows[2], rows[4]]

    found = document.call(
        "transactGet",
        {"TransactItems": [{"Get": {"TableName": table, "Key": key}} for key in keys]},
    )
    assert [entry.get("Item") for entry in found["Responses"]] == [rows[2], rows[4], None]
    document.call(
        "transactWrite",
        {
            "TransactItems": [
                {"Delete": {"TableName": table, "Key": keys[0]}},
                {"Put": {"TableName": table, "Item": {**keys[2], "v": 99}}},
            ]
        },
    )
    found = document.call(
        "scan",
        {"TableName": table, "FilterExpression": "v = :v", "ExpressionAttributeValues": {":v": 99}},
    )
    assert {**keys[2], "v": 99} in found["Items"]

    deleted = document.call(
        "delete", {"TableName": table, "Key": keys[1], "ReturnValues": "ALL_OLD"}
    )
    assert deleted["Attributes"] == rows[4]
    assert "Item" not in document.call("get", {"TableName": table, "Key": keys[1]})


def test_a_failed_condition_on_a_document(document: JsClient, twins: Twins) -> None:
    with pytest.raises(JsError) as caught:
        document.call(
            "put",
            {
                "TableName": twins.cached.names["hash"],
                "Item": {"id": "never"},
                "ConditionExpression": "attribute_exists(id)",
            },
        )
    assert caught.value.code == "ConditionalCheckFailedException"
    assert caught.value.status == 400


NUMBERS = ["1.5", "0.1", "-0.25", "1E-7", "1e21", "123456789.123456789", "9007199254740993", "2.50"]
"""JavaScript sends some of them as floats; nobody else may see that."""


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_javascript_wrote(
    cluster: Cluster, javascript: LowLevel, dax: Any, plain: Any, twins: Twins, number: str
) -> None:
    table = twins.cached.names["numbers"]
    # The number is the hash key too: the bytes differ from client to client, the key does not.
    key = {"pk": {"N": number}, "sk": {"S": "js"}}
    item = {**key, "v": {"N": number}, "l": {"L": [{"NS": [number, "0"]}]}}
    plainly = f"{Decimal(number):f}"  # as DynamoDB spells it, but for zeros at the end
    expected = {
        "pk": {"N": plainly},
        "sk": {"S": "js"},
        "v": {"N": plainly},
        "l": {"L": [{"NS": [plainly, "0"]}]},
    }
    javascript.put_item(TableName=table, Item=item)
    exact = plain.get_item(TableName=table, Key={**key, "pk": {"N": plainly}})
    for client in (dax, javascript):
        for _ in range(2):
            found = client.get_item(TableName=table, Key=key)
            # The client puts the key that it asked for into what it got.
            assert normalized(found["Item"]) == normalized({**expected, **key})
    if "Item" in exact:
        assert normalized(exact["Item"]) == normalized(expected)
    hits = cluster.counter("hits")
    for _ in range(20):
        dax.get_item(TableName=table, Key=key)
        javascript.get_item(TableName=table, Key=key)
    assert cluster.counter("hits") > hits + 20


def test_each_family_reads_and_writes_what_the_other_did(
    cluster: Cluster, javascript: LowLevel, dax: Any, twins: Twins
) -> None:
    table = twins.cached.names["hash"]
    key = {"id": {"S": "shared"}}
    for number in range(20):
        writer, reader = (dax, javascript) if number % 2 else (javascript, dax)
        item = {
            **key,
            f"name {number}": {"M": {"č": {"L": [{"N": f"{number}.5"}, {"B": b"\x00"}]}}},
            "𐐷": {"S": "beyond the BMP, where the families sort differently"},
            "\uff5e": {"S": "before it by code point, after it by UTF-16 unit"},
            "n": {"N": str(number)},
        }
        writer.put_item(TableName=table, Item=item)
        assert normalized(reader.get_item(TableName=table, Key=key)["Item"]) == normalized(item)
        reader.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET n = n + :half",
            ExpressionAttributeValues={":half": {"N": "0.5"}},
        )
        item["n"] = {"N": f"{number}.5"}
        assert normalized(writer.get_item(TableName=table, Key=key)["Item"]) == normalized(item)


def test_python_resources_read_documents(
    cluster: Cluster, document: JsClient, twins: Twins
) -> None:
    table = twins.cached.names["hash"]
    document.call("put", {"TableName": table, "Item": ITEM})
    with AmazonDaxClient.resource(endpoint_url=cluster.dax, **CREDENTIALS) as resource:
        item = resource.Table(table).get_item(Key={"id": "document"})["Item"]
    assert item["fraction"] == Decimal("0.1")
    assert item["list"] == [1, "two", [Decimal("3.5"), None], {"deep": ["x"]}]
    assert item["numbers"] == {1, Decimal("2.5")}
    assert item["large"] == Decimal("2251799813685248.5")
