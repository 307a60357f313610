"""The gRPC data API of a real node, compared with boto3 straight on the same DynamoDB."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from node.frontends.grpc.values import fill_item, to_item
from paceline.v1 import data_pb2 as pb
from paceline.v1 import data_pb2_grpc, replication_pb2, replication_pb2_grpc
from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable
from tests.support.embedded import boto3_client

PAGE = (Path(__file__).parents[2] / "docs/grpc.md").read_text()
ORIGINAL, COPY = "Original", "Copy"
CALL_S = 20.0
S, N = "S", "N"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=2, chaos=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def boto(cluster: LocalCluster) -> Iterator[Any]:
    client = boto3_client(cluster.dynamodb)
    yield client
    client.close()


@pytest.fixture(scope="module")
def tables(cluster: LocalCluster) -> None:
    index = [
        {
            "IndexName": "by-colour",
            "KeySchema": [{"AttributeName": "colour", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ]
    for name in (ORIGINAL, COPY):
        cluster.create_table(
            name,
            "id",
            "at:N",
            GlobalSecondaryIndexes=index,
            AttributeDefinitions=[{"AttributeName": "colour", "AttributeType": "S"}],
        )


@pytest_asyncio.fixture
async def channel(cluster: LocalCluster) -> AsyncIterator[grpc.aio.Channel]:
    # The second node: it forwards what it may not write itself.
    async with grpc.aio.insecure_channel(cluster.plan.nodes[1].grpc) as channel:
        yield channel


@pytest.fixture
def data(channel: grpc.aio.Channel, tables: None) -> Any:
    return data_pb2_grpc.DataStub(channel)


def values(**attributes: dict[str, Any]) -> dict[str, pb.AttributeValue]:
    message = pb.Attributes()
    fill_item(message.attributes, attributes)
    return dict(message.attributes)


def attributes(**named: dict[str, Any]) -> pb.Attributes:
    return pb.Attributes(attributes=values(**named))


def key(identifier: str, at: int) -> dict[str, Any]:
    return {"id": {S: identifier}, "at": {N: str(at)}}


def item(identifier: str, at: int, **more: Any) -> dict[str, Any]:
    return {**key(identifier, at), **more}


def plain(message: Any) -> Any:
    """A response in boto3's form."""
    kind = message.DESCRIPTOR
    if kind is pb.Attributes.DESCRIPTOR:
        return to_item(message.attributes)
    if kind is pb.AttributeValue.DESCRIPTOR:
        return to_item({"": message})[""]
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        name = "".join(part.capitalize() for part in field.name.split("_"))
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found[name] = {entry: _element(value[entry]) for entry in value}
        elif field.message_type is None:
            found[name] = value
        elif hasattr(value, "add"):
            found[name] = [plain(element) for element in value]
        else:
            found[name] = plain(value)
    return found


def _element(value: Any) -> Any:
    """A map's value, which has a list wrapped in it or is one message."""
    if isinstance(value, str):
        return value
    if value.DESCRIPTOR is pb.Items.DESCRIPTOR:
        return [plain(one) for one in value.items]
    return plain(value)


def expected(result: dict[str, Any]) -> dict[str, Any]:
    """boto3's result without what protobuf does not tell from nothing."""
    text = {
        name: value
        for name, value in result.items()
        if name != "ResponseMetadata" and value not in ({}, [], 0)
    }
    if "Responses" in text:
        (found,) = text["Responses"].values()
        text["Responses"] = {COPY: sorted(found, key=_order)}
    return text


def _order(found: dict[str, Any]) -> int:
    return int(found["at"]["N"])


async def answered(call: Any) -> tuple[Any, str]:
    """The response in boto3's form, and whether it came from the cache."""
    response = plain(await call)
    if isinstance(response.get("Responses"), dict):
        response["Responses"] = {
            name: sorted(found, key=_order) for name, found in response["Responses"].items()
        }
    return response, dict(await call.initial_metadata())["x-paceline-cache"]


async def refused(call: Any) -> tuple[str, pb.Error]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailing: Any = caught.value.trailing_metadata() or ()
    return caught.value.code().name, pb.Error.FromString(dict(trailing)["paceline-error-bin"])


SAMPLES: dict[str, dict[str, Any]] = {
    "text": {"S": "ä\N{SNOWMAN}"},
    "number": {"N": "1.5"},
    "blob": {"B": b"\0\xff"},
    "yes": {"BOOL": False},
    "nothing": {"NULL": True},
    "list": {"L": [{"S": ""}, {"L": []}, {"M": {}}]},
    "map": {"M": {"a": {"N": "1"}, "b": {"M": {"c": {"B": b""}}}}},
    "texts": {"SS": ["a"]},
    "numbers": {"NS": ["7"]},
    "blobs": {"BS": [b"x"]},
}


