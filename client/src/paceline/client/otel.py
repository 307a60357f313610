"""OpenTelemetry: a span for every call, by the API package alone (extra ``opentelemetry``).

from paceline.client.otel import Tracing
client = paceline.Client(..., on_request=Tracing())
"""

from importlib import import_module
from typing import Any

from paceline.client.settings import RequestEvent
from paceline.clock import wall_time
from paceline.errors import ConfigError

_NS = 1_000_000_000


class Tracing:
    """An ``on_request`` callback; spans by the semantic conventions for database clients.

    The span is made when the call ends, below whatever span is current then: the caller's.
    """

    def __init__(self, tracer: Any = None) -> None:
        try:
            trace: Any = import_module("opentelemetry.trace")
        except ImportError as error:
            raise ConfigError(
                "tracing needs the OpenTelemetry API: pip install 'paceline[opentelemetry]'"
            ) from error
        self._trace = trace
        self._tracer = tracer or trace.get_tracer("paceline.client")

    def __call__(self, event: RequestEvent) -> None:
        ended_ns = int(wall_time() * _NS)
        attributes: dict[str, Any] = {
            "db.system.name": "aws.dynamodb",
            "db.operation.name": event.operation,
            "paceline.attempts": event.attempts,
        }
        if table := event.params.get("TableName"):
            attributes["db.collection.name"] = table
        if event.node is not None:
            attributes["paceline.node"] = event.node
        if event.zone is not None:
            attributes["cloud.availability_zone"] = event.zone
        span = self._tracer.start_span(
            event.operation,
            kind=self._trace.SpanKind.CLIENT,
            start_time=ended_ns - int(event.duration_s * _NS),
            attributes=attributes,
        )
        if event.error is not None:
            span.set_attribute("error.type", type(event.error).__name__)
            span.set_status(self._trace.StatusCode.ERROR, str(event.error))
        span.end(end_time=ended_ns)
