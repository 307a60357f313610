"""How the kernel ends a connection, whoever closes it: with a FIN, or with an RST."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

_LINGER = struct.Struct("ii")
_BY_FIN, _BY_RST = _LINGER.pack(0, 0), _LINGER.pack(1, 0)


def end_by_rst(transport: asyncio.BaseTransport, wanted: bool) -> None:
    """Sets whether the connection ends with an RST from now on; it ends with a FIN by default."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # some systems refuse once the peer has reset the connection
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BY_RST if wanted else _BY_FIN)
