"""What the audit log is told of callers' requests, by every front end: who, what, where; never an
item, or a key of one."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from cluster.access.audit import AuditEvent
from cluster.access.counting import Refusals
from node.backend.calls import Success
from paceline.errors import RequestError
from tests.unit.node.frontends.doors import Node
from tests.unit.node.frontends.test_authorization import (
    GET,
    HEAD,
    ITEM,
    NOBODY,
    ONLY_JSON,
    OWNER,
    READER,
    REQUESTS,
    TABLE,
    calling,
    dax,
    warmed,
)


class Audited:
    def __init__(self, *, everything: bool) -> None:
        self.told: list[AuditEvent] = []
        tell = self.told.append
        self.node = Node(policies_count=True, refusals=Refusals(tell, tell if everything else None))
        self.node.dynamodb.answer = lambda operation, params: Success({"Item": ITEM})


async def audited(*, everything: bool) -> Audited:
    made = Audited(everything=everything)
    await made.node.tables.schema("table")
    await made.node.lists.define(("v",))
    return made


async def test_a_denied_request() -> None:
    made = await audited(everything=False)
    with calling(NOBODY), pytest.raises(RequestError):
        await made.node.dax.handle(dax(made.node, "GetItem", GET), made.node.peer)
    (event,) = made.told
    assert event == AuditEvent(
        "denied",
        "",
        "GetItem",
        "AccessDeniedException",
        "dynamodb:GetItem",
        TABLE,
        "arn:aws:iam::000000000000:user/nobody",
        "PLAKnobody",
        "10.1.2.3",
    )


@pytest.mark.parametrize("operation", [*REQUESTS, *ONLY_JSON])
async def test_no_line_says_what_is_in_an_item(operation: str) -> None:
    made = await audited(everything=True)
    text = json.dumps({**REQUESTS, **ONLY_JSON}[operation])
    body: Any = json.loads(text.replace('"a"', '"hush"').replace("'a'", "'hush'"))
    for who in (NOBODY, OWNER, READER, None):
        with calling(who):
            await made.node.post(operation, body)
    assert made.told
    for event in made.told:
        line = json.dumps(asdict(event))
        assert "hush" not in line
        assert "secret" not in line


async def test_what_is_allowed_is_told_only_where_it_is_wanted() -> None:
    made = await audited(everything=False)
    await warmed(made.node)
    with calling(READER):
        await made.node.post("GetItem", GET)
    assert made.told == []
    assert made.node.dax.fast(HEAD, READER) is not None


async def test_every_hit_is_told_where_all_is_wanted() -> None:
    made = await audited(everything=True)
    node = made.node
    await warmed(node)
    made.told.clear()
    assert node.dax.fast(HEAD, replace(READER)) is None, "of whom this node has decided nothing yet"
    batch = REQUESTS["BatchGetItem"]
    with calling(READER):
        assert b"secret" in await node.dax.handle(dax(node, "GetItem", GET), node.peer)
        assert (await node.post("GetItem", GET)).cache == "hit"
        assert b"secret" in await node.dax.handle(dax(node, "BatchGetItem", batch), node.peer)
    assert node.dynamodb.sent == [], "all of them hit"
    assert [(event.decision, event.action, event.resource) for event in made.told] == [
        ("allowed", "dynamodb:GetItem", TABLE),
        ("allowed", "dynamodb:GetItem", TABLE),
        ("allowed", "dynamodb:BatchGetItem", TABLE),
    ]


async def test_a_batch_is_told_once_for_each_table() -> None:
    made = await audited(everything=True)
    keys = [{"id": {"S": f"k{number}"}} for number in range(25)]
    with calling(READER):
        await made.node.post("BatchGetItem", {"RequestItems": {"table": {"Keys": keys}}})
    assert [event.resource for event in made.told] == [TABLE]
