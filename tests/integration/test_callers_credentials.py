"""Callers' own credentials on a real cluster: whose rights count for what a cache answers, and with
whose keys DynamoDB is asked, at a node that is the primary and at one that is not."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiobotocore.session
import boto3
import botocore.session
import grpc
import pytest
from amazondax import AmazonDaxClient
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from paceline.auth.grpc_calls import sign_call
from paceline.v1 import data_pb2 as pb
from paceline.v1 import data_pb2_grpc
from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable
from tests.support.embedded import EmbeddedProcess, embedded_dynamodb  # noqa: F401
from tests.support.guarded_dynamodb import (
    NODE_KEY,
    Asked,
    Caller,
    GuardedDynamoDB,
    Rights,
    Role,
)
from tests.support.waiting import wait_until

T = "Users"
REGION = "us-east-1"
CALL_S = 20.0
KEPT_S = 3.0
NOT_ALLOWED = "AccessDeniedException"
ROLE = "arn:aws:iam::123456789012:role/carol"

NAMES = ("ann", "bob", "carol", "dan")
UPSTREAM = {
    "ann": {"key": {"id": "AKIAANN0000000000000", "secret": "a" * 40}},
    "bob": {"key": {"id": "AKIABOB0000000000000", "secret": "b" * 40}},
}
ANN, BOB = (UPSTREAM[name]["key"]["id"] for name in ("ann", "bob"))


def key_of(name: str) -> tuple[str, str]:
    return f"PLAK{name.upper():0>16}", name[0] * 41


ALLOW = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"},
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": "arn:aws:iam::000000000000:user/carol"},
    },
}


def principals(upstream: dict[str, Any], *others: str, roles: Sequence[Any] = ()) -> str:
    rows = [
        {
            "name": name,
            "keys": [{"id": key_of(name)[0], "secret": key_of(name)[1]}],
            "policies": {"all": ALLOW},
            **({"upstream": upstream[name]} if name in upstream else {}),
        }
        for name in (*NAMES, *others)
    ]
    return json.dumps({"principals": rows, "roles": list(roles)})  # which is YAML as well


class World:
    def __init__(self, cluster: LocalCluster, guard: GuardedDynamoDB, file: Path) -> None:
        self.cluster, self.guard, self.file = cluster, guard, file
        self._clients: dict[tuple[str, int], Any] = {}
        self._marks = itertools.count(1)

    def principals_are(self, upstream: dict[str, Any], roles: Sequence[Any] = ()) -> None:
        """The file says so and all have read it: each looks at it when it comes to it."""
        mark = f"mark{next(self._marks)}"
        self.file.write_text(principals(upstream, mark, roles=roles))
        for node in range(len(self.cluster.plan.nodes)):
            client = self.http(mark, node)
            wait_until(
                lambda client=client: _error_of(lambda: get(client, "x")) == NOT_ALLOWED,
                f"node {node} has read it",
                CALL_S,
            )
        sts = self.sts(mark)
        wait_until(
            lambda: _error_of(sts.get_caller_identity) == "", "discovery has read it", CALL_S
        )

    def http(self, name: str, node: int = 0) -> Any:
        made = self._clients.get((name, node))
        if made is None:
            access, secret = key_of(name)
            made = self._clients[name, node] = boto3.client(
                "dynamodb",
                endpoint_url=self.cluster.plan.nodes[node].http,
                region_name=REGION,
                aws_access_key_id=access,
                aws_secret_access_key=secret,
                config=Config(retries={"total_max_attempts": 1}),
            )
        return made

    def sts(self, name: str) -> Any:
        access, secret = key_of(name)
        return boto3.client(
            "sts",
            endpoint_url=self.cluster.entry()["discovery"][0]["http"],
            region_name=REGION,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        )

    def session(self, credentials: dict[str, Any], node: int) -> Any:
        return boto3.client(
            "dynamodb",
            endpoint_url=self.cluster.plan.nodes[node].http,
            region_name=REGION,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def rights(self, **of: Rights) -> None:
        """Of these, and nothing was asked yet."""
        for name, rights in of.items():
            self.guard.callers[UPSTREAM[name]["key"]["id"]].rights = rights
        self.guard.asked.clear()

    def data_asked(self) -> list[Asked]:
        return [one for one in self.guard.asked if one.operation != "DescribeTable"]


@pytest.fixture(scope="module")
def world(
    embedded_dynamodb: EmbeddedProcess,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    skip_unless_startable()
    straight = boto3.client(
        "dynamodb",
        endpoint_url=embedded_dynamodb.endpoint,
        region_name=REGION,
        aws_access_key_id=NODE_KEY,
        aws_secret_access_key=NODE_KEY,
    )
    straight.create_table(
        TableName=T,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("id", "v")],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-v",
                "KeySchema": [{"AttributeName": "v", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    file = tmp_path_factory.mktemp("access") / "principals.yaml"
    file.write_text(principals(UPSTREAM))
    with GuardedDynamoDB(embedded_dynamodb.endpoint) as guard:
        for name in UPSTREAM:
            key = UPSTREAM[name]["key"]
            guard.callers[key["id"]] = Caller(key["secret"], Rights())
        settings = {
            "PACELINE_ACCESS__AUTHENTICATION": "sigv4",
            "PACELINE_ACCESS__PRINCIPALS_FILE": str(file),
            "PACELINE_ACCESS__UPSTREAM_CREDENTIALS": "caller",
            "PACELINE_ACCESS__UPSTREAM_RIGHTS_S": str(KEPT_S),
            "PACELINE_DYNAMODB__STS_ENDPOINT": guard.endpoint,
        }
        with LocalCluster.start_new(nodes=2, dynamodb=guard.endpoint, settings=settings) as cluster:
            yield World(cluster, guard, file)
    straight.delete_table(TableName=T)


@pytest.fixture(autouse=True)
def node_asks_for_nothing(world: World) -> Iterator[None]:
    """Whatever a test does, no item is read or written with the nodes' own rights."""
    world.rights(ann=Rights(), bob=Rights())
    yield
    assert {one.operation for one in world.guard.of(NODE_KEY)} <= {"DescribeTable", "ListTables"}


