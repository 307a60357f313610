"""What watches a node's requests: hits that are sampled, the request log, traces."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from cluster.service.lifecycle import Lifecycle
from cluster.settings import NodeSettings
from node.operations import Operations
from node.request_log import RequestLog
from node.tracing.spans import Spans
from paceline.clock import now
from paceline.errors import ConfigError

TRACES_S = 5.0
"""For the traces that are left when a node ends."""


def watched(operations: Operations, lifecycle: Lifecycle, settings: NodeSettings) -> Operations:
    """The same, watched from now on. ConfigError."""
    log, spans = RequestLog.started(lifecycle, settings), spans_of(lifecycle, settings)
    operations.backend.trace(spans)
    return operations.sampling_hits(now, asyncio.get_running_loop().call_soon, log, spans)


def spans_of(lifecycle: Lifecycle, settings: NodeSettings) -> Spans | None:
    """None where no traces are wanted. ConfigError."""
    if settings.traces == "off":
        return None
    try:
        from node.tracing.otel import OtelSpans  # noqa: PLC0415 - 15 MB, and an extra
    except ImportError as error:
        raise ConfigError(
            f"PACELINE_TRACES={settings.traces} needs OpenTelemetry ({error}): "
            "pip install 'paceline-server[opentelemetry]'"
        ) from error
    try:
        made = OtelSpans(
            settings.node_id, settings.zone, settings.cluster, settings.dynamodb.region
        )
    except Exception as error:
        raise ConfigError(f"traces cannot be sent ({error}); check the OTEL_… variables") from error

    async def stop() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def send_the_rest() -> None:
            made.stop()
            with contextlib.suppress(RuntimeError):  # nobody has waited for it so long
                loop.call_soon_threadsafe(over.set)

        # A collector that does not answer keeps no process from ending.
        threading.Thread(target=send_the_rest, name="traces", daemon=True).start()
        await over.wait()

    lifecycle.push("traces", stop, deadline_s=TRACES_S)
    return made
