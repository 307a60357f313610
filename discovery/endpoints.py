"""The DAX side of discovery: answers ``endpoints``, and says clearly that it serves no data."""

from __future__ import annotations

import asyncio

from cluster.access.signatures.verification import Verified
from cluster.roster.live_roster import LiveRoster
from cluster.transport.dax_server import ConnectionInfo
from paceline.dax.request_types import Endpoints, Request
from paceline.errors import RequestError, Unavailable

VIEW_WAIT_S = 0.8
"""How long to wait for a first view: clients give up on a discovery query after a second."""


class EndpointsHandler:
    """A ``cluster.transport.dax_server.Handler`` over the live roster."""

    def __init__(self, live_roster: LiveRoster) -> None:
        self._live_roster = live_roster

    def fast(self, data: bytes, by: Verified | None = None) -> bytes | None:
        return None

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        if not isinstance(request, Endpoints):
            raise RequestError(
                "ValidationException",
                "this is the discovery endpoint of the cluster, which serves no data: connect "
                "with a DAX client, which asks here for the nodes and sends its requests to them",
            )
        try:
            async with asyncio.timeout(VIEW_WAIT_S):
                while True:
                    revision = self._live_roster.revision
                    reply = self._live_roster.endpoints_reply(
                        peer.listener, peer.family, tls=peer.tls
                    )
                    if reply is not None:
                        return reply
                    await self._live_roster.changed_since(revision)
        except TimeoutError:
            if self._live_roster.view is not None:
                kind = "with TLS" if peer.tls else "without TLS"
                raise Unavailable(
                    f"no node of the cluster has a DAX listener {kind}, which is how you asked: "
                    f"use {'dax' if peer.tls else 'daxs'}://, or give the nodes such a listener"
                ) from None
            raise Unavailable(
                "discovery has not reached any node of the cluster yet: try again"
            ) from None
