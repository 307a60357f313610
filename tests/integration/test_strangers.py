"""Three members among strangers: who knows no secret keeps no member from its work."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from paceline.clock import now
from tests.support.raft_processes import EVENT_S, LEASE, Cluster, Process, all_registered
from tests.support.strangers import Flood
from tests.support.waiting import until

FLOOD_S = 2 * LEASE["primary_s"]


@pytest_asyncio.fixture
async def three(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path, 3)
    try:
        for node_id in cluster.peers:
            await cluster.spawn(node_id)
        await all_registered(cluster)
        yield cluster
    finally:
        await cluster.stop()


def consensus_addresses(cluster: Cluster) -> list[tuple[str, int]]:
    found = [address.rpartition(":") for address in cluster.peers.values()]
    return [(host, int(port)) for host, _, port in found]


async def test_messages_without_end_stop_no_write(three: Cluster) -> None:
    """Every renewal is a write to the log that a majority acknowledges."""
    await three.holder()
    began = now()
    with Flood(consensus_addresses(three)) as flood:
        await renewed(three, began + FLOOD_S, "while strangers send all they can")
        assert flood.connections >= len(three.all)
    three.check()


async def test_strangers_that_say_nothing_are_sent_away_and_keep_no_peer_out(
    three: Cluster,
) -> None:
    holder = await three.holder()
    other = next(p for p in three.all if p is not holder)
    async with contextlib.AsyncExitStack() as stack:
        silent = []
        for address in consensus_addresses(three):
            for _ in range(150):
                sock = stack.enter_context(contextlib.closing(socket.socket()))
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(address)
                silent.append(sock)
        # A member that starts anew has to shake hands among them.
        await three.kill(other)
        again = await three.spawn(other.node_id)
        await until(lambda: again.told("registered"), "a member comes back", EVENT_S)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(EVENT_S):
            for sock in silent:
                with contextlib.suppress(OSError):  # closed by a node that was killed
                    assert await loop.sock_recv(sock, 1) == b""
    three.check()


async def test_peers_come_back_when_descriptors_run_out_and_after(three: Cluster) -> None:
    """What is connected goes on meanwhile, and the listener takes peers again afterwards."""
    holder = await three.holder()
    # These two may never have spoken to each other.
    out, follower = (process for process in three.all if process is not holder)
    out.tell("exhaust")
    await until(lambda: out.told("exhausted"), "no descriptor is left", EVENT_S)
    host, port = three.peers[out.node_id].split(":")
    for _ in range(40):  # somebody has to have met the end of them
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1.0):
            pass
    at = await three.kill(follower)
    # Now the one that has none is needed for every renewal.
    await renewed(three, at + LEASE["primary_s"], "while there are none")
    out.tell("free")
    await until(lambda: out.told("freed"), "descriptors are free", EVENT_S)
    await come_back(three, follower, "once there are some again")
    # Now the one that came back and the one that had none need each other.
    at = await three.kill(holder)
    await renewed(three, at + LEASE["primary_s"], "by those that were cut off from each other")
    three.check()


async def come_back(cluster: Cluster, process: Process, when: str) -> Process:
    if process.node_id in cluster.alive:
        await cluster.kill(process)
    again = await cluster.spawn(process.node_id)
    await until(lambda: again.told("registered"), f"a peer comes back {when}", EVENT_S)
    return again


async def renewed(cluster: Cluster, until_at: float, when: str) -> None:
    await until(
        lambda: any(p.held() and p.held()[-1].end > until_at for p in cluster.alive.values()),
        f"the lease is renewed {when}",
        EVENT_S,
    )
