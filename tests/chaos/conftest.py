"""A cluster of real processes for the chaos tests, whole again before each of them."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.twins import keys

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def chaos_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("chaos")) as cluster:
        cluster.wait_serving()
        yield cluster


@pytest.fixture
def cluster(chaos_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    chaos_cluster.heal()
    failed = request.session.testsfailed
    yield chaos_cluster
    if request.session.testsfailed > failed:
        print(chaos_cluster.logs())


@pytest.fixture
def plain(cluster: Cluster) -> Iterator[Any]:
    client = boto3_client(cluster.dynamodb)
    yield client
    client.close()


@pytest.fixture
def table(plain: Any) -> str:
    name = f"chaos-{next(_numbers)}"
    plain.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
    return name
