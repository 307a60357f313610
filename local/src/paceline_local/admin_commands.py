"""Gives a node commands, where it takes them: at its admin port with a token, or at a unix socket.

A node tells in ``/status`` where that is. So that nobody who answers on a port makes this user's
program open another socket, only one of that name is opened, and only one of this user's.
"""

import http.client
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.errors import Unavailable
from paceline_local.admin_token import command_headers
from paceline_local.probes import BODY_BYTES_MAX, http_request

SOCKET_NAME = "admin.sock"


def send_command(
    admin: str,
    status: Mapping[str, Any],
    target: str,
    *,
    body: bytes | None = None,
    timeout_s: float,
) -> tuple[int, bytes]:
    """Status and body of the answer. ``admin``: the node's admin URL, ``status``: what it says
    there, ``target``: path and query, without a slash in front. Unavailable if there is no answer,
    or the command is not for this user to give."""
    kind = {} if body is None else {"Content-Type": "application/json"}
    told = status.get("admin_socket")
    if not isinstance(told, str):
        headers = {**command_headers(status), **kind}
        url = f"{admin.rstrip('/')}/{target}"
        return http_request("POST", url, body=body, headers=headers, timeout_s=timeout_s)
    path = _checked(told)
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request("POST", f"/{target}", body=body, headers=kind)
        response = connection.getresponse()
        return response.status, response.read(BODY_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unavailable(f"{path} does not answer: {str(reason).lower()}") from error
    finally:
        connection.close()


def _checked(told: str) -> Path:
    path = Path(told)
    if path.name != SOCKET_NAME or not path.is_absolute():
        raise Unavailable(
            f"the node takes commands at {told!r:.200}, which is no {SOCKET_NAME}: ask there by "
            "other means, such as curl --unix-socket"
        )
    try:
        found = path.lstat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unavailable(
            f"the node takes commands at {path} alone: {reason.lower()}. Run the command on the "
            "node's machine, as its user"
        ) from error
    if not stat.S_ISSOCK(found.st_mode) or (os.getuid() not in (0, found.st_uid)):
        raise Unavailable(f"{path} is no socket of this user: run the command as the node's user")
    return path


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(str(self._path))
