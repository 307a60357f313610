"""The official Python client, low-level and resource API, on a three-node cluster."""

from decimal import Decimal
from typing import Any

from amazondax import AmazonDaxClient
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary

from tests.conformance.conftest import CREDENTIALS
from tests.conformance.operations_suite import OperationsSuite
from tests.conformance.values_suite import ValuesSuite
from tests.support.cluster import Cluster
from tests.support.twins import Twins


class TestOperations(OperationsSuite):
    pass


class TestValues(ValuesSuite):
    pass


def test_the_resource_api(cluster: Cluster, twins: Twins) -> None:
    name = twins.cached.names["range"]
    rows: list[dict[str, Any]] = [
        {
            "pk": "resource",
            "sk": Decimal(n),
            "g": "even" if n % 2 == 0 else "odd",
            "l": f"{9 - n}",
            "v": Decimal("1.5") * n,
            "tags": {"a", f"t{n}"},
            "data": Binary(bytes([n])),
            "nested": {"list": [n, Decimal("0.1"), None, True], "none": None},
        }
        for n in range(10)
    ]
    with AmazonDaxClient.resource(endpoint_url=cluster.dax, **CREDENTIALS) as resource:
        table = resource.Table(name)
        with table.batch_writer() as batch:
            for row in rows:
                batch.put_item(Item=row)
        assert table.get_item(Key={"pk": "resource", "sk": 3})["Item"] == rows[3]
        assert table.get_item(Key={"pk": "resource", "sk": 3})["Item"] == rows[3]

        mine = Key("pk").eq("resource")
        page = table.query(KeyConditionExpression=mine & Key("sk").between(2, 5))
        assert page["Items"] == rows[2:6]
        page = table.query(KeyConditionExpression=mine, ScanIndexForward=False, Limit=3)
        assert page["Items"] == rows[:6:-1]
        assert page["LastEvaluatedKey"] == {"pk": "resource", "sk": Decimal(7)}
        page = table.query(
            IndexName="global",
            KeyConditionExpression=Key("g").eq("odd"),
            FilterExpression=Attr("tags").contains("t3") | Attr("v").gte(13),
        )
        assert page["Items"] == [rows[3], rows[9]]
        page = table.scan(FilterExpression=mine & Attr("nested.none").attribute_type("NULL"))
        assert sorted(page["Items"], key=lambda row: row["sk"]) == rows

        updated = table.update_item(
            Key={"pk": "resource", "sk": 1},
            UpdateExpression="SET nested.#l[0] = :n ADD v :half, tags :more REMOVE #d",
            ConditionExpression=Attr("g").eq("odd"),
            ExpressionAttributeNames={"#l": "list", "#d": "data"},
            ExpressionAttributeValues={
                ":n": Decimal("1E-10"),
                ":half": Decimal("0.5"),
                ":more": {"z"},
            },
            ReturnValues="ALL_NEW",
        )["Attributes"]
        assert updated["v"] == 2
        assert updated["nested"]["list"][0] == Decimal("1E-10")
        assert updated["tags"] == {"a", "t1", "z"}
        assert "data" not in updated
        assert table.get_item(Key={"pk": "resource", "sk": 1})["Item"] == updated

        with table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
            for row in rows:
                batch.delete_item(Key={"pk": row["pk"], "sk": row["sk"]})
        assert table.query(KeyConditionExpression=mine)["Items"] == []

        found = resource.batch_get_item(
            RequestItems={name: {"Keys": [{"pk": "resource", "sk": 1}], "ConsistentRead": True}}
        )
        assert found["Responses"].get(name, []) == []


def test_a_write_to_an_arn_is_seen_by_its_name(dax: Any, plain: Any, twins: Twins) -> None:
    name = twins.cached.names["hash"]
    arn = plain.describe_table(TableName=name)["Table"]["TableArn"]
    key = {"id": {"S": "by arn"}}
    for number in range(3):
        dax.put_item(TableName=arn, Item={**key, "n": {"N": str(number)}})
        # The second answer comes from the cache.
        for _ in range(2):
            found = dax.get_item(TableName=name, Key=key)["Item"]
            assert found == {**key, "n": {"N": str(number)}}
    dax.delete_item(TableName=arn, Key=key)
    assert "Item" not in dax.get_item(TableName=name, Key=key)
