"""Every node's disk is wiped under live clients, which keep the attribute-list ids they learnt.

An id that came to mean another list would put their values under wrong names, silently. Ids are
derived from the names, so an id means what it meant, or nothing.
"""

import time
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError

from paceline.dax.request_types import DefineAttributeListId
from paceline.dax.responses import Role, read_attribute_list_id
from tests.support.cluster import DISCOVERY, Cluster
from tests.support.embedded import boto3_client
from tests.support.js_client import JsClient, LowLevel
from tests.support.protocol_client import NodeClient
from tests.support.twins import keys
from tests.support.waiting import wait_until

TABLE = "wiped"
KINDS = ("python", "v3", "v2")
JS_CALL_S = {"v3": 8.0, "v2": 5.0}
SILENT = "no outcome"
"""v2 takes connections from its pool that killed nodes have closed, and waits for ever; when it was
asking for a key schema, every later call waits with it. That is its own affair."""
V2_BACK_S = 3.0
BACK_S = 30.0
"""An official client takes a few seconds to trust nodes again that were gone."""


@pytest.fixture(scope="module")
def wiped_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("wipe")) as cluster:
        cluster.wait_serving()
        yield cluster


def make_client(kind: Any, cluster: Cluster) -> Any:
    """(client with boto3's methods, its close)."""
    if kind == "python":
        client = AmazonDaxClient(
            botocore.session.get_session(),
            endpoint_url=cluster.dax,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        return client, client.close
    js = JsClient(kind, cluster.dax, call_s=JS_CALL_S[kind])
    return LowLevel(js), js.close


async def register(cluster: Cluster, *names: str) -> int:
    async with NodeClient(*cluster.address(cluster.node_ids[0])) as client:
        body = await client._exchange(DefineAttributeListId(names), 5.0)
    return read_attribute_list_id(body)


def answered(kind: str, client: Any, item: dict[str, Any]) -> str | None:
    """Put ``item``, again as long as the client only cannot reach a node: None when it is
    written, else the code of the error that a node answered, or ``SILENT``."""
    until = time.monotonic() + (V2_BACK_S if kind == "v2" else BACK_S)
    while True:
        try:
            client.put_item(TableName=TABLE, Item=item)
        except (OSError, ClientError) as error:
            # The Python client's own "the socket is closed" has no code at all.
            response: Any = {} if isinstance(error, OSError) else error.response
            code = response.get("Error", {}).get("Code", "")
            if code.startswith("Validation"):
                return str(code)
            if time.monotonic() > until:
                if isinstance(error, TimeoutError):
                    return SILENT
                raise
            time.sleep(0.1)
        else:
            return None


async def test_no_value_goes_under_a_wrong_name(wiped_cluster: Cluster) -> None:
    cluster = wiped_cluster
    plain = boto3_client(cluster.dynamodb)
    plain.create_table(TableName=TABLE, BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
    clients: dict[str, Any] = {}
    closers = []
    try:
        for kind in KINDS:
            try:
                clients[kind], close = make_client(kind, cluster)
            except pytest.skip.Exception as reason:
                print(f"without the {kind} client: {reason}")
                continue
            closers.append(close)
        for kind, client in clients.items():
            # Lists of one, two and three names; every node is asked for them sooner or later.
            for number in range(12):
                item = {"id": {"S": f"{kind} before"}, "value": {"S": f"{number}"}}
                client.put_item(TableName=TABLE, Item=item)
                client.get_item(TableName=TABLE, Key={"id": item["id"]})
        before = await register(cluster, "value")

        cluster.found_anew()
        # Were ids counted, these would take the old ones.
        others = [await register(cluster, f"other {number}") for number in range(30)]
        assert before not in others

        restored: list[str] = []
        for kind, client in clients.items():
            item = {"id": {"S": f"{kind} after"}, "value": {"S": "new"}}
            code = answered(kind, client, item)
            stored = plain.get_item(TableName=TABLE, Key={"id": item["id"]}).get("Item")
            print(f"{kind}: {code or 'written'}")
            if code == SILENT and kind == "v2":
                assert stored in (None, item)
                continue
            assert code in (None, "ValidationException")
            assert stored == (item if code is None else None), kind
            restored.append(kind)
        assert await register(cluster, "value") == before

        assert "python" in restored
        for kind in restored:
            item = {"id": {"S": f"{kind} at last"}, "value": {"S": "new"}}
            assert answered(kind, clients[kind], item) in (None, SILENT if kind == "v2" else None)
            assert plain.get_item(TableName=TABLE, Key={"id": item["id"]})["Item"] == item
    finally:
        for close in closers:
            close()
        plain.close()


async def test_discovery_follows_the_wiped_cluster(wiped_cluster: Cluster) -> None:
    """Its epochs begin anew, which is no old news from the cluster that it knew."""
    cluster = wiped_cluster
    cluster.found_anew()
    primary = cluster.address(cluster.primary())[1]
    host, _, port = cluster.dax.removeprefix("dax://").rpartition(":")

    async def leaders() -> list[int]:
        async with NodeClient(host, int(port)) as discovery:
            roster = await discovery.endpoints()
        return [found.port for found in roster if found.role == Role.LEADER]

    until = time.monotonic() + BACK_S
    while await leaders() != [primary]:
        assert time.monotonic() < until, f"discovery still names {await leaders()}, not {primary}"
    assert cluster.programs[DISCOVERY].running
    wait_until(lambda: len(cluster.statuses()) == 3, "all nodes answer")