async def test_put_get_update_and_delete(data: Any, boto: Any) -> None:
    whole = item("one", 1, **SAMPLES)
    for _ in range(2):
        direct = boto.put_item(TableName=ORIGINAL, Item=whole, ReturnValues="ALL_OLD")
        request = pb.PutItemRequest(
            table_name=COPY, item=values(**whole), return_values=pb.RETURN_VALUES_ALL_OLD
        )
        assert await answered(data.PutItem(request, timeout=CALL_S)) == (expected(direct), "bypass")
    get = pb.GetItemRequest(table_name=COPY, key=values(**key("one", 1)))
    direct = boto.get_item(TableName=ORIGINAL, Key=key("one", 1))
    assert (await answered(data.GetItem(get, timeout=CALL_S)))[0] == expected(direct)
    assert await answered(data.GetItem(get, timeout=CALL_S)) == (expected(direct), "hit")
    get.consistent_read = True
    assert await answered(data.GetItem(get, timeout=CALL_S)) == (expected(direct), "bypass")

    change = {
        "UpdateExpression": "SET #n = #n + :n REMOVE texts",
        "ConditionExpression": "attribute_exists(id)",
        "ExpressionAttributeNames": {"#n": "number"},
        "ExpressionAttributeValues": {":n": {N: "2"}},
    }
    direct = boto.update_item(
        TableName=ORIGINAL, Key=key("one", 1), ReturnValues="UPDATED_NEW", **change
    )
    update = pb.UpdateItemRequest(
        table_name=COPY,
        key=values(**key("one", 1)),
        update_expression="SET #n = #n + :n REMOVE texts",
        condition_expression="attribute_exists(id)",
        expression_attribute_names={"#n": "number"},
        expression_attribute_values=values(**{":n": {N: "2"}}),
        return_values=pb.RETURN_VALUES_UPDATED_NEW,
    )
    assert (await answered(data.UpdateItem(update, timeout=CALL_S)))[0] == expected(direct)

    projected = pb.GetItemRequest(
        table_name=COPY,
        key=values(**key("one", 1)),
        projection_expression="#n, #m.b",
        expression_attribute_names={"#n": "number", "#m": "map"},
    )
    direct = boto.get_item(
        TableName=ORIGINAL,
        Key=key("one", 1),
        ProjectionExpression="#n, #m.b",
        ExpressionAttributeNames={"#n": "number", "#m": "map"},
    )
    assert (await answered(data.GetItem(projected, timeout=CALL_S)))[0] == expected(direct)

    direct = boto.delete_item(TableName=ORIGINAL, Key=key("one", 1), ReturnValues="ALL_OLD")
    delete = pb.DeleteItemRequest(
        table_name=COPY, key=values(**key("one", 1)), return_values=pb.RETURN_VALUES_ALL_OLD
    )
    assert (await answered(data.DeleteItem(delete, timeout=CALL_S)))[0] == expected(direct)
    get.consistent_read = False
    assert not (await data.GetItem(get, timeout=CALL_S)).HasField("item")


async def test_batches(data: Any, boto: Any) -> None:
    items = [item("batch", at, colour={S: "red" if at % 2 else "blue"}) for at in range(6)]
    boto.batch_write_item(RequestItems={ORIGINAL: [{"PutRequest": {"Item": one}} for one in items]})
    requests = [pb.WriteRequest(put_item=attributes(**one)) for one in items]
    write = pb.BatchWriteItemRequest(request_items={COPY: pb.WriteRequests(requests=requests)})
    assert await answered(data.BatchWriteItem(write, timeout=CALL_S)) == ({}, "bypass")
    gone = [pb.WriteRequest(delete_key=attributes(**key("batch", 5)))]
    write = pb.BatchWriteItemRequest(request_items={COPY: pb.WriteRequests(requests=gone)})
    await data.BatchWriteItem(write, timeout=CALL_S)
    boto.delete_item(TableName=ORIGINAL, Key=key("batch", 5))

    keys = [key("batch", at) for at in range(7)]
    direct = boto.batch_get_item(RequestItems={ORIGINAL: {"Keys": keys}})
    get = pb.BatchGetItemRequest(
        request_items={COPY: pb.KeysAndAttributes(keys=[attributes(**one) for one in keys])}
    )
    assert (await answered(data.BatchGetItem(get, timeout=CALL_S)))[0] == expected(direct)
    assert await answered(data.BatchGetItem(get, timeout=CALL_S)) == (expected(direct), "hit")


