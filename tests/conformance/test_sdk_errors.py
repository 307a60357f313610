"""Errors through ``paceline.Client``; what it repeats, and what it must not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import paceline
from paceline.errors import OutcomeUnknown
from tests.conformance.errors_suite import SILENCES, WRITES, ErrorsSuite
from tests.support.cluster import Cluster
from tests.support.fake_dynamodb import FakeDynamoDB

pytestmark = pytest.mark.soak  # the SDK in make test: tests/integration/test_sdk.py


@pytest.fixture(scope="module")
def client(node: Cluster) -> Iterator[Any]:
    with paceline.Client(node.dax) as client:
        yield client


@pytest.fixture
def tries() -> Callable[[str], int]:
    """What DynamoDB refuses is told at once."""
    return lambda name: 1


def test_an_unknown_outcome_is_an_error_of_both_families(client: Any, fake: FakeDynamoDB) -> None:
    fake.behaviour = SILENCES["500"]
    with pytest.raises(OutcomeUnknown):
        client.put_item(**WRITES["PutItem"])
    with pytest.raises(client.exceptions.ClientError):
        client.put_item(**WRITES["PutItem"])
    with pytest.raises(client.exceptions.OutcomeUnknownException, match="may or may not"):
        client.put_item(**WRITES["PutItem"])


class TestErrors(ErrorsSuite):
    @pytest.fixture
    def unknown_code(self) -> str:
        """A code of its own, which no retry policy knows."""
        return "OutcomeUnknownException"
