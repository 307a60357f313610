"""One three-node cluster for all conformance tests with real clients, and tables in pairs."""

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

CREDENTIALS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "x",
    "aws_secret_access_key": "x",
}


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


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeDynamoDB]:
    with FakeDynamoDB() as fake:
        yield fake