async def test_pages(data: Any, boto: Any) -> None:
    for table in (ORIGINAL, COPY):
        for at in range(5):
            boto.put_item(TableName=table, Item=item("page", at, colour={S: "green"}))
    start: dict[str, Any] = {}
    for _ in range(4):
        more = {"ExclusiveStartKey": start} if start else {}
        direct = boto.query(
            TableName=ORIGINAL,
            KeyConditionExpression="id = :i",
            ExpressionAttributeValues={":i": {S: "page"}},
            Limit=2,
            ScanIndexForward=False,
            **more,
        )
        request = pb.QueryRequest(
            table_name=COPY,
            key_condition_expression="id = :i",
            expression_attribute_values=values(**{":i": {S: "page"}}),
            limit=2,
            scan_index_forward=False,
            exclusive_start_key=values(**start),
        )
        assert await answered(data.Query(request, timeout=CALL_S)) == (expected(direct), "miss")
        assert await answered(data.Query(request, timeout=CALL_S)) == (expected(direct), "hit")
        start = direct.get("LastEvaluatedKey", {})
        if not start:
            break
    direct = boto.query(
        TableName=ORIGINAL,
        IndexName="by-colour",
        KeyConditionExpression="colour = :c",
        ExpressionAttributeValues={":c": {S: "green"}},
        Select="COUNT",
    )
    request = pb.QueryRequest(
        table_name=COPY,
        index_name="by-colour",
        key_condition_expression="colour = :c",
        expression_attribute_values=values(**{":c": {S: "green"}}),
        select=pb.SELECT_COUNT,
    )
    assert (await answered(data.Query(request, timeout=CALL_S)))[0] == expected(direct)
    scan = {
        "FilterExpression": "id = :i",
        "ExpressionAttributeValues": {":i": {S: "page"}},
        "ConsistentRead": True,
    }
    found = boto.scan(TableName=ORIGINAL, Segment=0, TotalSegments=1, **scan)
    response = await data.Scan(
        pb.ScanRequest(
            table_name=COPY,
            filter_expression="id = :i",
            expression_attribute_values=values(**{":i": {S: "page"}}),
            consistent_read=True,
            segment=0,
            total_segments=1,
        ),
        timeout=CALL_S,
    )
    assert plain(response)["Items"] == found["Items"]


async def test_transactions(data: Any) -> None:
    def write(**actions: Any) -> pb.TransactWriteItemsRequest:
        return pb.TransactWriteItemsRequest(
            transact_items=[pb.TransactWrite(**{name: one}) for name, one in actions.items()]
        )

    first = values(**item("transact", 1, count={N: "1"}))
    await data.TransactWriteItems(
        write(
            put=pb.TransactPut(table_name=COPY, item=first),
            update=pb.TransactUpdate(
                table_name=COPY,
                key=values(**key("transact", 2)),
                update_expression="SET a = :a",
                expression_attribute_values=values(**{":a": {S: "b"}}),
            ),
            delete=pb.TransactDelete(table_name=COPY, key=values(**key("transact", 3))),
            condition_check=pb.TransactConditionCheck(
                table_name=COPY,
                key=values(**key("transact", 4)),
                condition_expression="attribute_not_exists(id)",
            ),
        ),
        timeout=CALL_S,
    )
    get = pb.TransactGetItemsRequest(
        transact_items=[
            pb.TransactGet(table_name=COPY, key=values(**key("transact", at))) for at in (1, 3, 2)
        ]
    )
    found = await data.TransactGetItems(get, timeout=CALL_S)
    assert [plain(one).get("Item") for one in found.responses] == [
        item("transact", 1, count={N: "1"}),
        None,
        item("transact", 2, a={S: "b"}),
    ]
    code, error = await refused(
        data.TransactWriteItems(
            write(
                put=pb.TransactPut(table_name=COPY, item=values(**item("transact", 5))),
                condition_check=pb.TransactConditionCheck(
                    table_name=COPY,
                    key=values(**key("transact", 1)),
                    condition_expression="attribute_not_exists(id)",
                    return_values_on_condition_check_failure="RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_ALL_OLD",
                ),
            ),
            timeout=CALL_S,
        )
    )
    assert code == "ABORTED"
    assert [one.code for one in error.cancellation_reasons] == ["None", "ConditionalCheckFailed"]
    assert to_item(error.cancellation_reasons[1].item.attributes) == item(
        "transact", 1, count={N: "1"}
    )


