"""A collector of traces: it takes OTLP over HTTP and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.waiting import wait_until

SERVER, CLIENT = Span.SpanKind.SPAN_KIND_SERVER, Span.SpanKind.SPAN_KIND_CLIENT


class Seen(NamedTuple):
    """Ids in hexadecimal, as traceparent has them. ``node``: service.instance.id."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    failed: bool
    node: str
    attributes: dict[str, Any]


class TraceCollector:
    """``with TraceCollector() as collector``: at ``collector.endpoint``."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                spans.extend(_spans_of(ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def until(self, what: Callable[[list[Seen]], Any], wanted: str, within_s: float) -> Any:
        """What ``what`` finds among all spans, once it is something."""
        wait_until(lambda: bool(what(list(self.spans))), wanted, within_s)
        return what(list(self.spans))


def _spans_of(request: ExportTraceServiceRequest) -> list[Seen]:
    return [
        Seen(
            one.name,
            one.kind,
            one.trace_id.hex(),
            one.span_id.hex(),
            one.parent_span_id.hex(),
            one.status.code == 2,
            str(_attributes(of.resource.attributes).get("service.instance.id")),
            _attributes(one.attributes),
        )
        for of in request.resource_spans
        for scope in of.scope_spans
        for one in scope.spans
    ]


def _attributes(found: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in found}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
