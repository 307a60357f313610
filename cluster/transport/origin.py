"""Where the request under way comes from: a front end sets it in the task that serves it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

TRACE_MAX: Final = 256
TRACE_HEADERS: Final = ("traceparent", "x-amzn-trace-id")

_SAMPLED: Final = frozenset(b"%x" % digit for digit in range(1, 16, 2))

_W3C = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-", re.ASCII)
_X_RAY = re.compile(r"(?:^|;\s*)Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;|$)", re.ASCII)


class Origin(NamedTuple):
    """``trace``: what the caller says that it is part of, in the form of W3C or of X-Ray; nobody
    has proved it."""

    address: str = ""
    trace: str = ""


def trace_id_of(trace: str) -> str:
    """The id in it; empty without one."""
    found = _W3C.match(trace) or _X_RAY.search(trace)
    return "" if found is None else found[1]


origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def trace_of() -> str:
    """What the caller of the request under way says that it is part of; empty: nothing."""
    came = origin.get()
    return "" if came is None else came.trace


def came_from(address: str, headers: Mapping[bytes, bytes] | None = None) -> None:
    """``headers``: by names in lower case."""
    trace = ""
    for name in TRACE_HEADERS if headers else ():
        trace = trace or (headers or {}).get(name.encode(), b"")[:TRACE_MAX].decode("latin-1")
    origin.set(Origin(address, trace))


def is_kept(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the caller keeps the trace that he names: of W3C's flags the lowest, or X-Ray's."""
    w3c, x_ray = (headers.get(name.encode(), b"") for name in TRACE_HEADERS)
    return w3c[-1:] in _SAMPLED or b"Sampled=1" in x_ray


def came_by_grpc(context: Any) -> None:
    """``context``: of the call under way."""
    metadata = context.invocation_metadata() or ()
    known = {name.encode(): _bytes(value) for name, value in metadata if name in TRACE_HEADERS}
    came_from(address_of(context.peer()), known)


def address_of(peer: str) -> str:
    """The host of gRPC's ``ipv4:1.2.3.4:5`` or ``ipv6:%5B::1%5D:5``."""
    return host_of(unquote(peer).partition(":")[2])


def host_of(peer: str) -> str:
    """Of ``host:port``."""
    return peer.rpartition(":")[0].strip("[]")


def _bytes(value: str | bytes) -> bytes:
    return value.encode("latin-1", "replace") if isinstance(value, str) else value
