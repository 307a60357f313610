"""What a connection by HTTP asks its server for."""

from __future__ import annotations

from typing import Any, Protocol

from cluster.settings import Listener
from cluster.transport import served_connection
from node.frontends.http.callers import Callers
from node.frontends.http.known_heads import KnownHeads, Prove
from node.frontends.http.signatures import Signatures
from node.frontends.json_api.handler import JsonHandler
from paceline.http_hosts import HttpHosts


class Host(served_connection.Host, Protocol):
    api: JsonHandler
    signatures: Signatures
    callers: Callers | None
    prove: Prove | None
    healthy: bytes
    request_ids: Any
    known_heads: KnownHeads
    guarded_heads: KnownHeads
    """Of listeners that look at the Host header: one that others take is not known there."""

    def hosts_of(self, listener: Listener) -> HttpHosts | None:
        """The hosts that it goes by; None: any."""
