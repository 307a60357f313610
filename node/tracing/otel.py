"""Spans by OpenTelemetry, sent as OTLP over HTTP.

Where to, with which headers, how many and under which name is read from OpenTelemetry's own
variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``, ``OTEL_SERVICE_NAME``, …;
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Names of
attributes: https://opentelemetry.io/docs/specs/semconv/database/dynamodb/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.propagators.aws.aws_xray_propagator import TRACE_HEADER_KEY
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cluster.access.calling import call
from cluster.transport.origin import origin, trace_of
from node.requests.counts import End
from node.requests.log_lines import TEXT_MAX, index_of
from node.tracing.spans import AttemptSpan, Span, Spans, handed_on, span
from paceline.clock import wall_time

SERVICE: Final = "paceline"
"""Of ``service.name``, unless ``OTEL_SERVICE_NAME`` says another."""

_W3C: Final = TraceContextTextMapPropagator()
_X_RAY: Final = AwsXRayPropagator()
_TRACEPARENT = "traceparent"
_NS_PER_S: Final = 1_000_000_000
_FAILED: Final = api.Status(api.StatusCode.ERROR)


class OtelSpans(Spans):
    def __init__(
        self,
        node: str,
        zone: str,
        cluster: str,
        region: str,
        exporter: SpanExporter | None = None,
    ) -> None:
        """Nothing is sent before a span ends. ``exporter``: in place of OTLP's. Any exception that
        OpenTelemetry raises for variables of its own that it cannot read."""
        resource = Resource.create(
            {
                "service.name": SERVICE,
                "service.namespace": cluster,
                "service.instance.id": node,
                "cloud.availability_zone": zone,
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        # A thread of its own sends them; what it cannot send in time is left out.
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE)
        self._common = {
            "rpc.system": "aws-api",
            "rpc.service": "DynamoDB",
            "db.system.name": "aws.dynamodb",
            "cloud.region": region,
        }

    def begun(self, operation: str, trace: str) -> Span:
        return _RequestSpan(
            self._tracer.start_span(
                _name(operation),
                _context_of(trace),
                api.SpanKind.SERVER,
                attributes={**self._common, "rpc.method": operation[:TEXT_MAX]},
            )
        )

    def hit(self, label: tuple[str, str, str], took_s: float, stands_for: int) -> None:
        operation, table, protocol = label
        end_ns = int(wall_time() * _NS_PER_S)
        made = self._tracer.start_span(
            _name(operation),
            Context(),
            api.SpanKind.SERVER,
            attributes={
                **self._common,
                **_of_table(operation, table),
                "network.protocol.name": protocol,
                "paceline.cache": "hit",
                "paceline.stands_for": stands_for,
            },
            start_time=end_ns - int(took_s * _NS_PER_S),
        )
        made.end(end_ns)

    def attempt(self, operation: str) -> AbstractContextManager[AttemptSpan] | None:
        above = span.get()
        if isinstance(above, _RequestSpan):
            return self._attempt(operation, above.context)
        trace = trace_of()
        return self._attempt(operation, _context_of(trace)) if trace else None

    @contextmanager
    def _attempt(self, operation: str, above: Context) -> Iterator[AttemptSpan]:
        made = self._tracer.start_span(
            _name(operation),
            above,
            api.SpanKind.CLIENT,
            attributes={**self._common, "rpc.method": operation[:TEXT_MAX]},
        )
        token = handed_on.set(_headers_of(api.set_span_in_context(made, Context())))
        try:
            yield _Attempt(made)
        finally:
            handed_on.reset(token)
            made.end()

    def stop(self) -> None:
        """Sends what is left, and waits for that: not on the event loop."""
        self._provider.shutdown()


class _RequestSpan(Span):
    def __init__(self, made: api.Span) -> None:
        self._made = made
        self.context = api.set_span_in_context(made, Context())

    @property
    def trace(self) -> str:
        return _headers_of(self.context).get(_TRACEPARENT, "")

    def ended(
        self,
        label: tuple[str, str, str],
        end: End,
        *,
        cache: str,
        why: str,
        error: str,
        params: Mapping[str, Any] | None,
    ) -> None:
        made = self._made
        if made.is_recording():
            operation, table, protocol = label
            attributes = {"network.protocol.name": protocol, "paceline.result": end}
            attributes |= _of_table(operation, table)
            by, came = call.get(), origin.get()
            found = {
                "aws.dynamodb.index_name": index_of(params),
                "paceline.cache": cache,
                "paceline.cache.reason": why,
                "error.type": error,
                "user.id": "" if by is None else by.by.principal.arn,
                "client.address": "" if came is None else came.address,
            }
            attributes |= {name: text[:TEXT_MAX] for name, text in found.items() if text}
            made.set_attributes(attributes)
            if end != "ok":
                made.set_status(_FAILED)
        made.end()


class _Attempt(AttemptSpan):
    def __init__(self, made: api.Span) -> None:
        self._made = made

    def ended(self, how: str, error: str, status: int | None) -> None:
        made = self._made
        made.set_attribute("paceline.result", how)
        if status is not None:
            made.set_attribute("http.response.status_code", status)
        if error:
            made.set_attribute("error.type", error[:TEXT_MAX])
            made.set_status(_FAILED)


def _name(operation: str) -> str:
    return f"DynamoDB.{operation[:TEXT_MAX]}"


def _of_table(operation: str, table: str) -> dict[str, Any]:
    told: dict[str, Any] = {"db.operation.name": operation[:TEXT_MAX]}
    if table:
        told["db.collection.name"] = table[:TEXT_MAX]
        told["aws.dynamodb.table_names"] = [table[:TEXT_MAX]]
    return told


def _context_of(trace: str) -> Context:
    """Of what a caller says; an empty one for what is neither W3C's form nor X-Ray's."""
    if not trace:
        return Context()
    if "=" in trace:
        return _X_RAY.extract({TRACE_HEADER_KEY: trace}, Context())
    return _W3C.extract({_TRACEPARENT: trace}, Context())


def _headers_of(context: Context) -> dict[str, str]:
    """The span in it, as W3C and as X-Ray have it."""
    headers: dict[str, str] = {}
    _W3C.inject(headers, context)
    _X_RAY.inject(headers, context)
    return headers
