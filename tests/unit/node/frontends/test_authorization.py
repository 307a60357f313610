"""What a caller's policies do not allow is refused by every front end before anything is done, and
nobody gets from a cache what he may not read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from cluster.access.calling import Call as Calling
from cluster.access.calling import call
from cluster.access.principals import AccessKey, Principal
from cluster.access.signatures.verification import Verified
from node.backend.calls import Success
from paceline.access.policies.policy import Policy
from paceline.clock import now
from paceline.dax.client.requests import to_request
from paceline.dax.keys import encode_key
from paceline.dax.request_types import DefineAttributeListId, RawRequest
from paceline.dax.requests import encode_request
from paceline.errors import RequestError
from paceline.types import KeyAttribute, KeySchema, Params
from paceline.v1 import data_pb2 as pb
from tests.unit.node.frontends import doors
from tests.unit.node.frontends.doors import Node, type_of

SCHEMA = KeySchema(KeyAttribute("id", "S"), None)
TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/table"
KEY = {"id": {"S": "a"}}
ITEM = {**KEY, "v": {"S": "secret"}}
GET = {"TableName": "table", "Key": KEY}
PUT = {"TableName": "table", "Item": ITEM}
HEAD = encode_request(to_request("GetItem", GET, lambda _: SCHEMA, lambda _: 1))


def by(*statements: Params, name: str = "ann") -> Verified:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    policies = (Policy.parse(text, "p"),) if statements else ()
    principal = Principal(name, f"arn:aws:iam::000000000000:user/{name}", {}, policies)
    key = AccessKey(f"PLAK{name}", "s" * 40, name)
    return Verified(principal, key, 0, ("host",), float("inf"), 1)


def allow(*actions: str, condition: Params | None = None, resource: str = TABLE) -> Params:
    more = {} if condition is None else {"Condition": condition}
    actions = tuple(f"dynamodb:{action}" for action in actions)
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


@contextmanager
def calling(who: Verified | None) -> Iterator[None]:
    token = call.set(None if who is None else Calling(who, "10.1.2.3", secure=True))
    try:
        yield
    finally:
        call.reset(token)


NOBODY = by(name="nobody")
READER = by(allow("GetItem", "BatchGetItem"), name="reader")
OWNER = by(
    allow("*", condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["b"]}}),
    name="owner",
)


@pytest.fixture
async def node() -> Node:
    node = Node(policies_count=True)
    node.dynamodb.answer = lambda operation, params: Success({"Item": ITEM})
    await node.tables.schema("table")
    await node.lists.define(("v",))
    return node


async def warmed(node: Node) -> None:
    """The item is in the cache, from a caller who may read it."""
    with calling(READER):
        reply = await node.dax.handle(dax(node, "GetItem", GET), node.peer)
    assert b"secret" in reply
    assert node.dax.fast(HEAD) is not None
    node.dynamodb.sent.clear()


def dax(node: Node, operation: str, params: Params) -> Any:
    return to_request(operation, params, lambda _: SCHEMA, node.lists.list_id)


REQUESTS: dict[str, Params] = {
    "GetItem": GET,
    "BatchGetItem": {"RequestItems": {"table": {"Keys": [KEY]}}},
    "Query": {
        "TableName": "table",
        "KeyConditionExpression": "id = :a",
        "ExpressionAttributeValues": {":a": {"S": "a"}},
    },
    "Scan": {"TableName": "table"},
    "TransactGetItems": {"TransactItems": [{"Get": GET}]},
    "PutItem": PUT,
    "DeleteItem": GET,
    "UpdateItem": {**GET, "UpdateExpression": "REMOVE v"},
    "BatchWriteItem": {"RequestItems": {"table": [{"DeleteRequest": {"Key": KEY}}]}},
    "TransactWriteItems": {"TransactItems": [{"Delete": GET}], "ClientRequestToken": "t"},
}
ONLY_JSON: dict[str, Params] = {
    "ExecuteStatement": {"Statement": "SELECT * FROM \"table\" WHERE id = 'a'"},
    "DescribeTable": {"TableName": "table"},
    "ListTables": {},
    "DeleteTable": {"TableName": "table"},
    "UpdateTimeToLive": {
        "TableName": "table",
        "TimeToLiveSpecification": {"AttributeName": "v", "Enabled": True},
    },
    "DynamoDBStreams_20120810.ListStreams": {"TableName": "table"},
    "NoSuchOperation": {"TableName": "table"},
}


WITHOUT_KEYS = {*ONLY_JSON.keys() - {"ExecuteStatement"}, "Scan"}
"""For these ForAllValues holds, as in IAM: there are no leading keys that could be others'."""