async def test_refusals_are_dynamodbs(data: Any, boto: Any) -> None:
    await data.PutItem(
        pb.PutItemRequest(table_name=COPY, item=values(**item("refused", 1))), timeout=CALL_S
    )
    code, error = await refused(
        data.PutItem(
            pb.PutItemRequest(
                table_name=COPY,
                item=values(**item("refused", 1)),
                condition_expression="attribute_not_exists(id)",
                return_values_on_condition_check_failure="RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_ALL_OLD",
            ),
            timeout=CALL_S,
        )
    )
    assert (code, error.code) == ("FAILED_PRECONDITION", "ConditionalCheckFailedException")
    assert to_item(error.item.attributes) == item("refused", 1)
    assert error.outcome == pb.REQUEST_OUTCOME_NOTHING_DONE

    get = pb.GetItemRequest(table_name="Nothing", key=values(**key("x", 1)))
    assert (await refused(data.GetItem(get, timeout=CALL_S)))[0] == "NOT_FOUND"

    for bad in ({"id": {S: "x"}}, {"id": {N: "1"}, "at": {N: "1"}}, item("x", 1, more={S: "y"})):
        with pytest.raises(ClientError) as direct:
            boto.delete_item(TableName=ORIGINAL, Key=bad)
        delete = pb.DeleteItemRequest(table_name=COPY, key=values(**bad))
        code, error = await refused(data.DeleteItem(delete, timeout=CALL_S))
        assert code == "INVALID_ARGUMENT"
        assert error.code == direct.value.response["Error"]["Code"]
    scan = pb.ScanRequest(table_name=COPY, filter_expression="nonsense(", limit=5)
    code, error = await refused(data.Scan(scan, timeout=CALL_S))
    assert (code, error.code) == ("INVALID_ARGUMENT", "ValidationException")


async def test_nobody_knows_what_became_of_a_write(cluster: LocalCluster, data: Any) -> None:
    request = pb.PutItemRequest(table_name=COPY, item=values(**item("unknown", 1)))
    await asyncio.to_thread(cluster.chaos.dynamodb_errors, 1, after=True)
    try:
        code, error = await refused(data.PutItem(request, timeout=CALL_S))
    finally:
        await asyncio.to_thread(cluster.chaos.heal)
    assert (code, error.outcome) == ("UNKNOWN", pb.REQUEST_OUTCOME_UNKNOWN)


async def test_the_call_says_how_long_it_may_take(cluster: LocalCluster, data: Any) -> None:
    get = pb.GetItemRequest(table_name=COPY, key=values(**key("slow", 1)), consistent_read=True)
    await asyncio.to_thread(cluster.chaos.dynamodb_down, hang=True)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await data.GetItem(get, timeout=1.0)
    finally:
        await asyncio.to_thread(cluster.chaos.heal)
    assert caught.value.code().name in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


async def test_it_is_healthy_listed_and_open_and_has_no_replication(
    channel: grpc.aio.Channel,
) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="paceline.v1.Data")
    assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    listing: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="paceline.v1.Data")
    call = listing.ServerReflectionInfo(iter([asked]))
    (answer,) = [one async for one in call]
    assert answer.file_descriptor_response.file_descriptor_proto
    replication: Any = replication_pb2_grpc.ReplicationStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await replication.Forward(replication_pb2.ForwardRequest(operation="PutItem"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture(scope="module")
def users(cluster: LocalCluster) -> None:
    cluster.create_table("Users", "id")


async def test_the_grpcurl_commands_of_the_page(data: Any, users: None) -> None:
    (block,) = re.findall(r"```sh\n(grpcurl .*?)```", PAGE, re.DOTALL)
    commands = [shlex.split(line) for line in block.splitlines()]
    done = []
    for words in commands:
        service, _, method = words[-1].partition("/")
        if service != pb.DESCRIPTOR.services_by_name["Data"].full_name or not method:
            continue
        request = getattr(pb, f"{method}Request")()
        json_format.Parse(words[words.index("-d") + 1], request)
        done.append(plain(await getattr(data, method)(request, timeout=CALL_S)))
    grace = {"id": {S: "7"}, "born": {N: "1906"}}
    assert done == [{}, {"Item": grace}, {"Items": [grace], "Count": 1, "ScannedCount": 1}]


def test_the_python_of_the_page(cluster: LocalCluster, users: None) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    code = code.replace("127.0.0.1:8161", cluster.plan.nodes[0].grpc)
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.split())
    # The second put is refused; whether a cache has it yet depends on the node.
    assert outputs[0][0] == "ada"
    assert outputs[1][:2] == ["ConditionalCheckFailedException", "ada"]
    assert {output[-1] for output in outputs} <= {"hit", "miss"}
