"""Asks nodes what they would answer from their caches: this one directly, others over gRPC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import grpc.aio

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Image
from cluster.log.view import Member
from node.audit.sampling import Sampler
from node.cache.item_cache import ItemCache
from paceline.errors import Unavailable
from paceline.types import Key
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc as pb_grpc

PEEK_S = 0.5
"""A node that takes longer is not counted in this sample."""


@dataclass(frozen=True, slots=True)
class Peeked:
    """``image`` None: nothing would be answered from the cache. ``age_s``: since the answer was
    cached, None where its lifetime has no limit."""

    image: Image | None
    age_s: float | None = None


class Peeker:
    """Answers for this node, by the rule of the hit path, and marks nothing as hit."""

    def __init__(
        self, items: ItemCache, guard: Guard, sampler: Sampler, clock: Callable[[], float]
    ) -> None:
        self._items = items
        self._guard = guard
        self._sampler = sampler
        self._clock = clock

    def draw(self) -> Key | None:
        """Returns one of the cached items, at random."""
        now = self._clock()
        return self._sampler.draw(now) if now < self._guard.serve_until else None

    def peek(self, key: Key) -> Peeked:
        now = self._clock()
        entry = self._items.peek(*key, now) if now < self._guard.serve_until else None
        if entry is None:
            return Peeked(None)
        item = entry.item
        ttl = self._items.ttls.of(key[0])
        age_s = (ttl.negative_s if item is None else ttl.record_s) - (entry.expires_at - now)
        return Peeked(Image(item), max(age_s, 0.0) if isfinite(age_s) else None)

    def serve(self, request: pb.PeekRequest) -> pb.PeekReply:
        """Answers the same question of another node."""
        if not request.HasField("key"):
            drawn = self.draw()
            return pb.PeekReply(key=drawn and pb.ItemKey(table=drawn[0], key=drawn[1]))
        peeked = self.peek((request.key.table, request.key.key))
        reply = pb.PeekReply(age_s=peeked.age_s)
        match peeked.image:
            case Image(item=None):
                reply.image.absent = True
            case Image(item=bytes() as item):
                reply.image.item = item
        return reply


class Peers:
    """All nodes alike: this one is asked directly, the others over gRPC."""

    def __init__(
        self, node_id: str, here: Peeker, channel: Callable[[str], grpc.aio.Channel]
    ) -> None:
        self._node_id = node_id
        self._here = here
        self._channel = channel

    async def draw(self, member: Member) -> Key | None:
        """Returns a key that the member has cached; None if there is none, or no answer."""
        if member.id == self._node_id:
            return self._here.draw()
        reply = await self._call(member, pb.PeekRequest())
        if reply is None or not reply.HasField("key"):
            return None
        return reply.key.table, reply.key.key

    async def peek(self, member: Member, key: Key) -> Peeked | None:
        """Returns what the member would answer; None if it could not be asked."""
        if member.id == self._node_id:
            return self._here.peek(key)
        request = pb.PeekRequest(key=pb.ItemKey(table=key[0], key=key[1]))
        reply = await self._call(member, request)
        if reply is None:
            return None
        age_s = reply.age_s if reply.HasField("age_s") else None
        match reply.image.WhichOneof("state"):
            case "item":
                return Peeked(Image(reply.image.item), age_s)
            case "absent":
                return Peeked(Image(None), age_s)
        return Peeked(None)

    async def _call(self, member: Member, request: pb.PeekRequest) -> pb.PeekReply | None:
        try:
            stub = pb_grpc.ReplicationStub(self._channel(member.id))
            reply: pb.PeekReply = await stub.Peek(request, timeout=PEEK_S)
        except (grpc.aio.AioRpcError, Unavailable):
            return None  # it is down, or hangs, or has left, or does not know the call yet
        return reply
