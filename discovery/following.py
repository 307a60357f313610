"""Follows a stream of whichever node is followed, and takes in what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import structlog

from cluster.transport.member_channels import MemberChannels

SILENCE_S = 3.0
"""Nodes say something every second: one that does not is hung or cut off."""
RETRY_S = 0.3

_log = structlog.get_logger()

Take = Callable[[bytes], None]
"""Takes one message. ValueError: it is none of this stream, which is left then."""


class Follower:
    """``source``: the address of the node that is followed, if any. ``method``: of the stream,
    which is about ``what``. ``begin``: what takes the messages of one that was just opened."""

    def __init__(
        self,
        source: Callable[[], str | None],
        channels: MemberChannels,
        method: str,
        what: str,
        begin: Callable[[], Take],
    ) -> None:
        self._source = source
        self._channels = channels
        self._method = method
        self._what = what
        self._begin = begin

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            address = self._source()
            if address is not None:
                try:
                    await self._follow(address)
                except (TimeoutError, ValueError, grpc.aio.AioRpcError) as error:
                    _log.info("left a source", of=self._what, source=address, reason=str(error))
            await asyncio.sleep(RETRY_S)

    async def _follow(self, address: str) -> None:
        channel: Any = self._channels.open(address, use="roster")
        try:
            stream = channel.unary_stream(self._method)(b"")
            take = self._begin()
            while self._source() == address:
                async with asyncio.timeout(SILENCE_S):
                    message = await stream.read()
                if not isinstance(message, bytes):
                    return
                take(message)
        finally:
            await channel.close()
