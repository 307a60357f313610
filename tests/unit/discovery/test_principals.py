"""Discovery knows the principals of the log, through the node that it follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from cluster.log import commands as c
from cluster.log.sealed_principals import SealedPrincipals
from cluster.log.state import ReplicatedState
from cluster.roster import principals_feed
from cluster.roster.principals_feed import WATCH, Gathered, add_principals, pieces
from discovery.principals import PrincipalsWatcher
from tests.support.grpc_channels import channels_of, discovery, open_channel, serving_members
from tests.support.waiting import until

DEADLINE_S = 15.0


class Node:
    def __init__(self, cluster_id: str = "c-1") -> None:
        self.state = ReplicatedState()
        self.state.apply_command(c.Bootstrap(cluster_id, {"n1": "h:1"}))
        self.watchers: list[Callable[[], None]] = []

    def put(self, name: str, sealed: bytes | None = b"sealed") -> None:
        before = self.state.principals.by_name.get(name)
        seen = self.state.principals.revision if before is None else before.revision
        keys = () if sealed is None else (f"K-{name}",)
        command = c.PutPrincipal(name, seen, before is None, keys, sealed)
        assert self.state.apply_command(command).ok
        for changed in self.watchers:
            changed()


@asynccontextmanager
async def following(*nodes: Node) -> AsyncIterator[tuple[PrincipalsWatcher, list[str]]]:
    """The watcher, and a list whose last address is the node that is followed."""
    async with (
        serving_members(
            "n1", add_principals(lambda: nodes[0].state, nodes[0].watchers.append)
        ) as first,
        serving_members(
            "n2", add_principals(lambda: nodes[-1].state, nodes[-1].watchers.append)
        ) as second,
    ):
        source = [second, first]
        watcher = PrincipalsWatcher(lambda: source[-1], channels_of(discovery()))
        task = asyncio.create_task(watcher.run())
        try:
            yield watcher, source
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_it_sees_what_is_there_and_each_change() -> None:
    node = Node()
    node.put("ann")
    async with following(node) as (watcher, _):
        await until(lambda: set(watcher.sealed()) == {"ann"}, "it is so", DEADLINE_S)
        many = [f"p{number}" for number in range(20)]
        for name in many:
            node.put(name, bytes(60_000))  # in several pieces
        await until(lambda: set(watcher.sealed()) == {"ann", *many}, "it is so", DEADLINE_S)
        assert watcher.sealed()["p7"].sealed == bytes(60_000)
        node.put("ann", None)
        await until(lambda: set(watcher.sealed()) == set(many), "it is so", DEADLINE_S)


async def test_a_node_that_is_behind_undoes_nothing() -> None:
    ahead, behind = Node(), Node()
    for node in (ahead, behind):
        node.put("ann")
    ahead.put("ann", None)
    async with following(ahead, behind) as (watcher, source):
        async with asyncio.timeout(DEADLINE_S):
            await watcher.known.wait()
        await until(lambda: not watcher.sealed(), "it is so", DEADLINE_S)
        source.pop()
        behind.put("bob")
        behind.put("cem")
        await until(lambda: "cem" in watcher.sealed(), "it is so", DEADLINE_S)


async def test_a_cluster_that_was_founded_anew_has_its_own() -> None:
    before, after = Node(), Node("c-2")
    before.put("ann")
    before.put("bob")
    async with following(before, after) as (watcher, source):
        await until(lambda: len(watcher.sealed()) == 2, "it is so", DEADLINE_S)
        source.pop()
        after.put("cem")
        await until(lambda: set(watcher.sealed()) == {"cem"}, "it is so", DEADLINE_S)


async def test_it_is_for_members_only() -> None:
    async with serving_members(
        "n1", add_principals(lambda: Node().state, Node().watchers.append)
    ) as address:
        async with open_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_stream(WATCH)(b"", timeout=DEADLINE_S).read()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_list_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principals_feed, "PIECE_BYTES", 10)
    node = Node()
    node.put("ann")
    gathered = Gathered()
    *first, last = pieces("c-1", node.state.principals)
    assert len(first) == 2
    for piece in (*first, b""):
        assert gathered.take(piece) is None
    told = gathered.take(last)
    assert told is not None
    assert told[0] == "c-1"
    assert told[1].fields() == node.state.principals.fields()


def test_what_is_no_list_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (b"\x01\xc1", b"\x01\x05", b"\x01\x92\xa1c\x05", b"\x01\x94\x05\x00\x00\x90"):
        with pytest.raises(ValueError, match="principals"):
            Gathered().take(data)
    monkeypatch.setattr(principals_feed, "LIST_BYTES_MAX", 20)
    gathered = Gathered()
    gathered.take(b"\x00" + bytes(15))
    with pytest.raises(ValueError, match="more than"):
        gathered.take(b"\x00" + bytes(15))
    assert pieces("c", SealedPrincipals({}))