def refused(operations: Iterable[str]) -> Any:
    whom: dict[str, Verified | None] = {"nobody": NOBODY, "owner": OWNER, "unknown": None}
    cases = [
        pytest.param(who, operation, id=f"{name}-{operation}")
        for name, who in whom.items()
        for operation in operations
        if who is not OWNER or operation not in WITHOUT_KEYS
    ]
    return pytest.mark.parametrize(("who", "operation"), cases)


class TestRefused:
    """The owner may touch only what belongs to b."""

    @refused(REQUESTS)
    async def test_by_dax(self, node: Node, who: Verified | None, operation: str) -> None:
        await warmed(node)
        with calling(who), pytest.raises(RequestError) as told:
            await node.dax.handle(dax(node, operation, REQUESTS[operation]), node.peer)
        assert told.value.name == "AccessDeniedException"
        assert node.dynamodb.sent == []

    @refused([*REQUESTS, *ONLY_JSON])
    @pytest.mark.parametrize("way", ["http", "raw"])
    async def test_by_json(
        self, node: Node, who: Verified | None, operation: str, way: str
    ) -> None:
        await warmed(node)
        body = {**REQUESTS, **ONLY_JSON}[operation]
        target = operation if "." in operation else f"DynamoDB_20120810.{operation}"
        with calling(who):
            if way == "http":
                reply = await node.post(operation, body)
                assert reply.status == 400
                assert type_of(reply) == "AccessDeniedException"
            else:
                raw = RawRequest(target, json.dumps(body).encode())
                told = await node.dax.handle(raw, node.peer)
                assert b"AccessDeniedException" in told
                assert b"secret" not in told
        assert node.dynamodb.sent == []

    @refused(["GetItem", "PutItem"])
    async def test_by_grpc(self, node: Node, who: Verified | None, operation: str) -> None:
        await warmed(node)
        request: Any
        if operation == "GetItem":
            request = pb.GetItemRequest(table_name="table")
            request.key["id"].s = "a"
        else:
            request = pb.PutItemRequest(table_name="table")
            request.item["id"].s = "a"
        with calling(who):
            response, context = await node.call(operation, request)
        assert response is None
        assert context.code is grpc.StatusCode.PERMISSION_DENIED
        assert node.dynamodb.sent == []


async def test_what_is_passed_on_is_what_was_judged(node: Node) -> None:
    node.dynamodb.answer = lambda operation, params: Success({})
    node.dynamodb.sent.clear()
    twice = b'{"TableName": "secret", "TableName": "table"}'
    with calling(by(allow("DescribeTable"), name="looker")):
        await node.operations.passed("DynamoDB_20120810.DescribeTable", twice, now() + 5.0)
    passed = str(node.dynamodb.sent)
    assert "secret" not in passed
    assert "DescribeTable" in passed


@pytest.mark.parametrize("table", ["table", "missing"])
async def test_a_write_by_grpc_tells_a_stranger_nothing_of_tables(node: Node, table: str) -> None:
    """Neither whether there is such a table, nor how its keys are named."""
    node.dynamodb.describe = lambda table: doors.refused("ResourceNotFoundException")
    request = pb.PutItemRequest(table_name=table)
    request.item["unlike"].s = "any key"
    with calling(NOBODY):
        _, context = await node.call("PutItem", request)
    assert context.code is grpc.StatusCode.PERMISSION_DENIED
    assert "id" not in context.message.split()


async def test_what_is_allowed_is_answered_from_the_cache(node: Node) -> None:
    await warmed(node)
    with calling(READER):
        assert b"secret" in await node.dax.handle(dax(node, "GetItem", GET), node.peer)
        assert (await node.post("GetItem", GET)).cache == "hit"
        batch = REQUESTS["BatchGetItem"]
        assert b"secret" in await node.dax.handle(dax(node, "BatchGetItem", batch), node.peer)
    assert node.dynamodb.sent == []


async def test_the_fast_way_is_for_those_who_may_read_anything_there(node: Node) -> None:
    await warmed(node)
    assert node.dax.fast(HEAD, READER) is not None
    for who in (NOBODY, OWNER, by(allow("GetItem", resource=f"{TABLE}2"))):
        assert node.dax.fast(HEAD, who) is None
    denied = {"Effect": "Deny", "Action": "*", "Resource": TABLE}
    assert node.dax.fast(HEAD, by(allow("GetItem"), denied)) is None
    attributes = {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["id"]}}
    assert node.dax.fast(HEAD, by(allow("GetItem", condition=attributes))) is None


async def test_a_changed_policy_counts_at_once(node: Node) -> None:
    await warmed(node)
    before = by(allow("GetItem"))
    assert node.dax.fast(HEAD, before) is not None
    principal = Principal(before.principal.name, before.principal.arn)
    after = Verified(principal, before.key, 0, ("host",), float("inf"), before.version + 1)
    assert node.dax.fast(HEAD, after) is None
    with calling(after), pytest.raises(RequestError):
        await node.dax.handle(dax(node, "GetItem", GET), node.peer)


