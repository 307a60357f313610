"""``com.amazonaws:amazon-dax-client`` 1.0.230341.0 (SDK v1) on a three-node cluster."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.operations_suite import OperationsSuite
from tests.conformance.values_suite import ValuesSuite
from tests.support.cluster import Cluster
from tests.support.java_client import JavaClient, LowLevelJava, WithoutEmptyAttributes
from tests.support.twins import Twins, standard_twins

pytestmark = pytest.mark.full

ROWS = (-1_000, -10, 0, 1, 10, 100, 1_234_567_890)
"""Sort keys that a spelling with an exponent is shorter for, among others."""


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[JavaClient]:
    with JavaClient(cluster.dax, kind="java-v1") as java:
        yield java


@pytest.fixture(scope="module")
def twins(client: JavaClient, plain: Any) -> Iterator[Twins]:
    yield from standard_twins(LowLevelJava(client), WithoutEmptyAttributes(plain))


class TestOperations(OperationsSuite):
    pass


class TestValues(ValuesSuite):
    pass


def test_the_mapper_reads_integer_sort_keys(twins: Twins, client: JavaClient) -> None:
    for number in ROWS:
        item = {"pk": {"S": "mapped"}, "sk": {"N": str(number)}, "v": {"N": str(number * 10)}}
        twins.same("PutItem", TableName="range", Item=item)
    for _ in ("a miss", "a hit"):
        found = client.call(
            "mapperQuery", {"TableName": twins.cached.names["range"], "pk": "mapped"}
        )
        assert found["Rows"] == [{"pk": "mapped", "sk": n, "v": n * 10} for n in ROWS]
