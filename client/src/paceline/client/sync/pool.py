"""A bounded pool of connections to one node, for many threads."""

import contextlib
import threading
from collections.abc import Callable

from paceline.client.core.commands import Broken
from paceline.client.core.retry import NoAnswer
from paceline.client.sync.connection import BlockingConnection
from paceline.client.tls import HANDSHAKE_S, Tls


class BlockingPool:
    def __init__(
        self,
        host: str,
        port: int,
        connections_max: int,
        connect_s: float,
        clock: Callable[[], float],
        tls: Tls | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._max = connections_max
        self._connect_s = connect_s + (HANDSHAKE_S if tls else 0.0)
        self._tls = tls
        self._clock = clock
        self._idle: list[BlockingConnection] = []
        self._open = 0
        self._waiting = 0
        self._freed = threading.Condition()
        self._closed = False

    def take(self, timeout_s: float) -> BlockingConnection:
        """An idle connection or a new one; ``Broken`` if there is none in time."""
        connection = self._take_idle()
        if connection is not None:
            return connection
        until = self._clock() + timeout_s
        while not self._may_open(until):
            connection = self._take_idle()
            if connection is not None:
                return connection
        try:
            timeout_s = min(timeout_s, self._connect_s)
            return BlockingConnection(self.host, self.port, timeout_s, self._tls)
        except BaseException:
            with self._freed:
                self._open -= 1
                self._freed.notify()
            raise

    def _take_idle(self) -> BlockingConnection | None:
        while self._idle:
            try:
                connection = self._idle.pop()  # atomic: the hot path takes no lock
            except IndexError:
                break
            if connection.usable:
                return connection
            self._dropped(connection)
        return None

    def _may_open(self, until: float) -> bool:
        """True if the caller may open a new connection; False if one has become idle, which another
        thread may take first. ``Broken`` if neither happens in time."""
        with self._freed:
            self._waiting += 1
            try:
                self._freed.wait_for(
                    lambda: self._idle or self._open < self._max or self._closed,
                    until - self._clock(),
                )
            finally:
                self._waiting -= 1
            if self._closed:
                raise Broken(NoAnswer.NOT_HANDED_OVER, "the pool was closed")
            if self._idle:
                return False
            if self._open >= self._max:
                raise Broken(
                    NoAnswer.NOT_HANDED_OVER,
                    f"all {self._max} connections to {self.host}:{self.port} are in use",
                    busy=True,
                )
            self._open += 1
            return True

    def give_back(self, connection: BlockingConnection) -> None:
        """Takes back a connection after a whole exchange."""
        if self._closed or connection.spent:
            self._dropped(connection)
            return
        connection.idle_since = self._clock()
        self._idle.append(connection)
        if self._waiting:
            with self._freed:
                self._freed.notify()
        if self._closed:  # meanwhile
            self.close()

    def drop(self, connection: BlockingConnection) -> None:
        """Closes a connection whose exchange failed or was given up."""
        self._dropped(connection)

    def _dropped(self, connection: BlockingConnection) -> None:
        connection.close()
        with self._freed:
            self._open -= 1
            self._freed.notify()

    def close_idle(self, before: float) -> None:
        with self._freed, contextlib.suppress(IndexError):  # others may take the last one
            while self._idle[0].idle_since < before:
                self._idle.pop(0).close()
                self._open -= 1

    def forget(self) -> None:
        """In a forked process: closes this process's copies; the parent's go on."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Connections in use are closed when they are given back."""
        with self._freed:
            self._closed = True
            self._freed.notify_all()
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            connection.close()