async def test_conditions_see_the_request(node: Node) -> None:
    await warmed(node)
    specific = {"StringEquals": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}}
    cases: list[tuple[Params, bool]] = [
        ({"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}}, True),
        ({"IpAddress": {"aws:SourceIp": "10.2.0.0/16"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
        ({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["a"]}}, True),
        ({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["v"]}}, False),
        (specific, False),
    ]
    for number, (condition, allowed) in enumerate(cases):
        with calling(by(allow("GetItem", condition=condition), name=f"c{number}")):
            if allowed:
                assert b"secret" in await node.dax.handle(dax(node, "GetItem", GET), node.peer)
            else:
                with pytest.raises(RequestError, match="AccessDenied"):
                    await node.dax.handle(dax(node, "GetItem", GET), node.peer)


OTHER = {"TableName": "other", "Key": {"id": {"S": "b"}}}
OWNER_ANYWHERE = by(
    allow(
        "*",
        condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["b"]}},
        resource="*",
    ),
    name="owner-anywhere",
)


class TestTablesThatAreNotKnownYet:
    """Policies on keys hang on what the keys are, which is asked for before anybody is refused."""

    @pytest.mark.parametrize("operation", ["GetItem", "DeleteItem", "ExecuteStatement"])
    async def test_an_owner_is_not_refused_for_it(self, node: Node, operation: str) -> None:
        text = "SELECT * FROM other WHERE id = 'b'"
        body = {"Statement": text} if operation == "ExecuteStatement" else OTHER
        with calling(OWNER_ANYWHERE):
            reply = await node.post(operation, body)
            assert reply.status == 200, reply.body
            strange = json.loads(json.dumps(body).replace('"b"', '"a"').replace("'b'", "'a'"))
            reply = await node.post(operation, strange)
        assert type_of(reply) == "AccessDeniedException"
        assert len(node.dynamodb.of("DescribeTable")) == 2  # the other one is the fixture's

    async def test_who_may_do_nothing_there_asks_for_nothing(self, node: Node) -> None:
        for who in (NOBODY, OWNER):
            with calling(who):
                assert type_of(await node.post("GetItem", OTHER)) == "AccessDeniedException"
        assert len(node.dynamodb.of("DescribeTable")) == 1

    async def test_a_table_that_is_not_there_has_no_keys_to_be_known(self, node: Node) -> None:
        node.dynamodb.describe = lambda table: doors.refused("ResourceNotFoundException")
        with calling(OWNER_ANYWHERE):
            assert type_of(await node.post("GetItem", OTHER)) == "AccessDeniedException"

    async def test_when_dynamodb_cannot_say_nobody_is_told_that_he_may_not(
        self, node: Node
    ) -> None:
        node.dynamodb.describe = lambda table: doors.refused("AccessDeniedException")
        with calling(OWNER_ANYWHERE):
            reply = await node.post("GetItem", OTHER)
        assert b"because" in reply.body
        assert b"not authorized" not in reply.body


async def test_who_may_do_nothing_registers_no_attribute_lists(node: Node) -> None:
    define = DefineAttributeListId(("new",))
    denied = by({"Effect": "Deny", "Action": "*", "Resource": "*"}, name="denied")
    for who in (NOBODY, denied, None):
        with calling(who), pytest.raises(RequestError) as told:
            await node.dax.handle(define, node.peer)
        assert told.value.name == "AccessDeniedException"
    with pytest.raises(KeyError):
        node.lists.list_id(("new",))
    with calling(OWNER):
        await node.dax.handle(define, node.peer)
    assert node.lists.list_id(("new",)) > 1


async def test_refusals_are_counted(node: Node) -> None:
    authorizer = node.operations.authorizer
    assert authorizer is not None
    for _ in range(2):
        with calling(NOBODY), pytest.raises(RequestError):
            await node.dax.handle(dax(node, "GetItem", GET), node.peer)
    assert authorizer.refusals.as_dict() == {"AccessDeniedException": 2}


async def test_refusals_are_in_the_words_of_aws(node: Node) -> None:
    with calling(NOBODY), pytest.raises(RequestError) as told:
        await node.dax.handle(dax(node, "GetItem", GET), node.peer)
    assert told.value.message == (
        "User: arn:aws:iam::000000000000:user/nobody is not authorized to perform: dynamodb:GetItem"
        f" on resource: {TABLE} because no identity-based policy allows the dynamodb:GetItem action"
    )
    denied = {"Effect": "Deny", "Action": "dynamodb:*", "Resource": "*"}
    with calling(by(allow("*"), denied)), pytest.raises(RequestError) as told:
        await node.dax.handle(dax(node, "PutItem", PUT), node.peer)
    assert told.value.message.endswith("with an explicit deny in an identity-based policy")


def test_the_key_of_these_tests_is_the_one_that_is_cached() -> None:
    assert encode_key(SCHEMA, KEY) == b"a"
