"""AWS's own client is content with the fake DynamoDB of the benchmarks."""

import http.client
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.load.generator import fake_dynamodb
from tests.support.load_program import need_load_program

KEY = {"id": {"S": "a"}}
ITEM = {**KEY, "v": {"S": "x" * 100}}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    need_load_program()
    with fake_dynamodb() as port:
        yield port


@pytest.fixture(scope="module")
def client(port: int) -> Iterator[Any]:
    client = client_of(port)
    yield client
    client.close()


def client_of(port: int, attempts: int = 1) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": attempts}),
    )


def raw(port: int, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        "POST", "/", body, {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}
    )
    reply = connection.getresponse()
    found = reply.status, dict(reply.getheaders()), reply.read()
    connection.close()
    return found


def test_an_item_is_there_whatever_its_key(client: Any) -> None:
    assert client.get_item(TableName="h100", Key=KEY)["Item"] == ITEM
    key = {"id": {"S": 'odd "key" \\ {} [] ä'}, "n": {"N": "7"}}
    assert client.get_item(TableName="r10", Key=key)["Item"] == {**key, "v": {"S": "x" * 10}}


def test_writes_return_what_they_are_asked_for(client: Any) -> None:
    assert "Attributes" not in client.put_item(TableName="h100", Item=ITEM)
    put = client.put_item(TableName="h100", Item=ITEM, ReturnValues="ALL_OLD")
    assert put["Attributes"] == ITEM
    update: dict[str, Any] = {
        "TableName": "h100",
        "Key": KEY,
        "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": {":v": ITEM["v"]},
    }
    assert "Attributes" not in client.update_item(**update)
    assert client.update_item(**update, ReturnValues="ALL_NEW")["Attributes"] == ITEM
    new = client.update_item(**update, ReturnValues="UPDATED_NEW")["Attributes"]
    assert new == {"v": ITEM["v"]}
    assert "Attributes" not in client.delete_item(TableName="h100", Key=KEY)
    old = client.delete_item(TableName="h100", Key=KEY, ReturnValues="ALL_OLD")
    assert old["Attributes"] == ITEM


@pytest.mark.parametrize(("table", "count"), [("r100", 10), ("h100", 1)])
def test_a_query(client: Any, table: str, count: int) -> None:
    page = client.query(
        TableName=table,
        KeyConditionExpression="id = :i",
        ExpressionAttributeValues={":i": {"S": "a"}},
    )
    assert page["Count"] == page["ScannedCount"] == len(page["Items"]) == count
    numbers = [{"n": {"N": str(number)}} if count > 1 else {} for number in range(count)]
    assert page["Items"] == [{**ITEM, **number} for number in numbers]


def test_the_limit_of_a_query_is_kept(client: Any) -> None:
    page = client.query(
        TableName="r100",
        KeyConditionExpression="id = :i",
        ExpressionAttributeValues={":i": {"S": "a"}},
        Limit=3,
    )
    assert len(page["Items"]) == 3


def test_batches_of_several_tables(client: Any) -> None:
    keys = [{"id": {"S": str(number)}} for number in range(50)]
    got = client.batch_get_item(RequestItems={"h100": {"Keys": keys}, "h5": {"Keys": keys[:2]}})
    assert got["Responses"] == {
        "h100": [{**key, "v": ITEM["v"]} for key in keys],
        "h5": [{**key, "v": {"S": "xxxxx"}} for key in keys[:2]],
    }
    assert got["UnprocessedKeys"] == {}
    put = client.batch_write_item(RequestItems={"h100": [{"PutRequest": {"Item": ITEM}}]})
    assert put["UnprocessedItems"] == {}


def test_tables_are_described_by_their_names(client: Any) -> None:
    plain = client.describe_table(TableName="h100")["Table"]
    ranged = client.describe_table(TableName="r100")["Table"]
    assert plain["TableName"] == "h100"
    assert plain["TableStatus"] == "ACTIVE"
    assert plain["TableId"] != ranged["TableId"]
    assert [key["AttributeName"] for key in plain["KeySchema"]] == ["id"]
    assert [key["AttributeName"] for key in ranged["KeySchema"]] == ["id", "n"]
    assert ranged["AttributeDefinitions"][1] == {"AttributeName": "n", "AttributeType": "N"}


def test_what_it_cannot_do_is_an_error_of_dynamodb(client: Any) -> None:
    with pytest.raises(ClientError) as refused:
        client.scan(TableName="h100")
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"{", "SerializationException"),
        (b"", "SerializationException"),
        (b'{"a":' * 100, "SerializationException"),
        (b"{}", "ValidationException"),
        (b'{"TableName":"h1"}', "ValidationException"),
        (b'{"TableName":"h1","Key":7}', "ValidationException"),
    ],
)
def test_nonsense_is_refused(port: int, body: bytes, name: str) -> None:
    status, _, answer = raw(port, "DynamoDB_20120810.GetItem", body)
    assert status == 400
    assert json.loads(answer)["__type"].endswith(f"#{name}")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100, 10_001])
def test_checksum_and_headers(port: int, size: int) -> None:
    body = json.dumps({"TableName": f"h{size}", "Key": KEY}).encode()
    status, headers, answer = raw(port, "DynamoDB_20120810.GetItem", body)
    assert status == 200
    assert int(headers["x-amz-crc32"]) == zlib.crc32(answer)
    assert headers["Content-Type"] == "application/x-amz-json-1.0"
    assert len(headers["x-amzn-RequestId"]) == 32
    assert json.loads(answer)["Item"]["v"] == {"S": "x" * size}


def test_requests_that_come_in_pieces_and_several_at_once(port: int) -> None:
    body = json.dumps({"TableName": "h5", "Key": KEY}).encode()
    one = (
        b"POST / HTTP/1.1\r\nHost: x\r\nx-amz-target: DynamoDB_20120810.GetItem\r\n"
        b"content-length: %d\r\n\r\n" % len(body)
    ) + body
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(one), 20):
            connection.sendall(one[start : start + 20])
        connection.sendall(one * 10)
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 11
    assert received.count(b'"v":{"S":"xxxxx"}') == 11


def test_answers_take_as_long_as_they_are_told_to() -> None:
    """No answer of a lognormal time is early: half of them take the median at least."""
    need_load_program()
    took: list[float] = []

    def ask(port: int) -> None:
        client = client_of(port)
        for _ in range(25):
            began = time.monotonic()
            client.get_item(TableName="h5", Key=KEY)
            took.append(time.monotonic() - began)
        client.close()

    with fake_dynamodb(median_ms=20, p99_ms=60) as port:
        threads = [threading.Thread(target=ask, args=(port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    took.sort()
    assert len(took) == 100
    assert took[50] >= 0.015  # the median of a hundred: within 4 of its standard errors of 10 %
    assert took[0] >= 0.003
    assert took[-1] >= 0.03
