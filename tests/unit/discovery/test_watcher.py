"""The watcher, and the Discovery service that it follows, over gRPC on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cluster.log.view import ClusterView, Member
from cluster.roster.endpoints import AddressFamily, Health
from cluster.roster.live_roster import LiveRoster
from cluster.roster.servicer import SERVICE, add_discovery, from_message
from cluster.transport.grpc_server import GrpcServer
from cluster.transport.member_channels import MemberChannels
from discovery.sources import Seeds
from discovery.watcher import RosterWatcher
from paceline.errors import ConfigError
from paceline.v1 import discovery_pb2, discovery_pb2_grpc
from tests.support.grpc_channels import channels_of, discovery, members_server, open_channel

DEADLINE_S = 10.0


class Source:
    """A fake node: a live roster served at its members' port."""

    def __init__(self) -> None:
        self.live_roster = LiveRoster()
        self.server = members_server("n1", add_discovery(self.live_roster))
        self.address = ""

    async def start(self) -> "Source":
        self.address = await self.server.start()
        return self


Sources = Callable[[], Awaitable[Source]]


@pytest.fixture
async def sources() -> AsyncIterator[Sources]:
    made: list[Source] = []

    async def make() -> Source:
        made.append(await Source().start())
        return made[-1]

    yield make
    for source in made:
        await source.server.stop()


def view(epoch: int, *addresses: str, primary: str | None = None) -> ClusterView:
    members = tuple(
        Member(
            f"n{i}", "a", "life", i, {"members": a, "dax/default": f"127.0.0.1:{8120 + i}"}, i == 3
        )
        for i, a in enumerate(addresses, 1)
    )
    return ClusterView("c", members, epoch=epoch, primary=primary)


