"""The Java client while its nodes are killed: it goes on, and nothing acknowledged is lost."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.java_client import JavaClient, skip_unless_installed
from tests.support.js_client import LowLevel
from tests.support.twins import schema

THREADS = 3
AFTERWARDS = 10
"""Increments of each thread that must succeed after the event."""
GOES_ON_S = 40.0
CALLS_MAX = 1
"""Of one increment: it would be made again if its connection ended with FIN."""

KEY = {"id": {"S": "counter"}}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    skip_unless_installed()
    with Cluster(tmp_path_factory.mktemp("java")) as cluster:
        yield cluster


class Incrementing:
    """Threads that count an item up and read it, until each did so often enough once more."""

    def __init__(self, client: Any, table: str) -> None:
        self.client, self.table = client, table
        self.outcomes: Counter[str] = Counter()
        self.went_back = False
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._started = threading.Barrier(THREADS + 1)
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        self._started.wait(GOES_ON_S)

    def finish(self) -> None:
        self._event.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        self._increment()
        self._started.wait(GOES_ON_S)
        left, until = AFTERWARDS, time.monotonic() + GOES_ON_S
        while left and time.monotonic() < until:
            done = self._increment()
            if self._event.is_set() and done:
                left -= 1

    def _increment(self) -> bool:
        try:
            before = self.client.update_item(
                TableName=self.table,
                Key=KEY,
                UpdateExpression="ADD n :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="UPDATED_NEW",
            )["Attributes"]["n"]["N"]
            after = self.client.get_item(TableName=self.table, Key=KEY)["Item"]["n"]["N"]
        except ClientError as error:
            with self._lock:
                self.outcomes[error.response["Error"]["Code"]] += 1
            return False
        with self._lock:
            self.outcomes["done"] += 1
            self.went_back |= int(after) < int(before)
        return True


EVENTS = [
    "the primary is killed",
    pytest.param("a replica is killed", marks=pytest.mark.soak),
    pytest.param("a replica stops", marks=pytest.mark.soak),
]


@pytest.mark.full(minutes=1)
@pytest.mark.parametrize("event", EVENTS)
def test_increments_go_on(own: Cluster, event: str) -> None:
    table = f"java-{event.replace(' ', '-')}"
    plain = boto3_client(own.dynamodb)
    plain.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **schema("hash"))
    own.heal()
    primary = own.primary()
    victim = primary if event == "the primary is killed" else own.replicas()[0]
    with JavaClient(own.dax) as client:
        counting = Incrementing(LowLevel(client), table)
        counting.start()
        if event == "a replica stops":
            own.programs[victim].signal(signal.SIGTERM)
        else:
            own.kill(victim)
        counting.finish()
    outcomes = counting.outcomes
    print(event, dict(outcomes))
    assert outcomes["done"] >= THREADS * (1 + AFTERWARDS), outcomes
    found = plain.get_item(TableName=table, Key=KEY, ConsistentRead=True)["Item"]["n"]["N"]
    assert outcomes["done"] <= int(found) <= CALLS_MAX * outcomes.total()
    assert not counting.went_back
    plain.close()
