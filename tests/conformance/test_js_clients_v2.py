"""``amazon-dax-client`` 1.2.10 (aws-sdk v2) on a three-node cluster, low-level API.

The long form: AWS ended the support of this client's SDK. Its random operations and documents
stay in ``make test``.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.operations_suite import OperationsSuite
from tests.conformance.values_suite import ValuesSuite
from tests.support.cluster import Cluster
from tests.support.js_client import JsClient, LowLevel
from tests.support.twins import Twins, standard_twins

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def twins(cluster: Cluster, plain: Any) -> Iterator[Twins]:
    with JsClient("v2", cluster.dax) as client:
        yield from standard_twins(LowLevel(client), plain)


class TestOperations(OperationsSuite):
    pass


class TestValues(ValuesSuite):
    pass
