"""The token that whoever gives commands to chaos has to show: who may read the cluster's directory.

The server says where the file is, to those who come without it, and the client reads it there.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.errors import Unavailable
from paceline_local.admin_token import bearer_of

TOKEN_FILE = "chaos-token"
TOKEN_FILE_VARIABLE = "PACELINE_CHAOS_TOKEN_FILE"
"""The variable that names a copy of the file, where its own path is of another machine."""


@dataclass(frozen=True)
class ChaosToken:
    value: str = field(repr=False)
    path: Path

    @classmethod
    def new(cls, directory: Path) -> "ChaosToken":
        """Written for this user alone; the one before it is worth nothing any more."""
        path = directory.absolute() / TOKEN_FILE
        value = secrets.token_hex(32)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(value + "\n", encoding="ascii")
        return cls(value, path)

    def opens(self, authorization: str | None) -> bool:
        """Whether this ``Authorization`` header is ``Bearer`` and the token."""
        shown = (authorization or "").encode("utf-8", "replace")
        return hmac.compare_digest(shown, f"Bearer {self.value}".encode())


def headers_for(refusal: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """What a command is sent with to the server that gave this answer to one without. Unavailable
    if the token is not for this user."""
    named = environ.get(TOKEN_FILE_VARIABLE)
    if named:
        return bearer_of(Path(named))
    path = Path(str(refusal.get("token_file", "")))
    if path.name != TOKEN_FILE or not path.is_absolute():
        raise Unavailable(f"the cluster keeps its token in {str(path)!r:.200}, no {TOKEN_FILE}")
    return bearer_of(path)
