"""Every operation and option through an official client answers as DynamoDB does.

A suite that modules run on a client of theirs: a class of theirs inherits ``OperationsSuite``, and
the module defines the fixture ``twins``.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.twins import Refusal, Twins, normalized

N = "ExpressionAttributeNames"
V = "ExpressionAttributeValues"
CAPACITIES = ("NONE", "TOTAL", "INDEXES")

ADA: dict[str, Any] = {
    "id": {"S": "ada"},
    "n": {"N": "5"},
    "s": {"S": "hello world"},
    "b": {"B": b"\x01\x02"},
    "t": {"BOOL": True},
    "z": {"NULL": True},
    "ss": {"SS": ["x", "y"]},
    "ns": {"NS": ["1", "2.5"]},
    "bs": {"BS": [b"\x01", b"\x02"]},
    "l": {"L": [{"N": "10"}, {"N": "20"}, {"M": {"deep": {"S": "down"}}}]},
    "m": {"M": {"a": {"N": "1"}, "c": {"L": [{"S": "i"}, {"S": "j"}]}, "d.e": {"S": "dot"}}},
    "size": {"S": "a reserved word"},
}
KEY = {"id": ADA["id"]}
CITIES = ("Brno", "Kyiv", "Oslo")


def row(number: int) -> dict[str, Any]:
    item: dict[str, Any] = {
        "pk": {"S": "rows"},
        "sk": {"N": str(number - 5)},
        "l": {"S": f"l{20 - number:02}"},
        "g": {"S": CITIES[number % 3]},
        "v": {"N": str(number * number)},
        "name": {"S": f"row {number}"},
        "nested": {"M": {"list": {"L": [{"N": str(number)}, {"S": "x"}]}}},
    }
    if number % 4 == 0:
        item["h"] = {"N": str(number % 8)}
    return item


class WithAda:
    """The item that most sections are about."""

    @pytest.fixture
    def ada(self, twins: Twins) -> Iterator[None]:
        twins.same("PutItem", TableName="hash", Item=ADA)
        yield
        through, straight = twins.dump("hash")
        assert through == straight


# -- reading one item --------------------------------------------------------------------------

PROJECTIONS: dict[str, dict[str, Any]] = {
    "one": {"ProjectionExpression": "n"},
    "key": {"ProjectionExpression": "id"},
    "several": {"ProjectionExpression": "n, s,ss , id"},
    "nested": {"ProjectionExpression": "m.a, m.c[1], l[2].deep"},
    "list elements out of order": {"ProjectionExpression": "l[1], l[0]"},
    "names": {"ProjectionExpression": "#s, m.#d", N: {"#s": "size", "#d": "d.e"}},
    "missing": {"ProjectionExpression": "nothing, m.nothing, l[9], n.x"},
    "partly missing": {"ProjectionExpression": "nothing, n"},
    "a parent": {"ProjectionExpression": "m"},
}


class ItemReads(WithAda):
    """GetItem."""

    @pytest.mark.parametrize("consistent", [False, True], ids=["cached", "consistent"])
    @pytest.mark.parametrize("name", PROJECTIONS)
    def test_projections_of_one_item(
        self, twins: Twins, ada: None, name: str, consistent: bool
    ) -> None:
        more = {"ConsistentRead": True} if consistent else {}
        for _ in range(2):
            twins.same("GetItem", TableName="hash", Key=KEY, **PROJECTIONS[name], **more)

    def test_projections_of_a_miss(self, twins: Twins, ada: None) -> None:
        for projection in PROJECTIONS.values():
            assert (
                twins.same("GetItem", TableName="hash", Key={"id": {"S": "?"}}, **projection) == {}
            )

    def test_legacy_parameters(self, twins: Twins, ada: None) -> None:
        twins.same("GetItem", TableName="hash", Key=KEY, AttributesToGet=["n", "size", "nothing"])
        twins.same(
            "UpdateItem",
            TableName="hash",
            Key=KEY,
            AttributeUpdates={
                "n": {"Action": "ADD", "Value": {"N": "2"}},
                "s": {"Action": "DELETE"},
                "new": {"Action": "PUT", "Value": {"S": "x"}},
            },
            Expected={"n": {"ComparisonOperator": "GE", "AttributeValueList": [{"N": "5"}]}},
            ReturnValues="ALL_NEW",
        )
        twins.same("GetItem", TableName="hash", Key=KEY)

    @pytest.mark.parametrize("capacity", CAPACITIES)
    def test_consumed_capacity(self, twins: Twins, ada: None, rows: None, capacity: str) -> None:
        asked = {"ReturnConsumedCapacity": capacity}
        twins.same("GetItem", TableName="hash", Key=KEY, ConsistentRead=True, **asked)
        twins.same("PutItem", TableName="hash", Item=ADA, **asked)
        update = {"UpdateExpression": "ADD n :n", V: {":n": {"N": "1"}}}
        twins.same("UpdateItem", TableName="hash", Key=KEY, **update, **asked)
        mine = {"KeyConditionExpression": "pk = :p", V: {":p": {"S": "rows"}}}
        twins.same("Query", TableName="range", ConsistentRead=True, **mine, **asked)
        twins.same("Scan", TableName="range", ConsistentRead=True, **asked)
        twins.same("PutItem", TableName="range", Item=row(3), **asked)
        twins.same("DeleteItem", TableName="hash", Key={"id": {"S": "gone"}}, **asked)
        twins.same(
            "BatchWriteItem",
            RequestItems={"hash": [{"PutRequest": {"Item": {"id": {"S": "capacity"}}}}]},
            **asked,
        )
        twins.same(
            "TransactGetItems", TransactItems=[{"Get": {"TableName": "hash", "Key": KEY}}], **asked
        )
        twins.same(
            "TransactWriteItems",
            TransactItems=[{"Put": {"TableName": "hash", "Item": {"id": {"S": "capacity"}}}}],
            **asked,
        )

    @pytest.mark.parametrize("metrics", ["NONE", "SIZE"])
    def test_item_collection_metrics(self, twins: Twins, rows: None, metrics: str) -> None:
        asked = {"ReturnItemCollectionMetrics": metrics}
        item = {"pk": {"S": "metrics"}, "sk": {"N": "1"}, "l": {"S": "x"}}
        key = {name: item[name] for name in ("pk", "sk")}
        twins.same("PutItem", TableName="range", Item=item, **asked)
        update = {"UpdateExpression": "SET v = :n", V: {":n": {"N": "1"}}}
        twins.same("UpdateItem", TableName="range", Key=key, **update, **asked)
        twins.same(
            "BatchWriteItem", RequestItems={"range": [{"PutRequest": {"Item": item}}]}, **asked
        )
        twins.same(
            "TransactWriteItems",
            TransactItems=[{"Put": {"TableName": "range", "Item": item}}],
            **asked,
        )
        twins.same("DeleteItem", TableName="range", Key=key, **asked)


# -- conditions --------------------------------------------------------------------------------

CONDITIONS: dict[str, dict[str, Any]] = {
    "n = :v": {":v": {"N": "5"}},
    "n <> :v": {":v": {"N": "5"}},
    "n < :v": {":v": {"N": "5.5"}},
    "n <= :v": {":v": {"N": "5"}},
    "n > :v": {":v": {"N": "5"}},
    "n >= :v": {":v": {"N": "4.99"}},
    "n BETWEEN :v AND :w": {":v": {"N": "1"}, ":w": {"N": "6"}},
    "NOT n BETWEEN :v AND :w": {":v": {"N": "1"}, ":w": {"N": "6"}},
    "n IN (:v, :w, :x)": {":v": {"N": "1"}, ":w": {"N": "5"}, ":x": {"S": "5"}},
    "s IN (:v)": {":v": {"S": "no"}},
    "attribute_exists(m.a)": {},
    "attribute_exists(m.nothing)": {},
    "attribute_not_exists(l[2].deep)": {},
    "attribute_not_exists(nothing)": {},
    "attribute_type(ss, :v)": {":v": {"S": "SS"}},
    "attribute_type(n, :v)": {":v": {"S": "S"}},
    "begins_with(s, :v)": {":v": {"S": "hello"}},
    "begins_with(b, :v)": {":v": {"B": b"\x02"}},
    "contains(s, :v)": {":v": {"S": "lo wo"}},
    "contains(ss, :v)": {":v": {"S": "y"}},
    "contains(ns, :v)": {":v": {"N": "2.5"}},
    "contains(l, :v)": {":v": {"N": "20"}},
    "contains(bs, :v)": {":v": {"B": b"\x03"}},
    "size(s) = :v": {":v": {"N": "11"}},
    "size(l) > :v AND size(ss) < :w": {":v": {"N": "2"}, ":w": {"N": "3"}},
    "size(#m) >= :v": {":v": {"N": "4"}},
    "n = :v AND s = :w OR t = :x": {":v": {"N": "0"}, ":w": {"S": "x"}, ":x": {"BOOL": True}},
    "n = :v AND (s = :w OR t = :x)": {":v": {"N": "0"}, ":w": {"S": "x"}, ":x": {"BOOL": True}},
    "NOT (n = :v OR NOT z = :w)": {":v": {"N": "0"}, ":w": {"NULL": True}},
    "n = m.a OR m.a < n": {},
    "l[0] < l[1]": {},
    "m.c[1] = :v": {":v": {"S": "j"}},
    "#m.c[0] <> #m.c[1]": {},
    "#m.#d = :v": {":v": {"S": "dot"}},
    "ss = :v": {":v": {"SS": ["y", "x"]}},
    "ns = :v": {":v": {"NS": ["2.50", "1"]}},
    "m.c = :v": {":v": {"L": [{"S": "i"}, {"S": "j"}]}},
    "b >= :v AND b = b": {":v": {"B": b"\x01"}},
    "id = :v": {":v": {"S": "ada"}},
    "n = :v AND n = :v AND n <> :w AND n <> :w": {":v": {"N": "5"}, ":w": {"N": "6"}},
    "nothing = :v": {":v": {"N": "5"}},
    "nothing <> :v": {":v": {"N": "5"}},
}


def condition(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {"ConditionExpression": text}
    names = {"#m": "m", "#d": "d.e"}
    used = {name: names[name] for name in names if name in text}
    if used:
        found[N] = used
    if CONDITIONS[text]:
        found[V] = CONDITIONS[text]
    return found


class Conditions(WithAda):
    """Conditions of writes, and what they leave."""

    @pytest.mark.parametrize("text", CONDITIONS)
    def test_conditions(self, twins: Twins, ada: None, text: str) -> None:
        expression = condition(text)
        twins.same("PutItem", TableName="hash", Item={**ADA, "mark": {"S": text}}, **expression)
        filters = {
            ("FilterExpression" if k == "ConditionExpression" else k): v
            for k, v in expression.items()
        }
        twins.same("Scan", TableName="hash", **filters)
        mine = {
            **filters,
            "KeyConditionExpression": "id = :id",
            V: {**CONDITIONS[text], ":id": ADA["id"]},
        }
        if "id" not in text.split():
            twins.same("Query", TableName="hash", **mine)
        twins.same("DeleteItem", TableName="hash", Key=KEY, ReturnValues="ALL_OLD", **expression)
        twins.same("GetItem", TableName="hash", Key=KEY)

    def test_a_condition_on_an_absent_item(self, twins: Twins) -> None:
        item = {"id": {"S": "absent"}, "v": {"N": "1"}}
        refused = twins.same(
            "PutItem", TableName="hash", Item=item, ConditionExpression="attribute_exists(id)"
        )
        assert isinstance(refused, Refusal)
        assert refused.code == "ConditionalCheckFailedException"
        twins.same(
            "PutItem", TableName="hash", Item=item, ConditionExpression="attribute_not_exists(id)"
        )
        twins.same("DeleteItem", TableName="hash", Key={"id": {"S": "absent"}})


# -- writing one item --------------------------------------------------------------------------

UPDATES: dict[str, dict[str, Any]] = {
    "set": {"UpdateExpression": "SET a1 = :v, s = :v", V: {":v": {"S": "new"}}},
    "set nested": {
        "UpdateExpression": "SET m.a = :v, l[1] = :v, m.c[5] = :v, #m.#d = :v",
        N: {"#m": "m", "#d": "d.e"},
        V: {":v": {"N": "7"}},
    },
    "copy": {"UpdateExpression": "SET a1 = n, a2 = m.c, a3 = l[0]"},
    "arithmetic": {
        "UpdateExpression": "SET n = n + :v, a1 = m.a - :v, a2 = :w - n",
        V: {":v": {"N": "0.5"}, ":w": {"N": "12345678901234567890123456789012345678"}},
    },
    "if_not_exists": {
        "UpdateExpression": "SET n = if_not_exists(n, :v), a1 = if_not_exists(a1, :v) + :v",
        V: {":v": {"N": "3"}},
    },
    "list_append": {
        "UpdateExpression": "SET l = list_append(l, :v), m.c = list_append(:v, m.c)",
        V: {":v": {"L": [{"S": "p"}, {"N": "1.50"}]}},
    },
    "list_append if_not_exists": {
        "UpdateExpression": "SET a1 = list_append(if_not_exists(a1, :e), :v)",
        V: {":v": {"L": [{"S": "p"}]}, ":e": {"L": []}},
    },
    "remove": {"UpdateExpression": "REMOVE n, l[0], m.c[1], m.nothing, nothing"},
    "add": {
        "UpdateExpression": "ADD n :n, ss :s, ns :ns, a1 :n, a2 :s",
        V: {":n": {"N": "-1.5"}, ":s": {"SS": ["y", "w"]}, ":ns": {"NS": ["2.5", "3"]}},
    },
    "delete": {
        "UpdateExpression": "DELETE ss :s, bs :b",
        V: {":s": {"SS": ["x", "w"]}, ":b": {"BS": [b"\x01", b"\x02"]}},
    },
    "all clauses": {
        "UpdateExpression": "REMOVE z SET a1 = :v, a2 = :v ADD n :n DELETE ss :s",
        V: {":v": {"S": "v"}, ":n": {"N": "1"}, ":s": {"SS": ["x"]}},
    },
    "types": {
        "UpdateExpression": "SET a1 = :a, a2 = :b, a3 = :c, a4 = :d, a5 = :e, a6 = :f",
        V: {
            ":a": {"S": ""},
            ":b": {"B": b""},
            ":c": {"NULL": True},
            ":d": {"M": {"x": {"L": []}}},
            ":e": {"BS": [b"\x00"]},
            ":f": {"BOOL": False},
        },
    },
    "nothing": {},
}
RETURNS = ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW")


def every_update() -> list[Any]:
    """Each update with two of the five ReturnValues, in turn; with the others in the long form."""
    return [
        pytest.param(name, returned, marks=() if (row - column) % 5 in (0, 2) else pytest.mark.soak)
        for row, name in enumerate(UPDATES)
        for column, returned in enumerate(RETURNS)
    ]


class ItemWrites(WithAda):
    """PutItem, UpdateItem, DeleteItem."""

    @pytest.mark.parametrize(("name", "returned"), every_update())
    def test_updates(self, twins: Twins, ada: None, name: str, returned: str) -> None:
        asked = {"ReturnValues": returned}
        twins.same("UpdateItem", TableName="hash", Key=KEY, **UPDATES[name], **asked)
        twins.same("GetItem", TableName="hash", Key=KEY)
        twins.same("GetItem", TableName="hash", Key=KEY, ConsistentRead=True)

    @pytest.mark.parametrize("returned", RETURNS)
    def test_an_update_that_makes_the_item(self, twins: Twins, returned: str) -> None:
        key = {"id": {"S": f"made {returned}"}}
        update = {"UpdateExpression": "SET a1 = :v ADD n :v", V: {":v": {"N": "1"}}}
        assert twins.same("GetItem", TableName="hash", Key=key) == {}
        twins.same("UpdateItem", TableName="hash", Key=key, ReturnValues=returned, **update)
        assert "Item" in twins.same("GetItem", TableName="hash", Key=key)
        twins.same("DeleteItem", TableName="hash", Key=key, ReturnValues="ALL_OLD")
        assert twins.same("GetItem", TableName="hash", Key=key) == {}

    def test_conditional_updates(self, twins: Twins, ada: None) -> None:
        update = {"UpdateExpression": "SET n = :w", "ConditionExpression": "n = :v"}
        values = {":v": {"N": "5"}, ":w": {"N": "6"}}
        twins.same("UpdateItem", TableName="hash", Key=KEY, **update, **{V: values})
        refused = twins.same("UpdateItem", TableName="hash", Key=KEY, **update, **{V: values})
        assert isinstance(refused, Refusal)
        assert twins.same("GetItem", TableName="hash", Key=KEY)["Item"]["n"] == {"N": "6"}

    @pytest.mark.parametrize("returned", ["NONE", "ALL_OLD"])
    def test_what_puts_and_deletes_return(self, twins: Twins, returned: str) -> None:
        key = {"id": {"S": f"returned {returned}"}}
        asked = {"ReturnValues": returned}
        twins.same("PutItem", TableName="hash", Item={**key, "v": {"N": "1"}}, **asked)
        twins.same("PutItem", TableName="hash", Item={**key, "w": {"N": "2"}}, **asked)
        twins.same("DeleteItem", TableName="hash", Key=key, **asked)
        twins.same("DeleteItem", TableName="hash", Key=key, **asked)


# -- queries and scans -------------------------------------------------------------------------

P = {":p": {"S": "rows"}}
QUERIES: dict[str, dict[str, Any]] = {
    "all": {"KeyConditionExpression": "pk = :p", V: P},
    "backwards": {"KeyConditionExpression": "pk = :p", V: P, "ScanIndexForward": False},
    "equal": {"KeyConditionExpression": "pk = :p AND sk = :s", V: {**P, ":s": {"N": "3"}}},
    "less": {"KeyConditionExpression": "pk = :p AND sk < :s", V: {**P, ":s": {"N": "-2"}}},
    "at most": {"KeyConditionExpression": "pk = :p AND sk <= :s", V: {**P, ":s": {"N": "-2.0"}}},
    "greater": {"KeyConditionExpression": "pk = :p AND sk > :s", V: {**P, ":s": {"N": "10.5"}}},
    "at least": {"KeyConditionExpression": "pk = :p AND sk >= :s", V: {**P, ":s": {"N": "10"}}},
    "between": {
        "KeyConditionExpression": "pk = :p AND sk BETWEEN :s AND :t",
        V: {**P, ":s": {"N": "-1"}, ":t": {"N": "4"}},
    },
    "names": {
        "KeyConditionExpression": "#p = :p AND #s > :s",
        N: {"#p": "pk", "#s": "sk"},
        V: {**P, ":s": {"N": "0"}},
    },
    "begins with, local index": {
        "IndexName": "local",
        "KeyConditionExpression": "pk = :p AND begins_with(l, :s)",
        V: {**P, ":s": {"S": "l0"}},
    },
    "nothing there": {"KeyConditionExpression": "pk = :p", V: {":p": {"S": "nobody"}}},
    "filter": {
        "KeyConditionExpression": "pk = :p",
        "FilterExpression": "v > :v AND contains(#n, :one)",
        N: {"#n": "name"},
        V: {**P, ":v": {"N": "30"}, ":one": {"S": "1"}},
    },
    "filter all out": {
        "KeyConditionExpression": "pk = :p",
        "FilterExpression": "attribute_exists(nothing)",
        V: P,
    },
    "projection": {
        "KeyConditionExpression": "pk = :p",
        "ProjectionExpression": "sk, nested.list[0], #n",
        N: {"#n": "name"},
        V: P,
    },
    "projection without keys": {
        "KeyConditionExpression": "pk = :p",
        "ProjectionExpression": "v",
        V: P,
    },
    "count": {"KeyConditionExpression": "pk = :p", V: P, "Select": "COUNT"},
    "count, filter": {
        "KeyConditionExpression": "pk = :p",
        "FilterExpression": "v > :v",
        V: {**P, ":v": {"N": "30"}},
        "Select": "COUNT",
    },
    "all attributes": {
        "KeyConditionExpression": "pk = :p",
        V: P,
        "Select": "ALL_ATTRIBUTES",
    },
    "specific attributes": {
        "KeyConditionExpression": "pk = :p",
        V: P,
        "Select": "SPECIFIC_ATTRIBUTES",
        "ProjectionExpression": "l",
    },
    "global index": {
        "IndexName": "global",
        "KeyConditionExpression": "g = :g AND sk > :s",
        V: {":g": {"S": "Kyiv"}, ":s": {"N": "0"}},
    },
    "keys-only index": {
        "IndexName": "sparse",
        "KeyConditionExpression": "h = :h",
        V: {":h": {"N": "4"}},
        "Select": "ALL_PROJECTED_ATTRIBUTES",
    },
    "legacy": {
        "KeyConditions": {
            "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [P[":p"]]},
            "sk": {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "9"}]},
        },
        "QueryFilter": {"v": {"ComparisonOperator": "LT", "AttributeValueList": [{"N": "300"}]}},
    },
}


SCANS: dict[str, dict[str, Any]] = {
    "all": {},
    "filter": {"FilterExpression": "v BETWEEN :a AND :b", V: {":a": {"N": "4"}, ":b": {"N": "99"}}},
    "projection": {"ProjectionExpression": "pk, nested.list[1]"},
    "count": {"Select": "COUNT"},
    "global index": {"IndexName": "global"},
    "keys-only index": {"IndexName": "sparse"},
    "local index, names": {
        "IndexName": "local",
        "FilterExpression": "#n <> :v",
        N: {"#n": "name"},
        V: {":v": {"S": "row 1"}},
    },
    "consistent": {"ConsistentRead": True},
    "legacy": {
        "ScanFilter": {"g": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "Oslo"}]}}
    },
}


ROUND_NUMBERS = ("-1200", "-10", "0", "7", "10", "100", "4000", "1" + "0" * 37)


class Queries(WithAda):
    """Query and Scan."""

    @pytest.mark.parametrize("name", QUERIES)
    def test_queries(self, twins: Twins, rows: None, name: str) -> None:
        if name == "keys-only index":
            # No range key: DynamoDB promises no order.
            through, straight = twins.both("Query", TableName="range", **QUERIES[name])
            for result in (through, straight):
                result["Items"].sort(key=repr)
            assert through == straight
            return
        for _ in range(2):
            twins.same("Query", TableName="range", **QUERIES[name])
        if QUERIES[name].get("IndexName") in (None, "local"):
            twins.same("Query", TableName="range", ConsistentRead=True, **QUERIES[name])

    @pytest.mark.parametrize("limit", [pytest.param(1, marks=pytest.mark.soak), 3, 7, 20])
    @pytest.mark.parametrize(
        "name", ["all", "backwards", "filter", "between", "global index", "count"]
    )
    def test_pages_of_queries(self, twins: Twins, rows: None, name: str, limit: int) -> None:
        start: dict[str, Any] = {}
        pages = 0
        while True:
            page = twins.same("Query", TableName="range", Limit=limit, **QUERIES[name], **start)
            pages += 1
            assert pages <= 21
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    @pytest.mark.parametrize("name", SCANS)
    def test_scans(self, twins: Twins, rows: None, name: str) -> None:
        for _ in range(2):
            twins.same("Scan", TableName="range", **SCANS[name])

    def test_parallel_scan(self, twins: Twins, rows: None) -> None:
        found: list[Any] = []
        for segment in range(4):
            page = twins.dax.scan(
                TableName=twins.cached.names["range"], Segment=segment, TotalSegments=4
            )
            found += page["Items"]
        whole = twins.plain.scan(TableName=twins.direct.names["range"])
        assert len(found) == whole["Count"]

    @pytest.mark.parametrize("index", [None, "global"])
    def test_pages_of_scans(self, twins: Twins, rows: None, index: str | None) -> None:
        """Order is DynamoDB's own, so what all pages hold together is compared."""
        more: dict[str, Any] = {} if index is None else {"IndexName": index}
        found: list[Any] = []
        start: dict[str, Any] = {}
        while True:
            page = twins.dax.scan(TableName=twins.cached.names["range"], Limit=3, **more, **start)
            assert len(page["Items"]) <= 3
            found += page["Items"]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        whole = twins.plain.scan(TableName=twins.direct.names["range"], **more)["Items"]
        assert sorted(normalized(found), key=repr) == sorted(normalized(whole), key=repr)

    def test_round_numbers_as_sort_keys(self, twins: Twins) -> None:
        """As text: a program that wants ``10`` cannot do with ``1E+1``."""
        keys = [{"pk": {"S": "round"}, "sk": {"N": number}} for number in ROUND_NUMBERS]
        for key in keys:
            twins.same("PutItem", TableName="range", Item={**key, "g": {"S": "round"}})
        mine = {"KeyConditionExpression": "pk = :p", V: {":p": {"S": "round"}}}
        for asked in (mine, {**mine, "ProjectionExpression": "pk, sk"}):
            found = twins.same("Query", TableName="range", **asked)
            assert [item["sk"]["N"] for item in found["Items"]] == list(ROUND_NUMBERS)
        for number in range(1, len(keys)):
            page = twins.same("Query", TableName="range", Limit=number, **mine)
            assert page["LastEvaluatedKey"] == keys[number - 1]
        of_index = {"IndexName": "global", "KeyConditionExpression": "g = :p"}
        page = twins.same("Query", TableName="range", Limit=5, **{**mine, **of_index})
        assert page["LastEvaluatedKey"]["sk"] == {"N": "10"}
        for consistent in (False, True):
            asked = {"range": {"Keys": keys, "ConsistentRead": consistent}}
            found = twins.same("BatchGetItem", RequestItems=asked)
            numbers = {item["sk"]["N"] for item in found["Responses"]["range"]}
            assert numbers == set(ROUND_NUMBERS)
        only = {"FilterExpression": "pk = :p", V: mine[V]}
        found = twins.same("Scan", TableName="range", **only)
        assert {item["sk"]["N"] for item in found["Items"]} == set(ROUND_NUMBERS)
        for key in keys:
            twins.same("DeleteItem", TableName="range", Key=key)

    def test_a_write_is_in_the_next_query(self, twins: Twins, rows: None) -> None:
        mine: dict[str, Any] = {
            "TableName": "range",
            "KeyConditionExpression": "pk = :p",
            V: {":p": {"S": "fresh"}},
        }
        for number in range(5):
            twins.same(
                "PutItem", TableName="range", Item={"pk": {"S": "fresh"}, "sk": {"N": str(number)}}
            )
            assert twins.same("Query", **mine)["Count"] == number + 1
            assert twins.same("Query", **mine)["Count"] == number + 1
        twins.same("DeleteItem", TableName="range", Key={"pk": {"S": "fresh"}, "sk": {"N": "2"}})
        assert twins.same("Query", **mine)["Count"] == 4


