"""Connections of somebody who knows no secret and means harm."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

PIECE = bytes(64 * 1024)
AGAIN_S = 0.001
"""Between two connections of one thread: a thousand a second at most."""


class Flood:
    """``with Flood(addresses)``: to each address somebody announces a message without end and
    sends it as fast as it is taken, over and over."""

    def __init__(self, addresses: Sequence[tuple[str, int]]) -> None:
        self.connections = 0
        self.bytes_sent = 0
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(address,), daemon=True)
            for address in addresses
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, address: tuple[str, int]) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(address, 1.0) as sock:
                self.connections += 1
                sock.sendall(struct.pack("i", 2**31 - 1))
                while not self._over.is_set():
                    self.bytes_sent += sock.send(PIECE)
            time.sleep(AGAIN_S)
