"""The tokens that authorise operators, one for commands and one for reading alone. They lie in
files of the node's user.

Who may read the node's data directory may give it commands. Nodes with a cluster secret derive the
tokens from it, so that one node's files open all of them.
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
READ_TOKEN_FILE = "admin-read-token"
"""For who scrapes metrics: whoever has it can change nothing."""
_TEXT = b"paceline admin v1"
_READ_TEXT = b"paceline admin, reading, v1"
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class AdminToken:
    value: str = field(repr=False)
    path: Path
    """The token's file."""
    read_value: str = field(default="", repr=False)

    @classmethod
    def of(cls, secret: str, directory: Path) -> AdminToken:
        """Writes the token to ``directory``, readable by the owner only. ConfigError if that
        fails."""
        value, read_value = _derived(secret, _TEXT), read_token_of(secret)
        path = directory / TOKEN_FILE
        umask = os.umask(0o077)
        try:
            replace_file(path, value.encode() + b"\n")
            replace_file(directory / READ_TOKEN_FILE, read_value.encode() + b"\n")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error
        finally:
            os.umask(umask)
        return cls(value, path.absolute(), read_value)

    def opens(self, authorization: str | None) -> bool:
        """Whether this ``Authorization`` header is ``Bearer`` and the token."""
        return is_bearer(authorization, self.value)


def read_token_of(secret: str) -> str:
    """The one that lets read. ``secret``: the cluster's; "": one that nobody else has."""
    return _derived(secret, _READ_TEXT)


def is_bearer(authorization: str | None, token: str) -> bool:
    """Whether this ``Authorization`` header is ``Bearer`` and the token; compared in a time that
    does not tell where they differ."""
    if not token or authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
        return False
    shown = authorization[len(_SCHEME) :].strip()
    return hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode())


def _derived(secret: str, text: bytes) -> str:
    if not secret:
        return secrets.token_hex(32)
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