# -- batches and transactions ------------------------------------------------------------------


class Batches(WithAda):
    """Batches and transactions."""

    def test_batch_get(self, twins: Twins, ada: None, rows: None) -> None:
        wanted = [{"pk": {"S": "rows"}, "sk": {"N": str(n)}} for n in range(-8, 8)]
        request = {"hash": {"Keys": [KEY, {"id": {"S": "?"}}]}, "range": {"Keys": wanted}}
        for _ in range(3):
            found = twins.same("BatchGetItem", RequestItems=request)
            assert len(found["Responses"]["range"]) == 13
        twins.same("DeleteItem", TableName="range", Key=wanted[-1])
        twins.same("BatchGetItem", RequestItems=request)
        twins.same("PutItem", TableName="range", Item=row(12))
        twins.same("BatchGetItem", RequestItems=request)

    def test_batch_get_with_options(self, twins: Twins, ada: None, rows: None) -> None:
        keys = [{"pk": {"S": "rows"}, "sk": {"N": str(n)}} for n in range(3)]
        for more in (
            {"ProjectionExpression": "pk, sk, nested.list[0]"},
            {"ProjectionExpression": "#n, sk", N: {"#n": "name"}},
            {"ConsistentRead": True},
            {"AttributesToGet": ["v", "sk"]},
        ):
            for _ in range(2):
                twins.same("BatchGetItem", RequestItems={"range": {"Keys": keys, **more}})

    def test_batch_get_of_a_hundred(self, twins: Twins) -> None:
        items = [{"id": {"S": f"hundred {n}"}, "v": {"N": str(n)}} for n in range(100)]
        for first in range(0, 100, 25):
            puts = [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]
            twins.same("BatchWriteItem", RequestItems={"hash": puts})
        for _ in range(2):
            request = {"hash": {"Keys": [{"id": item["id"]} for item in items]}}
            found = twins.same("BatchGetItem", RequestItems=request)
            assert len(found["Responses"]["hash"]) == 100
        for first in range(0, 100, 25):
            deletes = [
                {"DeleteRequest": {"Key": {"id": item["id"]}}} for item in items[first : first + 25]
            ]
            twins.same("BatchWriteItem", RequestItems={"hash": deletes})

    def test_batch_write(self, twins: Twins, ada: None) -> None:
        writes = {
            "hash": [
                {"PutRequest": {"Item": {"id": {"S": "batch 1"}, "v": ADA["m"]}}},
                {"PutRequest": {"Item": {"id": {"S": "batch 2"}}}},
                {"DeleteRequest": {"Key": KEY}},
            ],
            "numbers": [
                {"PutRequest": {"Item": {"pk": {"N": "1.5"}, "sk": {"S": "s"}, "v": ADA["ns"]}}}
            ],
        }
        assert twins.same("GetItem", TableName="hash", Key=KEY) != {}
        twins.same("BatchWriteItem", RequestItems=writes)
        assert twins.same("GetItem", TableName="hash", Key=KEY) == {}
        twins.same("GetItem", TableName="hash", Key={"id": {"S": "batch 1"}})
        twins.same("GetItem", TableName="hash", Key={"id": {"S": "batch 2"}})
        twins.same("GetItem", TableName="numbers", Key={"pk": {"N": "1.5"}, "sk": {"S": "s"}})

    def test_transact_get(self, twins: Twins, ada: None, rows: None) -> None:
        twins.same(
            "TransactGetItems",
            TransactItems=[
                {"Get": {"TableName": "hash", "Key": KEY}},
                {"Get": {"TableName": "hash", "Key": {"id": {"S": "?"}}}},
                {
                    "Get": {
                        "TableName": "range",
                        "Key": {"pk": {"S": "rows"}, "sk": {"N": "3"}},
                        "ProjectionExpression": "#n, nested.list[1]",
                        N: {"#n": "name"},
                    }
                },
            ],
        )

    def test_transact_write(self, twins: Twins, ada: None, rows: None) -> None:
        update = {"UpdateExpression": "SET v = v + :v", V: {":v": {"N": "1"}}}
        key = {"pk": {"S": "rows"}, "sk": {"N": "3"}}
        twins.same("GetItem", TableName="range", Key=key)
        twins.same(
            "TransactWriteItems",
            TransactItems=[
                {"Put": {"TableName": "hash", "Item": {"id": {"S": "transacted"}, "v": ADA["l"]}}},
                {"Update": {"TableName": "range", "Key": key, **update}},
                {"Delete": {"TableName": "hash", "Key": KEY, **condition("n = :v")}},
                {
                    "ConditionCheck": {
                        "TableName": "range",
                        "Key": {"pk": {"S": "rows"}, "sk": {"N": "4"}},
                        "ConditionExpression": "attribute_exists(pk)",
                    }
                },
            ],
        )
        assert twins.same("GetItem", TableName="hash", Key=KEY) == {}
        twins.same("GetItem", TableName="range", Key=key)
        twins.same("GetItem", TableName="hash", Key={"id": {"S": "transacted"}})

    @pytest.mark.parametrize("returned", ["NONE", "ALL_OLD"])
    def test_a_cancelled_transaction(self, twins: Twins, ada: None, returned: str) -> None:
        refused = twins.same(
            "TransactWriteItems",
            TransactItems=[
                {"Put": {"TableName": "hash", "Item": {"id": {"S": "never"}}}},
                {
                    "ConditionCheck": {
                        "TableName": "hash",
                        "Key": KEY,
                        "ConditionExpression": "n = :v",
                        V: {":v": {"N": "99"}},
                        "ReturnValuesOnConditionCheckFailure": returned,
                    }
                },
            ],
        )
        assert isinstance(refused, Refusal)
        assert refused.code == "TransactionCanceledException"
        assert [code for code, _, _ in refused.reasons] == ["None", "ConditionalCheckFailed"]
        assert twins.same("GetItem", TableName="hash", Key={"id": {"S": "never"}}) == {}

    def test_a_transaction_token_is_idempotent(self, twins: Twins) -> None:
        key = {"id": {"S": "counted once"}}
        update = {"UpdateExpression": "ADD v :one", V: {":one": {"N": "1"}}}
        for tables, client in ((twins.cached, twins.dax), (twins.direct, twins.plain)):
            name = tables.names["hash"]
            for _ in range(2):
                client.transact_write_items(
                    TransactItems=[{"Update": {"TableName": name, "Key": key, **update}}],
                    ClientRequestToken=name[-36:],
                )
        assert twins.same("GetItem", TableName="hash", Key=key)["Item"]["v"] == {"N": "1"}


