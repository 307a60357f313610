"""One gRPC channel per member, opened when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import grpc.aio

from cluster.transport.member_channels import Use
from paceline.errors import Unavailable

CHANNELS_MAX = 32
"""More than twice the largest cluster: members come and go. The one that nobody has asked for
longest is closed when this is reached."""

CLOSE_S = 1.0


class OpensChannels(Protocol):
    """As ``cluster.transport.member_channels.MemberChannels``."""

    @property
    def pair(self) -> object: ...

    def open(self, address: str, node_id: str, *, use: Use) -> grpc.aio.Channel: ...


@dataclass(slots=True)
class _Way:
    """``address`` and ``pair``: with which the channel was opened."""

    address: str
    pair: object
    channel: grpc.aio.Channel
    former: grpc.aio.Channel | None = None
    """The one before it, whose connection and calls go on."""


class Channels:
    """``members`` None: of a node that is alone. ``address_of``: a member's address, as the
    cluster's view has it."""

    def __init__(
        self, members: OpensChannels | None, address_of: Callable[[str], str | None]
    ) -> None:
        self._members = members
        self._address_of = address_of
        self._ways: dict[str, _Way] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, node_id: str) -> grpc.aio.Channel:
        """A channel to the node where it is now, with the certificate of now. Unavailable if it is
        no member with an address."""
        address = self._address_of(node_id)
        if address is None or self._members is None:
            raise Unavailable(f"{node_id} is no member that could be reached")
        way = self._ways.pop(node_id, None)
        pair = self._members.pair
        if way is None or way.address != address or way.pair is not pair:
            way = self._open(self._members, node_id, address, way)
        self._ways[node_id] = way  # now the last of all
        return way.channel

    def _open(self, members: OpensChannels, node_id: str, address: str, old: _Way | None) -> _Way:
        if old is None and len(self._ways) >= CHANNELS_MAX:
            longest_unused = next(iter(self._ways))
            self._close(self._ways.pop(longest_unused))
        if old is not None and old.former is not None:
            self._end(old.former)
        pair, channel = members.pair, members.open(address, node_id, use="replication")
        return _Way(address, pair, channel, None if old is None else old.channel)

    async def aclose(self) -> None:
        for way in self._ways.values():
            self._close(way)
        self._ways.clear()
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_S)

    def _close(self, way: _Way) -> None:
        for channel in (way.channel, way.former):
            if channel is not None:
                self._end(channel)

    def _end(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.get_running_loop().create_task(channel.close(None))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
