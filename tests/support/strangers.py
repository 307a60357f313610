"""Connections of somebody who knows no secret and means harm."""

import contextlib
import socket
import struct
import time
from collections.abc import Sequence
from functools import partial

from tests.support.waiting import Background

PIECE = bytes(64 * 1024)
AGAIN_S = 0.001
"""Between two connections of one thread: a thousand a second at most."""


class Flood(Background):
    """``with Flood(addresses)``: to each address somebody announces a message without end and
    sends it as fast as it is taken, over and over."""

    def __init__(self, addresses: Sequence[tuple[str, int]]) -> None:
        self.connections = 0
        self.bytes_sent = 0
        super().__init__(partial(self._run, address) for address in addresses)

    def _run(self, address: tuple[str, int]) -> None:
        while not self.ended.is_set():
            with contextlib.suppress(OSError), socket.create_connection(address, 1.0) as sock:
                self.connections += 1
                sock.sendall(struct.pack("i", 2**31 - 1))
                while not self.ended.is_set():
                    self.bytes_sent += sock.send(PIECE)
            time.sleep(AGAIN_S)
