"""The bytes of a session's token: sealed, and opened again anywhere in the cluster. Pure.

AES-256-GCM, with a key for each token: derived from the cluster's (a line of the file that seals
principals) and the access key's id, so that a nonce by chance never meets itself, however many
tokens there are, and no token opens with another id than its own.

Form, in base64: a version (1 byte, 1), which key sealed it (4 bytes), a nonce (12 bytes), the
encrypted bytes and their tag.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cluster.access.principals import TEMPORARY, AccessKey
from cluster.access.sealing import NONCE_BYTES, derived
from cluster.access.sessions import (
    Known,
    Session,
    from_bytes,
    key_of,
    session_policies,
    to_bytes,
)

if TYPE_CHECKING:
    from paceline.access.policies.policy import Policy

TOKEN_CHARACTERS_MAX: Final = 5_120
"""gRPC takes 8 KB of a call's metadata, and a DAX client's first packet is small."""

OPENED_MAX: Final = 1_024
"""Tokens that stay open: 2 KB each, beside their policies."""

POLICY_CHARACTERS_MAX: Final = 256 * 1024
"""Of the session policies of all of these: a character takes some 28 bytes once it is read, so all
take 7 MB at most."""

_VERSION: Final = 1
_NAME_BYTES: Final = 4
_INFO: Final = b"paceline: session tokens, 1"


@dataclass(slots=True)
class _Opened:
    """``key``: what it was worth to ``known`` when that had this version."""

    session: Session
    policies: tuple[Policy, ...] | None
    characters: int
    """Of the policies, as texts."""
    known: Known | None = None
    version: int = -1
    key: AccessKey | None = None


class SessionTokens:
    """``keys``: as ``Seal`` has them; the first one seals, all of them open."""

    def __init__(self, keys: Sequence[str], cluster: str) -> None:
        self._cluster = cluster.encode()
        masters = [derived(key, _INFO) for key in keys]
        self._first = _name(masters[0])
        self._masters = {_name(master): master for master in reversed(masters)}
        self._opened: OrderedDict[tuple[str, str], _Opened] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._opened)

    def seal(self, access_key_id: str, session: Session, nonce: bytes) -> str:
        """``nonce``: ``NONCE_BYTES`` random bytes. ValueError for a session that is too long."""
        assert len(nonce) == NONCE_BYTES
        cipher = self._cipher(self._masters[self._first], access_key_id)
        sealed = cipher.encrypt(nonce, to_bytes(session), None)
        token = base64.b64encode(bytes((_VERSION,)) + self._first + nonce + sealed).decode()
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise ValueError(f"a token of {len(token)} characters")
        return token

    def key(self, access_key_id: str, token: str | None, known: Known) -> AccessKey | None:
        """The temporary key of that id and token, as ``known`` is now. None: it is none, or it is
        worth nothing any more."""
        if token is None or not access_key_id.startswith(TEMPORARY):
            return None
        place = (access_key_id, token)
        opened = self._opened.get(place)
        if opened is None:
            session = self.session(access_key_id, token)
            if session is None:
                return None
            # Only what was sealed here is kept: strangers drive nothing out.
            opened = self._keep(place, session)
        else:
            self._opened.move_to_end(place)
        version = known.version()
        if opened.known is known and opened.version == version:
            # They say by Denied if what was known then cannot be gone by any more: the key may be
            # a file's, and the role the log's.
            known.key(opened.session.issuer_key)
            for name, _ in opened.session.roles:
                known.role(name)
            return opened.key
        key = key_of(opened.session, access_key_id, token, opened.policies, known)
        opened.known, opened.version, opened.key = known, version, key
        return key

    def _keep(self, place: tuple[str, str], session: Session) -> _Opened:
        characters = sum(map(len, session.policies or ()))
        made = self._opened[place] = _Opened(session, session_policies(session), characters)
        self._characters += characters
        while len(self._opened) > OPENED_MAX or self._characters > POLICY_CHARACTERS_MAX:
            _, oldest = self._opened.popitem(last=False)
            self._characters -= oldest.characters
        return made

    def session(self, access_key_id: str, token: str) -> Session | None:
        """What the token says; None: it was not sealed here for that key, or was changed."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            return None
        try:
            sealed = base64.b64decode(token.encode("ascii"), validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        if base64.b64encode(sealed).decode() != token:
            return None  # another text of the same bytes
        begin = 1 + _NAME_BYTES
        if len(sealed) < begin + NONCE_BYTES or sealed[0] != _VERSION:
            return None
        master = self._masters.get(sealed[1:begin])
        if master is None:
            return None
        nonce, rest = sealed[begin : begin + NONCE_BYTES], sealed[begin + NONCE_BYTES :]
        try:
            return from_bytes(self._cipher(master, access_key_id).decrypt(nonce, rest, None))
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, master: bytes, access_key_id: str) -> AESGCM:
        name = b"\0".join((self._cluster, access_key_id.encode("utf-8", "surrogatepass")))
        return AESGCM(hmac.digest(master, name, hashlib.sha256))


def _name(master: bytes) -> bytes:
    return hashlib.sha256(_INFO + master).digest()[:_NAME_BYTES]
