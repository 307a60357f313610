"""The token that a node wants to see with a command, as this user may read it.

A node tells in ``/status`` where its token lies, and the file system says who may have it. So that
nobody who answers on a port gets another file's content sent to him, only files of that name and
form are read.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.errors import Unavailable

TOKEN_FILE = "admin-token"
TOKEN_FILE_VARIABLE = "PACELINE_ADMIN_TOKEN_FILE"
"""The variable that names the token's file where the node's own path is of another machine or
container."""

_TOKEN = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BYTES_MAX = 128


def read_token(path: Path) -> str:
    """Unavailable if the file cannot be read, or holds no token."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            data = os.read(descriptor, _BYTES_MAX + 1) if regular else b""
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unavailable(
            f"the node's token cannot be read from {path}: {reason.lower()}. Run the command as "
            f"the node's user, or name a copy of the file in {TOKEN_FILE_VARIABLE}"
        ) from error
    token = data.decode("ascii", "replace").strip()
    if len(data) > _BYTES_MAX or _TOKEN.fullmatch(token) is None:
        raise Unavailable(f"{path} holds no token of a node")
    return token


def command_headers(
    status: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a command to the node of this ``/status`` is sent with; nothing to one that names no
    token. Unavailable if the token is not for this user."""
    named = (os.environ if environ is None else environ).get(TOKEN_FILE_VARIABLE)
    if named:
        return bearer_of(Path(named))
    told = status.get("admin_token_file")
    if not isinstance(told, str):
        return {}
    path = Path(told)
    if path.name != TOKEN_FILE or not path.is_absolute():
        raise Unavailable(f"the node keeps its token in {told!r:.200}, which is no {TOKEN_FILE}")
    return bearer_of(path)


def read_headers(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What status is asked for with: the token of the file that this user has named, if any. A node
    may keep what it says from those who have none."""
    named = (os.environ if environ is None else environ).get(TOKEN_FILE_VARIABLE)
    return bearer_of(Path(named)) if named else {}


def bearer_of(path: Path) -> dict[str, str]:
    """Unavailable, as ``read_token``."""
    return {"Authorization": f"Bearer {read_token(path)}"}
