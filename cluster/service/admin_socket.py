"""A unix socket that only this process's user can open."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

BACKLOG = 64
PROBE_S = 1.0


async def listen_unix(accept: Callable[[], asyncio.BaseProtocol], path: Path) -> asyncio.Server:
    """Listens at ``path``, in the place of a socket that a killed process left. OSError: something
    else is there, somebody listens, or it cannot be made."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead(path)
        # Nobody may connect in the moment before its mode is set.
        umask = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(umask)
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(accept, sock=sock, backlog=BACKLOG)
    except BaseException:
        sock.close()
        raise


def _remove_dead(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(17, "File exists", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(98, "Address already in use", str(path))
