"""TLS listeners that count handshakes among the connections."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import structlog

ACCEPTED_MAX = 64
"""The most connections accepted in one go, before others have their turn."""
RETRY_S = 0.5
"""The pause after the system had no descriptor or no memory for one more connection."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = structlog.get_logger()


class TlsListener:
    """Accepts connections, and tells the server of them before their handshake begins.

    An event loop that is given the certificate tells nobody of a connection until its handshake
    is done, so any number might be in one.
    """

    def __init__(
        self,
        host: Any,
        inner: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        handshake_s: float,
        shutdown_s: float,
    ) -> None:
        self._host = host
        self._inner = inner
        self._times = {
            "ssl": context,
            "ssl_handshake_timeout": handshake_s,
            "ssl_shutdown_timeout": shutdown_s,
        }
        self._socket: socket.socket
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None

    def start(self, sock: socket.socket, backlog: int) -> None:
        sock.setblocking(False)
        sock.listen(backlog)
        self._socket = sock
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_MAX):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.warning("cannot accept a connection, trying again", error=str(error))
                self._loop.remove_reader(self._socket)
                self._retry = self._loop.call_later(RETRY_S, self._go_on)
                return
            sock.setblocking(False)
            Handshake(self._host, sock, address[0]).begin(self._inner, self._times)

    def _go_on(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket, self._accept)


class Handshake:
    """A connection until its handshake is done; then its protocol is one in its place."""

    waits_for_us = False
    buffered_bytes = 0

    def __init__(self, host: Any, sock: socket.socket, address: str) -> None:
        self._host = host
        self._socket = sock
        self.address = address
        self.held_bytes = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self, inner: Callable[[], asyncio.Protocol], times: dict[str, Any]) -> None:
        if self._host.admit(self):
            self._task = self._host.spawn(self._shake_hands(inner, times))
        else:
            self.abort()

    async def _shake_hands(
        self, inner: Callable[[], asyncio.Protocol], times: dict[str, Any]
    ) -> None:
        loop = asyncio.get_running_loop()
        protocol = inner()
        self._host.shakes_hands(self, protocol)
        try:
            await loop.connect_accepted_socket(lambda: protocol, self._socket, **times)
        except OSError as error:  # of TLS, too: the peer is gone, or speaks no TLS
            _log.debug("a TLS handshake failed", peer=self.address, error=str(error))
            self._socket.close()
        except BaseException:
            self._socket.close()
            raise
        finally:
            self._host.shaken(protocol)

    def drain(self) -> None:
        self.abort()

    def time_out(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._task is None:
            self._socket.close()
            self._host.forget(self)
        else:
            self._task.cancel()
