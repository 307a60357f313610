"""Asks each node for its metrics, and keeps what it says.

At the port of members, where both ends show a certificate: nobody else's numbers are taken for a
node's, and it is reached wherever its admin port is bound. A node that does not answer leaves a
gap, not a zero.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from cluster.log.view import MEMBERS, Member
from cluster.roster.live_roster import LiveRoster
from cluster.service.metrics_feed import SCRAPE, TEXT_BYTES_MAX
from cluster.transport.member_certificates import Pair
from cluster.transport.member_channels import MemberChannels
from discovery.watch.aggregation import FINE_S
from discovery.watch.catalogue import Scrape
from discovery.watch.exposition import parsed
from discovery.watch.history import History, nodes_within
from discovery.watch.tables import all_values_of, scrape_of

SCRAPE_S = 5.0
"""For one node's answer."""
GAP_S = 3.0 * FINE_S
"""Counts of a longer time are not taken for those of the last ten seconds."""
_OPTIONS = {"grpc.max_receive_message_length": TEXT_BYTES_MAX}

_log = structlog.get_logger()

Work = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function on the thread of the history."""


@dataclass(frozen=True, slots=True)
class Source:
    """A further cluster whose nodes are asked, too. ``name``: in front of theirs."""

    name: str
    roster: LiveRoster
    channels: MemberChannels


@dataclass(frozen=True, slots=True)
class _Asked:
    """``name``: under which it is kept."""

    name: str
    member: Member
    channels: MemberChannels


class Scraper:
    def __init__(
        self,
        live_roster: LiveRoster,
        channels: MemberChannels,
        history: History,
        work: Work,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        beside: Callable[[], Sequence[Source]] = tuple,
    ) -> None:
        """``beside``: the further clusters that are followed now."""
        self._beside = beside
        self._live_roster = live_roster
        self._channels = channels
        self._history = history
        self._work = work
        self._clock = clock
        self._wall_clock = wall_clock
        self._before: dict[str, Scrape] = {}
        self._open: dict[str, tuple[str, Pair, Any]] = {}
        """By node: its address, what is shown there, and the channel, which stays open: each new
        one costs both ends a handshake."""
        self.after: Callable[[], Awaitable[Any]] | None = None
        """What is done once values were kept."""
        self.failures = 0
        """Scrapes that gave nothing."""
        self.kept_at: float | None = None
        """When values were kept last, by the wall clock."""

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                wall = self._wall_clock()
                await asyncio.sleep(FINE_S - wall % FINE_S)
                await self.round(int(self._wall_clock() // FINE_S) * FINE_S - FINE_S)
        finally:
            for node in list(self._open):
                await self._close(node)

    async def round(self, at: int) -> None:
        """All nodes at once; ``at``: the beginning of the time that their counts are of."""
        members = self._members()
        told = await asyncio.gather(*(self._scrape(member) for member in members))
        by_node: dict[str, dict[str, float]] = {}
        after: dict[str, Scrape] = {}
        for member, scrape in zip(members, told, strict=True):
            if scrape is not None:
                before = self._before.get(member.name)
                by_node[member.name] = all_values_of(scrape, before, GAP_S)
                after[member.name] = scrape
        # Of a node that did not answer, what it said before is still good for a while.
        present = {member.name for member in members}
        for node in [name for name in self._open if name not in present]:
            await self._close(node)
        self._before = {
            **{name: one for name, one in self._before.items() if name in present},
            **after,
        }

        def keep() -> None:
            taken = nodes_within(by_node, self._history.nodes())
            self._history.add(at, {name: by_node[name] for name in taken})

        try:
            await self._work(keep)
            self.kept_at = self._wall_clock()
            if self.after is not None:
                await self.after()
        except Exception as error:
            # Full, or gone: the cluster's roster has nothing to do with it.
            _log.warning("metrics are not kept", reason=repr(error))

    def _members(self) -> list[_Asked]:
        view = self._live_roster.view
        home = () if view is None else view.members
        return [_Asked(one.id, one, self._channels) for one in home] + [
            _Asked(f"{source.name}/{one.id}", one, source.channels)
            for source in self._beside()
            if source.roster.view is not None
            for one in source.roster.view.members
        ]

    async def _scrape(self, asked: _Asked) -> Scrape | None:
        address = asked.member.addresses.get(MEMBERS, "")
        if not address:
            return None
        try:
            channel = await self._channel(asked, address)
            async with asyncio.timeout(SCRAPE_S):
                text = await channel.unary_unary(SCRAPE)(b"")
                at = self._clock()
                return await asyncio.to_thread(lambda: scrape_of(at, parsed(text.decode())))
        except (TimeoutError, ValueError, grpc.aio.AioRpcError) as error:
            self.failures += 1
            reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else str(error)
            _log.info("a node's metrics are missing", node=asked.name, reason=reason)
            await self._close(asked.name)
            return None

    async def _channel(self, asked: _Asked, address: str) -> Any:
        shown = asked.channels.pair
        held = self._open.get(asked.name)
        if held is not None:
            if held[0] == address and held[1] is shown:
                return held[2]
            await self._close(asked.name)
        channel = asked.channels.open(address, asked.member.id, use="roster", options=_OPTIONS)
        self._open[asked.name] = address, shown, channel
        return channel

    async def _close(self, node: str) -> None:
        held = self._open.pop(node, None)
        if held is not None:
            await held[2].close()