@asynccontextmanager
async def following(*seeds: str) -> AsyncIterator[tuple[RosterWatcher, LiveRoster]]:
    live_roster = LiveRoster()
    watcher = RosterWatcher(live_roster, Seeds(seeds), channels_of(discovery()))
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher, live_roster
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_changes_make(live_roster: LiveRoster, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await live_roster.changed_since(live_roster.revision)


def epoch_of(live_roster: LiveRoster) -> int:
    return live_roster.view.epoch if live_roster.view is not None else 0


async def test_view_and_every_change_arrive(sources: Sources) -> None:
    source = await sources()
    source.live_roster.update_view(view(1, source.address, primary="n1"))
    async with following(source.address) as (_, live_roster):
        await until_changes_make(live_roster, lambda: epoch_of(live_roster) == 1)
        assert live_roster.view == view(1, source.address, primary="n1")
        source.live_roster.update_view(view(2, source.address))
        await until_changes_make(live_roster, lambda: epoch_of(live_roster) == 2)
        assert live_roster.view is not None
        assert live_roster.view.primary is None


async def test_source_that_stops_is_replaced_by_a_learned_member(sources: Sources) -> None:
    first, second = await sources(), await sources()
    for source in (first, second):
        source.live_roster.update_view(view(1, first.address, second.address))
    async with following(first.address) as (_, live_roster):
        await until_changes_make(live_roster, lambda: epoch_of(live_roster) == 1)
        await first.server.stop()
        second.live_roster.update_view(view(2, second.address))
        await until_changes_make(live_roster, lambda: epoch_of(live_roster) == 2)


async def test_unreachable_seed_is_passed_over(sources: Sources, unused_tcp_port: int) -> None:
    source = await sources()
    source.live_roster.update_view(view(4, source.address))
    async with following(f"127.0.0.1:{unused_tcp_port}", source.address) as (_, live_roster):
        await until_changes_make(live_roster, lambda: epoch_of(live_roster) == 4)


async def test_silent_source_is_left(sources: Sources) -> None:
    """A source without a view sends nothing, like one that hangs."""
    silent, source = await sources(), await sources()
    source.live_roster.update_view(view(1, source.address))
    async with following(silent.address, source.address) as (_, live_roster):
        await until_changes_make(live_roster, lambda: epoch_of(live_roster) == 1)


async def test_source_whose_view_nobody_confirms_is_left_for_a_better_one(
    sources: Sources,
) -> None:
    cut_off, source = await sources(), await sources()
    cut_off.live_roster.update_view(view(1, cut_off.address, source.address), age_s=60.0)
    source.live_roster.update_view(view(2, cut_off.address, source.address))
    async with following(cut_off.address) as (_, live_roster):
        await until_changes_make(live_roster, lambda: epoch_of(live_roster) == 2)


async def test_last_view_stays_while_nobody_can_be_asked(sources: Sources) -> None:
    source = await sources()
    source.live_roster.update_view(view(1, source.address))
    async with following(source.address) as (_, live_roster):
        await until_changes_make(live_roster, lambda: epoch_of(live_roster) == 1)
        await source.server.stop()
        assert epoch_of(live_roster) == 1
        reply = live_roster.endpoints_reply("default", AddressFamily.IPV4)
        assert reply is not None
        assert b"n1" in reply


# -- the service ----------------------------------------------------------------------------------


@asynccontextmanager
async def stub(address: str, channels: MemberChannels | None = None) -> AsyncIterator[Any]:
    channel: Any = (channels or channels_of(discovery())).open(address, use="roster")
    try:
        make: Any = discovery_pb2_grpc.DiscoveryStub
        yield make(channel)
    finally:
        await channel.close()


async def test_get_without_a_view_is_unavailable(sources: Sources) -> None:
    source = await sources()
    async with stub(source.address) as feed:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await feed.Get(discovery_pb2.GetRosterRequest(), timeout=DEADLINE_S)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_get_tells_everything(sources: Sources) -> None:
    source = await sources()
    the_view = view(7, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", primary="n2")
    source.live_roster.update_view(the_view, age_s=1.5)
    source.live_roster.update_health("n1", Health.UNREACHABLE)
    source.live_roster.update_health("n2", Health.ALIVE)
    async with stub(source.address) as feed:
        roster = await feed.Get(discovery_pb2.GetRosterRequest(), timeout=DEADLINE_S)
    got, health, age_s = from_message(roster)
    assert got == the_view
    assert health == {"n1": Health.UNREACHABLE, "n2": Health.ALIVE, "n3": Health.UNKNOWN}
    assert 1.5 <= age_s < DEADLINE_S
    assert [n.role for n in roster.nodes] == [
        discovery_pb2.ROLE_REPLICA,
        discovery_pb2.ROLE_PRIMARY,
        discovery_pb2.ROLE_REPLICA,
    ]


async def test_watch_sends_at_once_then_changes_then_heartbeats(sources: Sources) -> None:
    source = await sources()
    source.live_roster.update_view(view(1, source.address))
    async with stub(source.address) as feed:
        watch = feed.Watch(discovery_pb2.WatchRosterRequest(heartbeat_ms=100))
        async with asyncio.timeout(DEADLINE_S):
            first = await watch.read()
            source.live_roster.update_view(view(2, source.address))
            seen = [first, await watch.read()]
            while seen[-1].epoch != 2:
                seen.append(await watch.read())
            heartbeats = [await watch.read() for _ in range(3)]
        watch.cancel()
    assert first.epoch == 1
    assert {h.revision for h in heartbeats} == {seen[-1].revision}
    ages = [h.age_ms for h in heartbeats]
    assert ages == sorted(ages)


async def test_dial_map_redirects_channels(sources: Sources) -> None:
    source = await sources()
    source.live_roster.update_view(view(1, source.address))
    channels = channels_of(discovery(), {"10.255.255.1:1": source.address})
    async with stub("10.255.255.1:1", channels) as feed:
        roster = await feed.Get(discovery_pb2.GetRosterRequest(), timeout=DEADLINE_S)
    assert roster.epoch == 1


@pytest.fixture
async def for_clients() -> AsyncIterator[tuple[GrpcServer, str]]:
    server = GrpcServer([add_discovery(LiveRoster())], names=[SERVICE])
    address = await server.start("127.0.0.1:0")
    yield server, address
    await server.stop(0.0)


async def test_grpc_port_in_use_is_a_config_error(for_clients: tuple[GrpcServer, str]) -> None:
    with pytest.raises(ConfigError, match=r"PACELINE_GRPC_BIND.*in use"):
        await GrpcServer([]).start(for_clients[1])


async def test_health_says_when_the_server_serves(for_clients: tuple[GrpcServer, str]) -> None:
    server, address = for_clients
    channel: Any = open_channel(address)
    try:
        make: Any = health_pb2_grpc.HealthStub
        check = make(channel).Check
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        answer = await check(request, timeout=DEADLINE_S)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        await server.set_serving(True)
        answer = await check(request, timeout=DEADLINE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await channel.close()
