"""``kill -9`` of a node while DynamoDB makes a write for it: clients that would write again when
such a connection ends with FIN are told by RST that the outcome is not known."""

import threading
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError

from tests.conformance.conftest import CREDENTIALS
from tests.support.cluster import Cluster
from tests.support.fake_dynamodb import TABLE, FakeDynamoDB
from tests.support.flaky_http import Answer, Hang
from tests.support.java_client import JavaClient
from tests.support.js_client import LowLevel
from tests.support.waiting import wait_until

ENDS_S = 30.0


@pytest.fixture(scope="module")
def own(fake: FakeDynamoDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {"PACELINE_DYNAMODB__READ_TIMEOUT_S": "2"}  # for those that are not killed
    arguments = [f"--dynamodb={fake.endpoint}"]
    directory = tmp_path_factory.mktemp("killed")
    with Cluster(directory, settings=settings, arguments=arguments) as cluster:
        yield cluster


class Updating(threading.Thread):
    """One update, and what it raised."""

    def __init__(self, client: Any, key: str) -> None:
        super().__init__(daemon=True)
        self.client, self.key = client, key
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.client.update_item(**update(self.key))
        except Exception as error:
            self.error = error


def update(key: str) -> dict[str, Any]:
    return {
        "TableName": TABLE,
        "Key": {"id": {"S": key}},
        "UpdateExpression": "ADD n :n",
        "ExpressionAttributeValues": {":n": {"N": "1"}},
    }


def interrupted(
    client: Any, updates: int, fake: FakeDynamoDB, cluster: Cluster, *victims: str
) -> list[BaseException]:
    """What updates raise during which ``victims`` are killed; each was made once."""
    fake.behaviour = Answer()
    client.update_item(**update("first"))  # it knows the table and has connections
    fake.behaviour = Hang()
    asked = fake.counting("UpdateItem")
    running = [Updating(client, f"key {number}") for number in range(updates)]
    for one in running:
        one.start()
    wait_until(lambda: asked() == updates, "the updates are with DynamoDB")
    for victim in victims:
        cluster.kill(victim)
    cluster.heal()  # with what is asked again, if anything is
    for one in running:
        one.join(ENDS_S)
        assert not one.is_alive()
    assert asked() == updates
    return [one.error for one in running if one.error is not None]


def test_python_does_not_write_again_when_the_primary_is_killed(
    own: Cluster, fake: FakeDynamoDB
) -> None:
    own.heal()
    session = botocore.session.get_session()
    with AmazonDaxClient(session, endpoint_url=own.dax, **CREDENTIALS) as client:
        [error] = interrupted(client, 1, fake, own, own.primary())
    assert "reset" in str(error), repr(error)


def test_java_does_not_write_again_when_its_nodes_are_killed(
    own: Cluster, fake: FakeDynamoDB
) -> None:
    """It asks nodes by chance: with so many updates some are with the victims."""
    own.heal()
    with JavaClient(own.dax) as client:
        errors = interrupted(LowLevel(client), 8, fake, own, *own.replicas())
    assert len(errors) == 8
    codes = [error.response["Error"]["Code"] for error in errors if isinstance(error, ClientError)]
    assert any("AmbiguousWriteFailure" in code for code in codes), errors
