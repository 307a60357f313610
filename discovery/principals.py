"""Follows the principals of the log, through the node whose roster is followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import structlog

from cluster.log.sealed_principals import SealedPrincipal
from cluster.roster.principals_feed import WATCH, Gathered
from cluster.transport.member_channels import MemberChannels

SILENCE_S = 3.0
RETRY_S = 0.3

_log = structlog.get_logger()


class PrincipalsWatcher:
    """``sealed``: what the log has, as of the newest that any node has told. It stays while no node
    is reached: whoever was known may ask who is there, and nodes decide about the rest.

    ``source``: the address of the node that is followed, if any.
    """

    def __init__(self, source: Callable[[], str | None], channels: MemberChannels) -> None:
        self._source = source
        self._channels = channels
        self._sealed: Mapping[str, SealedPrincipal] = {}
        self._newest = ("", -1)
        self.known = asyncio.Event()
        """Set with the first list."""

    def sealed(self) -> Mapping[str, SealedPrincipal]:
        return self._sealed

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            address = self._source()
            if address is not None:
                try:
                    await self._follow(address)
                except (TimeoutError, ValueError, grpc.aio.AioRpcError) as error:
                    _log.info("left a source of principals", source=address, reason=str(error))
            await asyncio.sleep(RETRY_S)

    async def _follow(self, address: str) -> None:
        channel: Any = self._channels.open(address, use="roster")
        try:
            stream = channel.unary_stream(WATCH)(b"")
            gathered = Gathered()
            while self._source() == address:
                async with asyncio.timeout(SILENCE_S):
                    piece = await stream.read()
                if not isinstance(piece, bytes):
                    return
                told = gathered.take(piece)
                if told is not None:
                    self._take(*told)
        finally:
            await channel.close()

    def _take(self, cluster_id: str, principals: Any) -> None:
        """A node that is behind the others does not undo what they have told."""
        before, revision = self._newest
        if cluster_id == before and principals.revision < revision:
            return
        self._newest = (cluster_id, principals.revision)
        self._sealed = principals.by_name
        self.known.set()
