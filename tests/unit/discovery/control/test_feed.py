"""The records of the log at a discovery process, and its changes in the log, over real channels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import msgpack
import pytest

from cluster.log import commands as c
from cluster.log.state import CommandResult, ReplicatedState
from cluster.roster import control_feed
from cluster.roster.control_feed import CHANGE, add_control, message_of, told_by
from discovery.control.feed import ControlFeed
from paceline.errors import Unavailable
from tests.support.grpc_channels import channels_of, discovery, serving_members
from tests.support.waiting import until
from tests.unit.discovery.control.control_world import FACTS

DEADLINE_S = 15.0


class Node:
    """``silent``: how many of the next changes it makes and does not tell of."""

    def __init__(self) -> None:
        self.state = ReplicatedState()
        self.state.apply_command(c.Bootstrap("c-1", {"n1": "h:1"}))
        self.silent = 0
        self.watchers: list[Callable[[], None]] = []

    async def commit(self, command: c.Command, timeout_s: float) -> CommandResult:
        result = self.state.apply(c.encode(command))
        for changed in self.watchers:
            changed()
        if self.silent:
            self.silent -= 1
            raise Unavailable("the replicated log did not answer")
        return result


@asynccontextmanager
async def following(node: Node) -> AsyncIterator[tuple[ControlFeed, str]]:
    added = add_control(lambda: node.state, node.commit, FACTS, node.watchers.append)
    async with serving_members("n1", added) as address:
        feed = ControlFeed(lambda: address, channels_of(discovery()))
        task = asyncio.create_task(feed.run())
        try:
            yield feed, address
        finally:
            task.cancel()
            await asyncio.wait([task])


def seen(feed: ControlFeed) -> dict[str, bytes] | None:
    return None if feed.told is None else dict(feed.told.records.by_name)


async def test_it_hears_what_is_there_and_of_each_change() -> None:
    node = Node()
    async with following(node) as (feed, _):
        await until(lambda: seen(feed) == {}, "a first list", DEADLINE_S)
        assert feed.told is not None
        assert feed.told.facts == FACTS
        change = c.ChangeControl("t1", 0, {"cluster": b"{}"}, (b"event",))
        assert await feed.change(change, DEADLINE_S) == (1, "")
        async with asyncio.timeout(DEADLINE_S):
            await feed.changed_since(0)
        assert seen(feed) == {"cluster": b"{}"}
        refused = c.ChangeControl("t2", 0, {"cluster": None})
        assert await feed.change(refused, DEADLINE_S) == (0, "changed")


async def test_a_change_whose_end_was_not_told_is_asked_for_again_and_made_once() -> None:
    node = Node()
    async with following(node) as (feed, _):
        node.silent = 2
        change = c.ChangeControl("t1", 0, {"x": b"1"}, (b"event",))
        assert await feed.change(change, DEADLINE_S) == (1, "")
        assert node.state.control.events == (b"event",)
        node.silent = 1_000
        with pytest.raises(Unavailable, match="not known"):
            await feed.change(c.ChangeControl("t2", 1, {"x": b"2"}), 0.5)


async def test_without_a_node_a_change_is_not_known_to_be_made() -> None:
    feed = ControlFeed(lambda: None, channels_of(discovery()))
    with pytest.raises(Unavailable, match="no node was reached"):
        await feed.change(c.ChangeControl("t", 0, {}), 0.2)


async def test_a_node_takes_nothing_but_changes_of_the_control_plane() -> None:
    node = Node()
    async with following(node) as (_, address):
        channel: Any = channels_of(discovery()).open(address, use="roster")
        try:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(CHANGE)(c.encode(c.RemoveMember("n1")), timeout=5.0)
        finally:
            await channel.close()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert node.state.voters == {"n1": "h:1"}


@pytest.mark.parametrize(
    "message",
    [b"\xc1", msgpack.packb(5), msgpack.packb(["c", [1], {}]), msgpack.packb([1, [], {}])],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="no records"):
        told_by(message)


def test_a_message_says_all() -> None:
    state = ReplicatedState()
    state.apply_command(c.ChangeControl("t", 0, {"x": b"1"}, (b"e",)))
    told = control_feed.Told("c-1", state.control, FACTS)
    assert told_by(message_of(told)) == told
    assert told_by(b"") is None
