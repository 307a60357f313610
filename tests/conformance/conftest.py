"""One three-node cluster for all conformance tests with real clients, and tables in pairs."""

import os
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from amazondax import AmazonDaxClient

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.fake_dynamodb import FakeDynamoDB
from tests.support.twins import Twins, standard_twins

# Their assertions are the tests'; they are imported by the modules that run them.
pytest.register_assert_rewrite(
    "tests.conformance.errors_suite",
    "tests.conformance.operations_suite",
    "tests.conformance.values_suite",
)

from tests.conformance.operations_suite import OperationsSuite, row  # noqa: E402
from tests.support.turns import CLIENTS, is_theirs  # noqa: E402

READ_TIMEOUT_S = 0.5
"""How long a node waits for the fake DynamoDB."""

CREDENTIALS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "x",
    "aws_secret_access_key": "x",
}


@pytest.hookimpl(tryfirst=True)  # before tiers are chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every operation by one more client: one of these clients has its turn in the fast tier."""
    chosen = os.environ[CLIENTS]
    for item in items:
        if isinstance(item, pytest.Function) and item.cls is not None:
            module = item.module.__name__.rpartition(".")[2]
            if issubclass(item.cls, OperationsSuite) and not is_theirs(module, chosen):
                item.add_marker(pytest.mark.full(minutes=0.02))


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("conformance")) as cluster:
        cluster.wait_serving()
        yield cluster


@pytest.fixture(scope="package")
def plain(cluster: Cluster) -> Iterator[Any]:
    """boto3 straight on the cluster's DynamoDB."""
    client = boto3_client(cluster.dynamodb)
    yield client
    client.close()


@pytest.fixture(scope="package")
def dax(cluster: Cluster) -> Iterator[Any]:
    """The official Python client on the discovery endpoint."""
    session = botocore.session.get_session()
    with AmazonDaxClient(session, endpoint_url=cluster.dax, **CREDENTIALS) as client:
        yield client


@pytest.fixture(scope="module")
def twins(dax: Any, plain: Any) -> Iterator[Twins]:
    """Pairs of tables of every schema, one set per module."""
    yield from standard_twins(dax, plain)


@pytest.fixture(scope="package")
def fake() -> Iterator[FakeDynamoDB]:
    with FakeDynamoDB() as fake:
        yield fake


@pytest.fixture(scope="package")
def node(fake: FakeDynamoDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A single node on the fake DynamoDB, whose every answer a test says beforehand."""
    settings = {
        "PACELINE_DYNAMODB__READ_TIMEOUT_S": str(READ_TIMEOUT_S),
        "PACELINE_AUDIT__READS_PER_S": "0",  # every read is counted
    }
    directory = tmp_path_factory.mktemp("errors")
    arguments = [f"--dynamodb={fake.endpoint}"]
    with Cluster(directory, nodes=1, settings=settings, arguments=arguments) as node:
        yield node


@pytest.fixture(scope="module")
def rows(twins: Twins) -> None:
    """20 rows in ``range``, indexed by all its indexes."""
    for number in range(20):
        twins.same("PutItem", TableName="range", Item=row(number))
