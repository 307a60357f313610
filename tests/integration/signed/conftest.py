"""The cluster, and its table. What tests add to it has names of their own."""

from collections.abc import Iterator

import pytest

from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable

TABLE = "Things"


@pytest.fixture(scope="package")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    settings = {
        "PACELINE_ACCESS__AUTHENTICATION": "sigv4",
        "PACELINE_ACCESS__AUDIT_FILE": "stdout",
    }
    with LocalCluster.start_new(nodes=2, settings=settings) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster
