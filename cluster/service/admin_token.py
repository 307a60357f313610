"""The token that authorises operators' commands; it lies in a file of the node's user.

Who may read the node's data directory may give it commands. Nodes with a cluster secret derive the
token from it, so that one node's file opens all of them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cluster.data_dir import replace_file
from paceline.errors import ConfigError

TOKEN_FILE = "admin-token"
_TEXT = b"paceline admin v1"
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class AdminToken:
    value: str = field(repr=False)
    path: Path
    """The token's file."""

    @classmethod
    def of(cls, secret: str, directory: Path) -> AdminToken:
        """Writes the token to ``directory``, readable by the owner only. ConfigError if that
        fails."""
        value = secrets.token_hex(32)
        if secret:
            value = hmac.new(secret.encode(), _TEXT, hashlib.sha256).hexdigest()
        path = directory / TOKEN_FILE
        umask = os.umask(0o077)
        try:
            replace_file(path, value.encode() + b"\n")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error
        finally:
            os.umask(umask)
        return cls(value, path.absolute())

    def opens(self, authorization: str | None) -> bool:
        """Whether this ``Authorization`` header is ``Bearer`` and the token."""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        shown = authorization[len(_SCHEME) :].strip()
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self.value.encode())
