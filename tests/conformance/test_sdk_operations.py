"""``paceline.Client`` on a three-node cluster: every operation, as the official clients' suite has
them. Long; ``test_sdk.py`` has the values and errors."""

import pytest

from tests.conformance.operations_suite import OperationsSuite
from tests.conformance.test_sdk import dax  # noqa: F401

pytestmark = pytest.mark.soak


class TestOperations(OperationsSuite):
    pass