def get(client: Any, name: str, **more: Any) -> Any:
    return client.get_item(TableName=T, Key={"id": {"S": name}}, **more).get("Item")


def put(client: Any, name: str, v: str = "1") -> None:
    client.put_item(TableName=T, Item={"id": {"S": name}, "v": {"S": v}, "w": {"S": "secret"}})


def denied(call: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    assert refused.value.response["Error"]["Code"] == NOT_ALLOWED
    return str(refused.value)


def test_what_somebody_else_has_cached_is_asked_for(world: World) -> None:
    ann, bob = world.http("ann"), world.http("bob")
    put(ann, "one")
    assert get(ann, "one")["v"] == {"S": "1"}
    world.rights(bob=Rights(leading={"other"}))
    denied(lambda: get(bob, "one"))
    denied(lambda: get(bob, "there is none"))
    assert [one.key for one in world.data_asked()] == [BOB, BOB]


def test_a_right_that_was_seen_is_good_for_hits_and_only_for_its_caller(world: World) -> None:
    ann, bob = world.http("ann"), world.http("bob")
    put(ann, "two")
    wait_until(lambda: hits(world, lambda: get(ann, "two")), "it is so", CALL_S)
    assert get(bob, "two") is not None
    assert [one.key for one in world.data_asked()][-1] == BOB
    world.guard.asked.clear()
    get(bob, "two")
    get(ann, "two")
    assert len(world.data_asked()) <= 1  # one of the two may have been forgotten by now


def hits(world: World, ask: Any) -> bool:
    before = len(world.data_asked())
    ask()
    return len(world.data_asked()) == before


def test_a_revoked_right_acts_within_its_time(world: World) -> None:
    bob = world.http("bob")
    put(world.http("ann"), "three")
    get(bob, "three")
    wait_until(lambda: hits(world, lambda: get(bob, "three")), "it is so", CALL_S)
    world.rights(bob=Rights(actions=set()))

    def is_denied() -> bool:
        try:
            get(bob, "three")
        except ClientError:
            return True
        return False

    wait_until(is_denied, "it is so", KEPT_S + CALL_S)
    denied(lambda: get(bob, "three"))


def test_other_attributes_of_the_same_item_are_another_right(world: World) -> None:
    ann, bob = world.http("ann"), world.http("bob")
    put(ann, "four")
    get(ann, "four")
    world.rights(bob=Rights(attributes={"v"}))
    assert get(bob, "four", ProjectionExpression="v") == {"v": {"S": "1"}}
    denied(lambda: get(bob, "four"))
    denied(lambda: get(bob, "four", ProjectionExpression="v, w"))
    assert get(bob, "four", ProjectionExpression="v") == {"v": {"S": "1"}}
    for one in world.data_asked():
        assert one.key == BOB
        assert one.body.get("ProjectionExpression") in ("v", None, "v, w")  # as asked


def test_a_batch_is_not_a_get_nor_the_other_way_round(world: World) -> None:
    ann, bob = world.http("ann"), world.http("bob")
    put(ann, "five")
    get(ann, "five")
    world.rights(bob=Rights(actions={"GetItem"}))
    get(bob, "five")
    get(bob, "five")
    keys = {T: {"Keys": [{"id": {"S": "five"}}]}}
    denied(lambda: bob.batch_get_item(RequestItems=keys))
    world.rights(ann=Rights(actions={"BatchGetItem"}))
    assert ann.batch_get_item(RequestItems=keys)["Responses"][T]
    wait_until(lambda: _denied(lambda: get(ann, "five")), "it is so", KEPT_S + CALL_S)


def test_batches_are_remembered_by_their_items(world: World) -> None:
    ann, bob = world.http("ann"), world.http("bob")
    names = ["batch 1", "batch 2", "batch 3"]
    for name in names:
        put(ann, name)

    def batch(client: Any, *names: str, **more: Any) -> Any:
        keys = [{"id": {"S": name}} for name in names]
        found = client.batch_get_item(RequestItems={T: {"Keys": keys, **more}})
        return sorted(found["Responses"][T], key=lambda item: item.get("id", {}).get("S", ""))

    assert len(batch(ann, *names)) == 3
    world.rights(bob=Rights(leading=set(names[:2])))
    denied(lambda: batch(bob, *names))
    assert len(batch(bob, *names[:2])) == 2
    wait_until(lambda: hits(world, lambda: batch(bob, *names[:2])), "it is so", CALL_S)
    world.guard.asked.clear()
    denied(lambda: batch(bob, *names[1:]))
    asked = [one.body["RequestItems"][T]["Keys"] for one in world.data_asked()]
    assert {"id": {"S": "batch 3"}} in asked[0]
    world.rights(bob=Rights(attributes={"v"}))
    assert batch(bob, *names, ProjectionExpression="v") == [{"v": {"S": "1"}}] * 3
    denied(lambda: batch(bob, *names))
    assert batch(bob, *names, ProjectionExpression="v") == [{"v": {"S": "1"}}] * 3
    for one in world.data_asked():
        assert "ReturnConsumedCapacity" not in one.body


def _denied(call: Any) -> bool:
    return _error_of(call) == NOT_ALLOWED


def _error_of(call: Any) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def _words_of(call: Any) -> str:
    """Of its refusal, whichever that is: nodes look at their files when they come to it."""
    try:
        call()
    except ClientError as error:
        return str(error)
    return ""


def test_pages_and_indexes_are_asked_for_by_each(world: World) -> None:
    ann, bob = world.http("ann"), world.http("bob")
    put(ann, "six", v="page")
    query = {
        "TableName": T,
        "KeyConditionExpression": "id = :id",
        "ExpressionAttributeValues": {":id": {"S": "six"}},
    }
    index = {
        "TableName": T,
        "IndexName": "by-v",
        "KeyConditionExpression": "v = :v",
        "ExpressionAttributeValues": {":v": {"S": "page"}},
    }
    assert ann.query(**query)["Count"] == 1
    assert ann.query(**index)["Count"] == 1
    assert ann.scan(TableName=T)["Count"] >= 1
    world.rights(bob=Rights(resources={T}, leading={"seven"}))
    denied(lambda: bob.query(**query))
    denied(lambda: bob.query(**index))
    denied(lambda: bob.scan(TableName=T))
    world.rights(bob=Rights(resources={T}))
    assert bob.query(**query)["Count"] == 1
    denied(lambda: bob.query(**index))
    world.rights(bob=Rights(resources={T}))
    wait_until(lambda: hits(world, lambda: bob.query(**query)), "it is so", CALL_S)
    other = {**query, "ProjectionExpression": "v"}
    assert not hits(world, lambda: bob.query(**other))
    put(ann, "six", v="another page")
    assert bob.query(**query)["Items"][0]["v"] == {"S": "another page"}
    world.rights(bob=Rights(actions=set()))
    denied(lambda: bob.query(**{**other, "Limit": 1}))
    denied(lambda: bob.query(**query))  # what one denial has made forgotten


def test_writes_go_as_they_are_asked_from_any_node(world: World) -> None:
    for node in (0, 1):
        ann, bob = world.http("ann", node), world.http("bob", node)
        world.rights(ann=Rights(return_values={"NONE"}), bob=Rights(actions={"GetItem"}))
        put(ann, "seven")
        ann.update_item(
            TableName=T,
            Key={"id": {"S": "seven"}},
            UpdateExpression="SET v = :v",
            ExpressionAttributeValues={":v": {"S": "2"}},
        )
        assert get(ann, "seven")["v"] == {"S": "2"}
        denied(lambda bob=bob: put(bob, "seven", v="3"))
        ann.delete_item(TableName=T, Key={"id": {"S": "seven"}})
        assert get(ann, "seven") is None
        asked = [one for one in world.data_asked() if one.operation != "GetItem"]
        assert [(one.key, one.operation) for one in asked] == [
            (ANN, "PutItem"),
            (ANN, "UpdateItem"),
            (BOB, "PutItem"),
            (ANN, "DeleteItem"),
        ]
        assert all("ReturnValues" not in one.body for one in asked)


def test_who_has_no_credentials_gets_nothing_and_nothing_is_asked(world: World) -> None:
    put(world.http("ann"), "eight")
    get(world.http("ann"), "eight")
    world.guard.asked.clear()
    dan = world.http("dan")
    assert "no credentials of its own" in denied(lambda: get(dan, "eight"))
    denied(lambda: put(dan, "eight"))
    denied(lambda: dan.scan(TableName=T))
    denied(dan.list_tables)
    denied(lambda: dan.describe_table(TableName=T))
    denied(lambda: dan.execute_statement(Statement=f'SELECT * FROM "{T}"'))
    assert world.data_asked() == []


def test_a_caller_describes_tables_with_his_own_rights(world: World) -> None:
    bob = world.http("bob")
    world.rights(bob=Rights(actions={"GetItem"}))
    denied(lambda: bob.describe_table(TableName=T))
    assert [one.key for one in world.guard.asked if one.operation == "DescribeTable"][-1] == BOB


async def test_misses_at_the_same_time_do_not_join(world: World) -> None:
    put(world.http("ann"), "nine")
    world.rights(bob=Rights(leading={"other"}))
    world.guard.hold = lambda asked: 0.5 if asked.operation == "GetItem" else 0.0
    session = aiobotocore.session.get_session()

    async def asks(name: str) -> Any:
        access, secret = key_of(name)
        async with session.create_client(
            "dynamodb",
            endpoint_url=world.cluster.plan.nodes[0].http,
            region_name=REGION,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        ) as client:
            try:
                return await client.get_item(TableName=T, Key={"id": {"S": "nine"}})
            except ClientError as error:
                return error.response["Error"]["Code"]

    try:
        told = await asyncio.gather(*(asks(name) for name in ("ann", "bob", "ann", "bob")))
    finally:
        world.guard.hold = lambda _: 0.0
    assert [one == "AccessDeniedException" for one in told] == [False, True, False, True]


def test_a_changed_principal_is_another_one(world: World) -> None:
    bob = world.http("bob")
    put(world.http("ann"), "ten")
    get(bob, "ten")
    world.guard.callers["AKIANEW0000000000000"] = Caller("n" * 40, Rights(actions=set()))
    changed = {**UPSTREAM, "bob": {"key": {"id": "AKIANEW0000000000000", "secret": "n" * 40}}}
    world.principals_are(changed)
    try:
        denied(lambda: get(bob, "ten"))
        assert world.guard.of("AKIANEW0000000000000")
    finally:
        world.principals_are(UPSTREAM)
    assert get(bob, "ten") is not None


def test_credentials_of_another_account_are_refused(world: World) -> None:
    """They would put that account's items under the names of this one's tables."""
    world.guard.callers["AKIAFAR0000000000000"] = Caller("f" * 40, Rights(), account="9" * 12)
    changed = {**UPSTREAM, "carol": {"key": {"id": "AKIAFAR0000000000000", "secret": "f" * 40}}}
    world.principals_are(changed)
    carol = world.http("carol")
    try:
        assert "of another AWS account" in denied(lambda: get(carol, "ten"))
        denied(lambda: put(carol, "ten"))
        assert world.guard.of("AKIAFAR0000000000000") == []
    finally:
        world.principals_are(UPSTREAM)


def test_a_role_is_taken_on_by_the_node_and_its_session_used(world: World) -> None:
    world.guard.roles[ROLE] = role = Role(Rights(leading={"role"}))
    changed = {**UPSTREAM, "carol": {"role_arn": ROLE}}
    put(world.http("ann"), "role")
    world.principals_are(changed)
    carol = world.http("carol")
    try:
        get(carol, "role")
        denied(lambda: get(carol, "not hers"))
        put(carol, "role", v="carol's")
        assert get(carol, "role")["v"] == {"S": "carol's"}
        put(world.http("carol", 1), "role", v="by the other node")
        assert set(role.made) == {NODE_KEY}
        assert len(role.made) <= 2  # once by each node
        sessions = {one.key for one in world.data_asked() if one.key not in (ANN, BOB)}
        assert all(key.startswith("ASIACAROL") for key in sessions)
        # Its sessions are no more: the next request takes it on anew, without anybody's help.
        for key in sessions:
            world.guard.callers[key].token = "another"
        told = [_error_of(lambda: put(carol, "role")) for _ in range(3)]
        assert sorted(told) == ["", "", "UnrecognizedClientException"]
    finally:
        world.principals_are(UPSTREAM)


def test_a_role_of_the_cluster_has_credentials_for_all_its_sessions(world: World) -> None:
    upstream = "arn:aws:iam::123456789012:role/reports"
    world.guard.roles[upstream] = taken = Role(Rights(leading={"role"}))
    put(world.http("ann"), "role")
    put(world.http("ann"), "eleven")
    get(world.http("ann"), "eleven")
    role = {
        "role": "reports",
        "id": "PLRO0000000000000000",
        "trust": json.dumps(TRUST),
        "policies": {"all": json.dumps(ALLOW)},
        "upstream": {"role_arn": upstream},
    }
    arn = "arn:aws:iam::000000000000:role/reports"
    world.principals_are(UPSTREAM, [role])
    try:
        made = world.sts("carol").assume_role(RoleArn=arn, RoleSessionName="nightly")
        nodes = [world.session(made["Credentials"], node) for node in (0, 1)]
        world.guard.asked.clear()
        for node, client in enumerate(nodes):
            put(client, "role", v=f"by {node}")
            assert get(client, "role")["v"] == {"S": f"by {node}"}
            denied(lambda client=client: get(client, "eleven"))
        assert set(taken.made) == {NODE_KEY}
        assert all(one.key.startswith("ASIAROLE_REPORTS") for one in world.data_asked())
        # Without them its open sessions get nothing, and nothing is asked.
        del role["upstream"]
        world.principals_are(UPSTREAM, [role])
        world.guard.asked.clear()
        for client in nodes:
            assert "paceline role set reports" in denied(lambda client=client: get(client, "role"))
            denied(lambda client=client: put(client, "role"))
        assert world.data_asked() == []
    finally:
        world.principals_are(UPSTREAM)


def test_a_role_that_nodes_may_not_take_on_and_one_of_another_account(world: World) -> None:
    carol = world.http("carol")
    try:
        for arn, why in (
            ("arn:aws:iam::123456789012:role/other", "(AccessDenied)"),
            ("arn:aws:iam::999999999999:role/carol", "of another AWS account"),
        ):
            world.principals_are({**UPSTREAM, "carol": {"role_arn": arn}})
            wait_until(
                lambda why=why: why in _words_of(lambda: get(carol, "x")), "it is so", CALL_S
            )
            denied(lambda: put(carol, "x"))
    finally:
        world.principals_are(UPSTREAM)


def test_a_profile_without_credentials_gets_nobody_elses(world: World) -> None:
    carol = world.http("carol")
    world.principals_are({**UPSTREAM, "carol": {"profile": "there-is-none"}})
    try:
        told = "its profile is not there"
        wait_until(lambda: told in _words_of(lambda: get(carol, "x")), "it is so", CALL_S)
    finally:
        world.principals_are(UPSTREAM)


def test_grpc_takes_the_same_way(world: World) -> None:
    put(world.http("ann"), "grpc")
    get(world.http("ann"), "grpc")
    world.rights(bob=Rights(leading={"other"}))
    method = "/paceline.v1.Data/GetItem"
    asked = pb.GetItemRequest(table_name=T, key={"id": pb.AttributeValue(s="grpc")})
    with grpc.insecure_channel(world.cluster.plan.nodes[0].grpc) as channel:
        stub = data_pb2_grpc.DataStub(channel)

        def ask(name: str) -> Any:
            key = Credentials(*key_of(name))
            metadata = sign_call(key, REGION, method, asked.SerializeToString(), datetime.now(UTC))
            return stub.GetItem(asked, metadata=metadata, timeout=CALL_S)

        assert ask("ann").item.attributes["v"].s == "1"
        with pytest.raises(grpc.RpcError) as refused:
            ask("bob")
        assert BOB in refused.value.details()
        with pytest.raises(grpc.RpcError) as refused:
            ask("dan")
        assert "no credentials of its own" in refused.value.details()


def test_dax_takes_the_same_way(world: World) -> None:
    put(world.http("ann"), "dax")
    world.rights(bob=Rights(leading={"other"}))

    def client(name: str) -> Any:
        access, secret = key_of(name)
        return AmazonDaxClient(
            botocore.session.get_session(),
            endpoint_url=f"dax://127.0.0.1:{world.cluster.plan.ports.discovery_dax}",
            region_name=REGION,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        )

    with client("ann") as ann, client("bob") as bob:
        assert get(ann, "dax")["v"] == {"S": "1"}
        wait_until(lambda: hits(world, lambda: get(ann, "dax")), "it is so", CALL_S)
        denied(lambda: get(bob, "dax"))
        keys = {T: {"Keys": [{"id": {"S": "dax"}}]}}
        assert ann.batch_get_item(RequestItems=keys)["Responses"][T]
        denied(lambda: bob.batch_get_item(RequestItems=keys))
        denied(lambda: put(bob, "dax"))
        put(ann, "dax", v="2")
        assert get(ann, "dax")["v"] == {"S": "2"}
