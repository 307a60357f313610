"""Errors through the JavaScript clients, v3 and v2."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.errors_suite import ErrorsSuite
from tests.support.cluster import Cluster
from tests.support.js_client import JsClient, LowLevel

REPEATED = {"LimitExceededException", "TransactionCanceledException"}
"""What these clients take for throttling, or for a conflict that passes."""


@pytest.fixture(scope="module", params=["v3", pytest.param("v2", marks=pytest.mark.soak)])
def client(node: Cluster, request: pytest.FixtureRequest) -> Iterator[Any]:
    with JsClient(request.param, node.dax) as client:
        yield LowLevel(client)


@pytest.fixture
def tries() -> Callable[[str], int]:
    return lambda name: 2 if name in REPEATED else 1


class TestErrors(ErrorsSuite):
    pass
