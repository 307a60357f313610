"""A server whose replies a test writes: it reads requests of one length, and answers as told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = Callable[[int, bytes], bytes | None]
"""The reply to the request of this number, counted from 0 over all connections; None: the end of
the connection. Called one at a time."""


class ScriptedServer:
    """``with ScriptedServer(length, answer) as server``: on ``server.port``, a thread each.

    ``hello``: bytes of a connection's beginning, which are no request. ``piece``: replies go out
    in pieces of so many bytes.
    """

    def __init__(
        self,
        length: int,
        answer: Answer,
        *,
        hello: int = 0,
        piece: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._length = length
        self._answer = answer
        self._hello = hello
        self._piece = piece
        self._tls = tls
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(one)
            self._start(self._serve, one)

    def _serve(self, one: socket.socket) -> None:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            if self._tls is not None:
                one = self._tls.wrap_socket(one, server_side=True)
            with one, one.makefile("rb") as incoming:
                incoming.read(self._hello)
                while len(request := incoming.read(self._length)) == self._length:
                    with self._lock:
                        self.requests.append(request)
                        reply = self._answer(len(self.requests) - 1, request)
                    if reply is None:
                        return
                    size = self._piece or max(len(reply), 1)
                    for start in range(0, len(reply), size):
                        one.sendall(reply[start : start + size])
