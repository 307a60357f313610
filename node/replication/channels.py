"""One gRPC channel per peer address, opened when first needed."""

from __future__ import annotations

import asyncio

import grpc.aio

from cluster.transport.grpc_server import ChannelFactory

CHANNELS_MAX = 32
"""More than three generations of the largest cluster: peers that restart elsewhere leave old
addresses behind. The one that nobody has asked for longest is closed when this is reached."""

CLOSE_S = 1.0


class Channels:
    def __init__(self, factory: ChannelFactory) -> None:
        self._factory = factory
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def metadata(self) -> grpc.aio.Metadata:
        """The metadata of calls that stream requests."""
        return self._factory.metadata

    def get(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.pop(address, None)
        if channel is None:
            if len(self._channels) >= CHANNELS_MAX:
                longest_unused = next(iter(self._channels))
                self._close(self._channels.pop(longest_unused))
            channel = self._factory.open(address)
        self._channels[address] = channel  # now the last of all
        return channel

    async def aclose(self) -> None:
        for channel in self._channels.values():
            self._close(channel)
        self._channels.clear()
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_S)

    def _close(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.get_running_loop().create_task(channel.close(None))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
