"""The principals of the log, sealed as they are there, for discovery processes: at once, and after
each change, at the port of members.

A stream of pieces, each one byte (0: more follows, 1: the last one) and a part of a list in
msgpack: the cluster's id, then ``SealedPrincipals.fields``. An empty message says that nothing has
changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import msgpack

from cluster.log.sealed_principals import ALL_BYTES_MAX, SealedPrincipals
from cluster.log.state import ReplicatedState
from cluster.roster.looking import Notice, Watch, looked_at

SERVICE = "paceline.v1.Principals"
WATCH = f"/{SERVICE}/Watch"

PIECE_BYTES = 512 * 1024
LIST_BYTES_MAX = 2 * ALL_BYTES_MAX


def add_principals(
    state: Callable[[], ReplicatedState], watch_state: Watch
) -> Callable[[Any], None]:
    """For ``MembersServer.add``."""
    notice = Notice(lambda: state().principals.revision, watch_state)

    async def watch(_: bytes, context: Any) -> AsyncIterator[bytes]:
        told: object = None

        def changed() -> list[bytes]:
            nonlocal told
            now = state()
            if not now.cluster_id or now.principals.by_name is told:
                return []
            told = now.principals.by_name
            return pieces(now.cluster_id, now.principals)

        async for message in looked_at(changed, notice):
            yield message

    handler = grpc.unary_stream_rpc_method_handler(watch)
    handlers = grpc.method_handlers_generic_handler(SERVICE, {"Watch": handler})
    return lambda server: server.add_generic_rpc_handlers((handlers,))


def pieces(cluster_id: str, principals: SealedPrincipals) -> list[bytes]:
    data: bytes = msgpack.packb([cluster_id, *principals.fields()])
    starts = range(0, len(data), PIECE_BYTES)
    return [
        bytes((start + PIECE_BYTES >= len(data),)) + data[start : start + PIECE_BYTES]
        for start in starts
    ]


class Gathered:
    """The pieces of one list. Pure."""

    def __init__(self) -> None:
        self._data = bytearray()

    def take(self, piece: bytes) -> tuple[str, SealedPrincipals] | None:
        """The cluster's id and its principals once the last piece is there. ValueError for what is
        no such list, or a list without end."""
        if not piece:
            return None
        self._data += piece[1:]
        if len(self._data) > LIST_BYTES_MAX:
            raise ValueError(f"a list of more than {LIST_BYTES_MAX} bytes")
        if piece[0] != 1:
            return None
        data, self._data = bytes(self._data), bytearray()
        try:
            cluster_id, *fields = msgpack.unpackb(data)
            if not isinstance(cluster_id, str):
                raise TypeError("a cluster's id is text")
            return cluster_id, SealedPrincipals.from_fields(fields)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise ValueError(f"no list of principals: {error!r}") from error
