"""``aws-dax-go-v2`` 1.0.3 and ``aws-dax-go`` 1.2.15 (SDK v1) on a three-node cluster."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.operations_suite import OperationsSuite
from tests.conformance.values_suite import ValuesSuite
from tests.support.cluster import Cluster
from tests.support.go_client import GoClient, LowLevelGo, WithoutStatus
from tests.support.twins import Twins, standard_twins


@pytest.fixture(scope="module", params=["go-v2", pytest.param("go-v1", marks=pytest.mark.full)])
def twins(request: pytest.FixtureRequest, cluster: Cluster, plain: Any) -> Iterator[Twins]:
    with GoClient(request.param, cluster.dax) as client:
        straight = WithoutStatus(plain) if request.param == "go-v2" else plain
        yield from standard_twins(LowLevelGo(client), straight)


class TestOperations(OperationsSuite):
    pass


class TestValues(ValuesSuite):
    pass
