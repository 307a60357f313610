"""gRPC channels over the simulated network: what generated stubs need of them.

Messages are handed over as objects, since nobody changes one after it was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.rpc_ends import Connection
from tests.simulation.rpc_streams import StreamCall
from tests.simulation.rpc_unary import UnaryCall


class Channel(Connection):
    def stream_stream(self, path: str, **_: Any) -> Callable[..., StreamCall]:
        return lambda **_: StreamCall(self, path)

    def unary_unary(self, path: str, **_: Any) -> Callable[..., UnaryCall]:
        return lambda request, timeout=None, **_: UnaryCall(self, path, request, timeout)
