"""The golden frames are what the clients really send.

With ``--record-frames`` the files are written anew, by the clients that are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from typing import Any

import botocore.session
import pytest
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError

from tests.conformance.conftest import CREDENTIALS
from tests.support import frames
from tests.support.cluster import Cluster
from tests.support.frames import CALLS, HASH, RANGE, Relay
from tests.support.go_client import GoClient
from tests.support.java_client import JavaClient
from tests.support.js_client import JsClient, LowLevel
from tests.support.twins import method_of, schema

pytestmark = pytest.mark.full


@contextmanager
def python(url: str) -> Iterator[Any]:
    session = botocore.session.get_session()
    with AmazonDaxClient(session, endpoint_url=url, **CREDENTIALS) as client:
        yield client


@contextmanager
def low_level(client: JsClient) -> Iterator[Any]:
    with client:
        yield LowLevel(client)


CLIENTS: dict[str, tuple[str, Callable[[str], AbstractContextManager[Any]]]] = {
    "python": ("amazon-dax-client 2.1.0 (Python)", python),
    "js-v3": ("@amazon-dax-sdk/lib-dax 3.1.0", lambda url: low_level(JsClient("v3", url))),
    "js-v2": ("amazon-dax-client 1.2.10 (JavaScript)", lambda url: low_level(JsClient("v2", url))),
    "java": ("software.amazon.dax:amazon-dax-client 2.0.5", lambda url: low_level(JavaClient(url))),
    "java-v1": (
        "com.amazonaws:amazon-dax-client 1.0.230341.0",
        lambda url: low_level(JavaClient(url, kind="java-v1")),
    ),
    "go-v1": ("aws-dax-go 1.2.15", lambda url: low_level(GoClient("go-v1", url))),
    "go-v2": ("aws-dax-go-v2 1.0.3", lambda url: low_level(GoClient("go-v2", url))),
}


@pytest.fixture(scope="module")
def tables(plain: Any) -> Iterator[None]:
    for name, shape in ((HASH, "hash"), (RANGE, "range")):
        plain.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **schema(shape))
    yield
    for name in (HASH, RANGE):
        plain.delete_table(TableName=name)


@pytest.mark.parametrize("kind", CLIENTS)
def test_the_frames_are_what_the_client_sends(
    cluster: Cluster, tables: None, pytestconfig: pytest.Config, kind: str
) -> None:
    name, connect = CLIENTS[kind]
    port = int(cluster.entry["nodes"][0]["dax"].rpartition(":")[2])
    sent: dict[str, list[bytes]] = {}
    with Relay(port) as relay, connect(relay.url) as client:
        for call, (operation, params) in CALLS.items():
            refusal = None
            try:
                # Python's client writes into what it is given.
                getattr(client, method_of(operation))(**deepcopy(params))
            except ClientError as error:
                # What DynamoDB says of it is another test's; some clients repeat what is refused.
                refusal = error
            found = dict.fromkeys(relay.taken())
            assert len(found) == 1, f"{call}: {len(found)} different frames, {refusal}"
            sent[call] = list(found)
    if pytestconfig.getoption("--record-frames"):
        frames.save(kind, name, sent)
    recorded = {entry.call: entry.frames for entry in frames.load(kind)}
    assert recorded.keys() == sent.keys()
    for call, found in sent.items():
        assert found == recorded[call], f"{call}: the client sends {found[0].hex()}"


def test_every_file_is_recorded_here() -> None:
    assert set(frames.kinds()) == CLIENTS.keys()
