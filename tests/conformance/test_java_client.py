"""``software.amazon.dax:amazon-dax-client`` 2.0.5 on a three-node cluster."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.operations_suite import OperationsSuite
from tests.conformance.values_suite import ValuesSuite
from tests.support.cluster import Cluster
from tests.support.java_client import JavaClient, LowLevelJava, WithoutEmptyAttributes
from tests.support.twins import Twins, standard_twins


@pytest.fixture(scope="module")
def twins(cluster: Cluster, plain: Any) -> Iterator[Twins]:
    with JavaClient(cluster.dax) as client:
        yield from standard_twins(LowLevelJava(client), WithoutEmptyAttributes(plain))


class TestOperations(OperationsSuite):
    pass


class TestValues(ValuesSuite):
    pass
