"""What becomes of nodes that answer, and of those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cluster.log.view import MEMBERS, ClusterView, Member
from cluster.roster.live_roster import LiveRoster
from discovery.watch import scraper as module
from discovery.watch.history import History
from discovery.watch.scraper import Scraper, Source

BEGIN = 1_800_000_000


def text(gets: int, started: float = 1.0) -> bytes:
    lines = [
        f"process_start_time_seconds {started}",
        "paceline_cache_bytes 5.0",
        f'paceline_requests_total{{operation="GetItem",result="ok"}} {gets}',
    ]
    return "\n".join(lines).encode() + b"\n"


class Channels:
    """Instead of channels to nodes: what each says, by its id; None never answers."""

    def __init__(self) -> None:
        self.told: dict[str, bytes | None] = {}
        self.pair = object()
        self.opened: list[str] = []
        self.closed: list[str] = []

    def open(self, address: str, node_id: str, **_: object) -> Any:
        self.opened.append(node_id)
        return Channel(self, node_id)


class Channel:
    def __init__(self, channels: Channels, node: str) -> None:
        self._channels = channels
        self._node = node

    def unary_unary(self, method: str) -> Callable[[bytes], Any]:
        async def call(_: bytes) -> bytes:
            told = self._channels.told[self._node]
            if told is None:
                await asyncio.Event().wait()
            assert told is not None
            return told

        return call

    async def close(self) -> None:
        self._channels.closed.append(self._node)


class World:
    def __init__(self) -> None:
        self.channels = Channels()
        self.history = History(None)
        self.now = 0.0
        members = tuple(
            Member(name, "a", name, addresses={MEMBERS: f"{name}:8181"}) for name in ("n1", "n2")
        )
        roster = LiveRoster()
        roster.update_view(ClusterView(cluster_id="c", epoch=1, members=members), 0.0)

        async def work(do: Callable[[], Any]) -> Any:
            return do()

        self.beside: list[Source] = []
        self.scraper = Scraper(
            roster,
            self.channels,  # type: ignore[arg-type]
            self.history,
            work,
            lambda: self.now,
            lambda: BEGIN + self.now,
            lambda: self.beside,
        )

    async def round(self, n1: bytes | None, n2: bytes | None) -> None:
        self.channels.told = {"n1": n1, "n2": n2}
        await self.scraper.round(BEGIN + int(self.now))
        self.now += 10.0

    def kept(self, metric: str, node: str) -> list[tuple[int, float]]:
        found = self.history.read(metric, 0, 2e9, node).get(node, ())
        return [(one.at - BEGIN, one.total) for one in found]


async def test_nodes_of_further_clusters_are_kept_under_their_clusters_name() -> None:
    world, others, roster = World(), Channels(), LiveRoster()
    roster.update_view(ClusterView("d", (Member("n1", "a", "x", addresses={MEMBERS: "x:8181"}),)))
    world.beside = [Source("second", roster, others)]  # type: ignore[arg-type]
    for gets in (5, 12):
        others.told = {"n1": text(gets)}
        await world.round(text(3 * gets), text(1))
    assert world.kept("GetItemRequestCount", "second/n1")[-1][1] == 7.0
    assert world.kept("GetItemRequestCount", "n1")[-1][1] == 21.0
    assert others.opened == ["n1"]
    world.beside = []
    await world.round(text(50), text(2))
    assert others.closed == ["n1"]


async def test_a_node_that_does_not_answer_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCRAPE_S", 0.05)
    world = World()
    await world.round(text(5), text(7))
    await world.round(text(6), text(7))
    await world.round(text(8), None)
    await world.round(text(8), b"no metrics at all")
    await world.round(text(9), text(9))
    for _ in range(4):
        await world.round(text(9), None)
    await world.round(text(9), text(20))
    await world.round(text(9), text(21))
    gets = world.kept("GetItemRequestCount", "n1")
    assert gets[:4] == [(10, 1.0), (20, 2.0), (30, 0.0), (40, 1.0)]
    # What it counted in 30 s is told; what it counted in 50 s belongs to no ten seconds.
    assert world.kept("GetItemRequestCount", "n2") == [(10, 0.0), (40, 2.0), (100, 1.0)]
    assert [at for at, _ in world.kept("EstimatedDbSize", "n2")] == [0, 10, 40, 90, 100]
    assert world.scraper.failures == 6
    world.history.close()


async def test_channels_stay_open_while_what_is_shown_is_the_same() -> None:
    world = World()
    for _ in range(3):
        await world.round(text(1), text(1))
    assert sorted(world.channels.opened) == ["n1", "n2"]
    world.channels.pair = object()  # the certificate was renewed
    await world.round(text(1), text(1))
    assert sorted(world.channels.opened) == ["n1", "n1", "n2", "n2"]
    assert sorted(world.channels.closed) == ["n1", "n2"]
    world.history.close()


async def test_a_history_that_is_full_ends_nothing() -> None:
    world = World()
    looked: list[float] = []

    async def look() -> None:
        looked.append(world.now)

    world.scraper.after = look
    await world.round(text(1), text(1))
    world.history.close()
    await world.round(text(2), text(2))
    assert looked == [0.0]
    assert world.scraper.kept_at == BEGIN