# -- refusals ----------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no table, get": ("GetItem", {"TableName": "no-such-table", "Key": KEY}),
    "no table, put": ("PutItem", {"TableName": "no-such-table", "Item": KEY}),
    "no table, query": (
        "Query",
        {"TableName": "no-such-table", "KeyConditionExpression": "id = :v", V: {":v": KEY["id"]}},
    ),
    "no table, scan": ("Scan", {"TableName": "no-such-table"}),
    "no table, batch": ("BatchGetItem", {"RequestItems": {"no-such-table": {"Keys": [KEY]}}}),
    "empty key": ("PutItem", {"TableName": "hash", "Item": {"id": {"S": ""}}}),
    "key of the wrong type": ("PutItem", {"TableName": "hash", "Item": {"id": {"N": "1"}}}),
    "no key": ("PutItem", {"TableName": "hash", "Item": {"v": {"N": "1"}}}),
    "wrong key": ("GetItem", {"TableName": "hash", "Key": {"other": {"S": "x"}}}),
    "half a key": ("GetItem", {"TableName": "range", "Key": {"pk": {"S": "x"}}}),
    "update of a key": (
        "UpdateItem",
        {"TableName": "hash", "Key": KEY, "UpdateExpression": "SET id = :v", V: {":v": {"S": "x"}}},
    ),
    "add to a text": (
        "UpdateItem",
        {"TableName": "hash", "Key": KEY, "UpdateExpression": "ADD s :v", V: {":v": {"N": "1"}}},
    ),
    "overlapping paths": (
        "UpdateItem",
        {
            "TableName": "hash",
            "Key": KEY,
            "UpdateExpression": "SET m = :v, m.a = :v",
            V: {":v": {"S": "x"}},
        },
    ),
    "a path into nothing": (
        "UpdateItem",
        {
            "TableName": "hash",
            "Key": KEY,
            "UpdateExpression": "SET nothing.at.all = :v",
            V: {":v": {"S": "x"}},
        },
    ),
    "syntax": (
        "PutItem",
        {"TableName": "hash", "Item": KEY, "ConditionExpression": "a == :v", V: {":v": {"N": "1"}}},
    ),
    "an undefined value": (
        "PutItem",
        {
            "TableName": "hash",
            "Item": KEY,
            "ConditionExpression": "n = :v OR n = :w",
            V: {":w": {"N": "1"}},
        },
    ),
    "an unused value": (
        "PutItem",
        {
            "TableName": "hash",
            "Item": KEY,
            "ConditionExpression": "attribute_exists(n)",
            V: {":v": {"N": "1"}},
        },
    ),
    "an empty set": ("PutItem", {"TableName": "hash", "Item": {**KEY, "v": {"SS": []}}}),
    "no such index": (
        "Query",
        {
            "TableName": "range",
            "IndexName": "no-such-index",
            "KeyConditionExpression": "pk = :v",
            V: {":v": {"S": "x"}},
        },
    ),
    "consistent on a global index": (
        "Query",
        {
            "TableName": "range",
            "IndexName": "global",
            "KeyConditionExpression": "g = :v",
            V: {":v": {"S": "x"}},
            "ConsistentRead": True,
        },
    ),
    "no hash key in a query": (
        "Query",
        {"TableName": "range", "KeyConditionExpression": "sk = :v", V: {":v": {"N": "1"}}},
    ),
    "26 writes": (
        "BatchWriteItem",
        {
            "RequestItems": {
                "hash": [{"PutRequest": {"Item": {"id": {"S": f"{n}"}}}} for n in range(26)]
            }
        },
    ),
    "101 keys": (
        "BatchGetItem",
        {"RequestItems": {"hash": {"Keys": [{"id": {"S": f"{n}"}} for n in range(101)]}}},
    ),
    "a key twice": ("BatchGetItem", {"RequestItems": {"hash": {"Keys": [KEY, KEY]}}}),
    "a key written twice": (
        "BatchWriteItem",
        {
            "RequestItems": {
                "hash": [{"PutRequest": {"Item": KEY}}, {"DeleteRequest": {"Key": KEY}}]
            }
        },
    ),
    "an item twice in a transaction": (
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Put": {"TableName": "hash", "Item": KEY}},
                {"Delete": {"TableName": "hash", "Key": KEY}},
            ]
        },
    ),
    "ALL_NEW of a put": (
        "PutItem",
        {"TableName": "hash", "Item": KEY, "ReturnValues": "ALL_NEW"},
    ),
}


class Refusals(WithAda):
    """What DynamoDB refuses."""

    @pytest.mark.parametrize("name", REFUSED)
    def test_what_dynamodb_refuses_is_refused(self, twins: Twins, ada: None, name: str) -> None:
        """Codes are compared: much of this is found by the clients, in words of their own."""
        operation, params = REFUSED[name]
        through, straight = twins.both(operation, **params)
        assert isinstance(straight, Refusal), straight
        assert isinstance(through, Refusal), through
        assert through.code == straight.code, (through, straight)


class OperationsSuite(ItemReads, Conditions, ItemWrites, Queries, Batches, Refusals):
    """All of the above, on one client."""
