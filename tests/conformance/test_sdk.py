"""``paceline.Client`` on a three-node cluster: the values of the official clients' suites."""

from collections.abc import Iterator
from typing import Any

import pytest

import paceline
from tests.conformance.values_suite import ValuesSuite
from tests.support.cluster import Cluster

pytestmark = pytest.mark.soak  # the SDK in make test: tests/integration/test_sdk.py


@pytest.fixture(scope="package")
def dax(cluster: Cluster) -> Iterator[Any]:
    with paceline.Client(cluster.dax) as client:
        yield client


class TestValues(ValuesSuite):
    pass
