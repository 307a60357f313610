"""Clients that ask too often: what they are told, and that they wait and come through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

import paceline
from paceline_local.testing import LocalCluster
from tests.integration.signed.conftest import TABLE
from tests.integration.signed.test_principals import REGION, dax, http, new_key
from tests.support.cluster import skip_unless_startable

RATE_PER_S = 100


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    settings = {
        "PACELINE_ACCESS__AUTHENTICATION": "sigv4",
        "PACELINE_LIMITS__PRINCIPAL_REQUESTS_PER_S": str(RATE_PER_S),
    }
    with LocalCluster.start_new(nodes=2, settings=settings) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster


@pytest.mark.full
def test_clients_wait_when_they_are_throttled_and_come_through(cluster: LocalCluster) -> None:
    """Three times as many as a node's bucket holds, as fast as they go."""
    key = new_key(cluster, "add", "hasty", "--full-access")
    asked = {"TableName": TABLE, "Key": {"id": {"S": "hasty"}}}

    def get(client: Any) -> bool:
        try:
            client.get_item(**asked)
        except ClientError as error:
            if error.response["Error"] != {
                "Code": "ThrottlingException",
                "Message": "Rate of requests exceeds the allowed throughput.",
            }:
                raise
            return False
        return True

    def told(client: Any, count: int = 6 * RATE_PER_S) -> list[bool]:
        """At once, so that the bucket is empty before it fills again."""
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda _: get(client), range(count)))

    impatient = http(cluster, key)
    got = told(impatient)
    assert True in got
    assert False in got, "the bound was reached"
    patience = {"max_attempts": 10}
    patient = http(cluster, key, retries=patience)
    assert all(told(patient))
    with dax(cluster, key) as client:  # which tries three times, whatever it is told
        time.sleep(1)  # until the buckets of both nodes are full again
        assert all(told(client, 2 * RATE_PER_S + 20))
    with paceline.Client(
        cluster.entry()["discovery"][0]["dax"], region_name=REGION, **key.arguments
    ) as sdk:
        assert all(told(sdk))
