"""Errors through the official Python client; what it repeats, and what it must not."""

from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from amazondax import AmazonDaxClient

from tests.conformance.conftest import CREDENTIALS
from tests.conformance.errors_suite import ErrorsSuite
from tests.support.cluster import Cluster


@pytest.fixture(scope="module")
def client(node: Cluster) -> Iterator[Any]:
    session = botocore.session.get_session()
    with AmazonDaxClient(session, endpoint_url=node.dax, **CREDENTIALS) as client:
        yield client


@pytest.fixture
def tries() -> Callable[[str], int]:
    """It repeats whatever does not begin with 3, a failed condition included."""
    return lambda name: 3


class TestErrors(ErrorsSuite):
    pass
