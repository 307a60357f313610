"""Programs written for Amazon's DAX client, with the constructor swapped and nothing else.

Each is written once, takes the constructor, and runs with both clients on one cluster: what the
official one prints is what ours must print. What it has not (operations on tables) runs with
boto3 in its place, as its users do it.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import amazondax
import boto3
import botocore.session
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config

import paceline
from paceline.client.arguments import timeouts_from_config
from paceline.client.settings import Settings
from paceline.errors import ConfigError
from tests.support.cluster import Cluster

CREDENTIALS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("examples"), nodes=1) as cluster:
        cluster.wait_serving()
        yield cluster


@pytest.fixture
def account(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``boto3.resource("dynamodb")`` leads without arguments, as on the examples' hosts."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", cluster.dynamodb)


# -- a session with a resource: make a table, fill it, read it over and over, delete it -----------


def create_table(dynamodb: Any, name: str) -> Any:
    table = dynamodb.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "partition_key", "KeyType": "HASH"},
            {"AttributeName": "sort_key", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "partition_key", "AttributeType": "N"},
            {"AttributeName": "sort_key", "AttributeType": "N"},
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 10, "WriteCapacityUnits": 10},
    )
    table.wait_until_exists()
    return table


def fill(table: Any) -> None:
    for partition in range(1, 4):
        for sort in range(1, 6):
            table.put_item(
                Item={"partition_key": partition, "sort_key": sort, "some_data": "x" * 100}
            )


def read(table: Any) -> Iterator[Any]:
    for _ in range(3):
        for sort in range(1, 6):
            yield table.get_item(Key={"partition_key": 2, "sort_key": sort})["Item"]
        found = table.query(
            KeyConditionExpression=Key("partition_key").eq(2) & Key("sort_key").between(2, 4)
        )
        yield found["Items"], found["Count"]
        yield sorted(
            item["sort_key"]
            for item in table.scan(FilterExpression=Attr("sort_key").gt(4))["Items"]
        )
    yield table.get_item(Key={"partition_key": 9, "sort_key": 9}).get("Item")


def tried(resource: Callable[..., Any], endpoint: str, tables: Any, name: str) -> list[Any]:
    create_table(tables, name)
    with resource(endpoint_url=endpoint) as dax:
        table = dax.Table(name)
        fill(table)
        told = list(read(table))
    tables.Table(name).delete()
    return told


@pytest.mark.usefixtures("account")
def test_a_resource_that_makes_fills_and_reads_a_table(cluster: Cluster) -> None:
    dynamodb = boto3.resource("dynamodb")
    right = tried(amazondax.AmazonDaxClient.resource, cluster.dax, dynamodb, "TryOfficial")
    assert tried(paceline.resource, cluster.dax, dynamodb, "TryOurs") == right
    assert tried(paceline.Client.resource, cluster.dax, dynamodb, "TryOurs") == right
    with paceline.resource(cluster.dax) as ours:
        assert tried(paceline.resource, cluster.dax, ours, "TryOurs") == right
    assert right[0] == {"partition_key": 2, "sort_key": 1, "some_data": "x" * 100}
    dynamodb.meta.client.close()


# -- a session with a low-level client ------------------------------------------------------------


def low_level(make: Callable[..., Any], session: Any, endpoint: str) -> list[Any]:
    with make(session, region_name="us-east-1", endpoints=[endpoint]) as client:
        key = {"partition_key": {"N": "1"}, "sort_key": {"N": "2"}}
        client.put_item(TableName="TryDax", Item={**key, "some_data": {"S": "data"}})
        told = [client.get_item(TableName="TryDax", Key=key)["Item"]]
        told += client.query(
            TableName="TryDax",
            KeyConditionExpression="partition_key = :p",
            ExpressionAttributeValues={":p": {"N": "1"}},
        )["Items"]
        told.append(
            client.batch_get_item(RequestItems={"TryDax": {"Keys": [key]}})["Responses"]["TryDax"]
        )
        try:
            client.put_item(
                TableName="TryDax",
                Item=key,
                ConditionExpression="attribute_not_exists(partition_key)",
            )
        except botocore.exceptions.ClientError as error:
            told.append(error.response["Error"]["Code"])
        return told


@pytest.mark.usefixtures("account")
def test_a_client_of_a_session(cluster: Cluster) -> None:
    dynamodb = boto3.resource("dynamodb")
    create_table(dynamodb, "TryDax")
    session = botocore.session.get_session()
    right = low_level(amazondax.AmazonDaxClient, session, cluster.dax)
    assert low_level(paceline.Client, session, cluster.dax) == right
    assert low_level(paceline.Client, boto3.Session(), cluster.dax) == right
    assert right[-1] == "ConditionalCheckFailedException"
    dynamodb.meta.client.close()


# -- the constructor ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [paceline.Client, paceline.AsyncClient])
def test_every_argument_of_the_official_constructor_is_taken(make: Callable[..., Any]) -> None:
    values: dict[str, Any] = {
        "session": botocore.session.get_session(),
        "region_name": "eu-central-1",
        "api_version": "2012-08-10",
        "use_ssl": False,
        "verify": None,
        "endpoint_url": "dax://127.0.0.1:1",
        **CREDENTIALS,
        "aws_session_token": "x",
        "config": Config(connect_timeout=0.25),
        "endpoints": ["dax://127.0.0.1:2"],
        "skip_hostname_verification": None,
        "ip_discovery": "ipv4",
        "is_route_manager_enabled": False,
    }
    parameters = list(inspect.signature(amazondax.AmazonDaxClient).parameters)
    assert set(parameters) <= {*values, "self"}, "a new version has more"
    client = make(**values)
    assert client.meta.region_name == "eu-central-1"
    assert client.meta.endpoint_url == "dax://127.0.0.1:1,dax://127.0.0.1:2"
    with pytest.raises(ConfigError, match="two endpoints"):
        make("dax://127.0.0.1:1", endpoint_url="dax://127.0.0.1:2")
    with pytest.raises(ConfigError, match="daxs://"):
        make("dax://127.0.0.1:1", use_ssl=True)
    with pytest.raises(TypeError, match="nonsense"):
        make("dax://127.0.0.1:1", nonsense=1)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {}),
        ({"region_name": "eu-west-1", "user_agent": "x", "tcp_keepalive": True}, {}),
        (
            {"connect_timeout": 2, "max_pool_connections": 10},
            {"connect_s": 2.0, "connections_max": 10},
        ),
        ({"retries": {"max_attempts": 0}}, {}),
        (
            {"read_timeout": 0.5},
            {"attempt_s": 0.5, "read_deadline_s": 1.5, "write_deadline_s": 1.5},
        ),
        (
            {"read_timeout": 4, "retries": {"total_max_attempts": 1}},
            {"attempt_s": 1.0, "read_deadline_s": 4.0, "write_deadline_s": 4.0},
        ),
        (
            {"read_timeout": 4, "retries": {"max_attempts": 4}},
            {"attempt_s": 1.0, "read_deadline_s": 20.0, "write_deadline_s": 20.0},
        ),
    ],
)  # fmt: skip
def test_times_of_a_botocore_config(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert timeouts_from_config(Config(**given)) == wanted
    Settings(**wanted)
