"""Errors through the Java client."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.errors_suite import ErrorsSuite
from tests.support.cluster import Cluster
from tests.support.java_client import JavaClient
from tests.support.js_client import LowLevel


@pytest.fixture(scope="module")
def client(node: Cluster) -> Iterator[Any]:
    with JavaClient(node.dax) as client:
        yield LowLevel(client)


@pytest.fixture
def tries() -> Callable[[str], int]:
    return lambda name: 3 if name == "LimitExceededException" else 1


class TestErrors(ErrorsSuite):
    pass
