"""A node's metrics for discovery processes, at the port of members: what ``/metrics`` says, in
Prometheus' text, after a line of its own that names the node.

There both ends show a certificate, so nobody else's numbers are taken for a node's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

SERVICE = "paceline.v1.Metrics"
SCRAPE = f"/{SERVICE}/Scrape"
TEXT_BYTES_MAX = 4 * 1024 * 1024
"""Of one node. A hundred tables with every operation, protocol and end take less."""


def add_metrics(registry: CollectorRegistry) -> Callable[[Any], None]:
    """For ``MembersServer.add``."""

    async def scrape(_: bytes, context: Any) -> bytes:
        text = generate_latest(registry)
        if len(text) > TEXT_BYTES_MAX:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many metrics")
        return text

    handler = grpc.unary_unary_rpc_method_handler(scrape)
    handlers = grpc.method_handlers_generic_handler(SERVICE, {"Scrape": handler})
    return lambda server: server.add_generic_rpc_handlers((handlers,))
