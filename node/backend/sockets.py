"""Sockets to DynamoDB: what is given up does not arrive later.

The kernel goes on sending what it was handed, for a quarter of an hour if nobody acknowledges it,
also for a process that is stopped or gone. A write that lands after the quarantine lands under
warm caches, so three things end it before: an abort when an attempt is given up, a reset
in the place of the orderly close when the process dies, and a limit of the kernel's own.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

LINGER_NOT = struct.pack("ii", 1, 0)
"""The value for SO_LINGER: closing discards what was not sent, and tells the other side with a
reset. The kernel closes the sockets of a killed process in the same way."""

_DARWIN_TCP_RXT_CONNDROPTIME = 0x80
"""``TCP_RXT_CONNDROPTIME`` of macOS's <netinet/tcp.h>, whole seconds; Python has no name for it."""

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


def socket_factory(unacknowledged_s: float) -> Callable[[AddressInfo], socket.socket]:
    """For aiohttp's connector. A connection whose bytes the other side has not acknowledged, or
    has not made room for, within ``unacknowledged_s`` is dropped by the kernel."""

    def make(address: AddressInfo) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            _limit(made, unacknowledged_s)
        except BaseException:
            made.close()
            raise
        return made

    return make


def _limit(made: socket.socket, unacknowledged_s: float) -> None:
    if sys.platform == "darwin":
        seconds = max(1, round(unacknowledged_s))
        made.setsockopt(socket.IPPROTO_TCP, _DARWIN_TCP_RXT_CONNDROPTIME, seconds)
    else:
        millis = max(1, round(unacknowledged_s * 1000))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, millis)
