"""Follows the cluster through one node at a time, at its port for members, and keeps the live
roster up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import structlog

from cluster.roster.live_roster import LiveRoster
from cluster.roster.servicer import from_message
from cluster.transport.member_channels import MemberChannels
from discovery.sources import STALE_S, LatestView, Report, Seeds
from paceline.clock import now as clock_now
from paceline.v1 import discovery_pb2, discovery_pb2_grpc

HEARTBEAT_MS = 400
SILENCE_S = 1.2
"""Three heartbeats: a source that says nothing for so long is hung or cut off."""

_log = structlog.get_logger()


class RosterWatcher:
    """Watches one seed after the other; each report that is accepted goes to the live roster.

    A source is left when its stream ends, falls silent, or its view was not confirmed for
    ``STALE_S``; the last accepted view stays in the live roster meanwhile.
    """

    def __init__(
        self,
        live_roster: LiveRoster,
        seeds: Seeds,
        channels: MemberChannels,
        *,
        clock: Callable[[], float] = clock_now,
    ) -> None:
        self._live_roster = live_roster
        self._seeds = seeds
        self._channels = channels
        self._clock = clock
        self._latest = LatestView()
        self.source: str | None = None
        """The address that is followed right now, if any."""

    async def run(self) -> None:
        """Follows the cluster for ever; ends by cancellation."""
        while True:
            address = self._seeds.next()
            reason = await self._follow(address)
            _log.info("left a source of the roster", source=address, reason=reason)
            self.source = None
            if self._seeds.backoff_s:
                await asyncio.sleep(self._seeds.backoff_s)

    async def _follow(self, address: str) -> str:
        """Follows one address, and returns why that ended."""
        channel: Any = self._channels.open(address, use="roster")
        stub: Any = discovery_pb2_grpc.DiscoveryStub  # generated, without types
        try:
            return await self._watch(address, stub(channel))
        except TimeoutError:
            self._seeds.failed()
            return f"silent for {SILENCE_S:g} s"
        except grpc.aio.AioRpcError as error:
            self._seeds.failed()
            return f"{error.code().name}: {error.details()}"
        finally:
            await channel.close()

    async def _watch(self, address: str, stub: Any) -> str:
        stream = stub.Watch(discovery_pb2.WatchRosterRequest(heartbeat_ms=HEARTBEAT_MS))
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    message = await stream.read()
                if not isinstance(message, discovery_pb2.Roster):
                    self._seeds.failed()
                    return "the stream ended"
                if self._hear(address, message) > STALE_S:
                    # Not a success, or a cluster without a leader would be asked in a busy loop.
                    self._seeds.failed()
                    return f"its view is older than {STALE_S:g} s"
        finally:
            stream.cancel()

    def _hear(self, address: str, message: discovery_pb2.Roster) -> float:
        """Takes in one report, and returns its age in seconds."""
        view, _, age_s = from_message(message)
        if self.source is None:
            _log.info("following", source=address, cluster=view.cluster_id, epoch=view.epoch)
            self.source = address
        if self._latest.accept(Report(address, view, self._clock() - age_s)):
            self._seeds.learn(view)
            self._live_roster.update_view(view, age_s)
        if age_s <= STALE_S and view.members:
            self._seeds.succeeded()
        return age_s
