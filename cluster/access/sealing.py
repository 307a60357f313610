"""Sealing of principals: AES-256-GCM (NIST SP 800-38D) with a key that the log never has. Pure.

A signature by HMAC can only be verified with the secret itself, so secrets cannot be hashed. Who
gets hold of a log, a snapshot or a backup of one has only sealed bytes.

Form: a version (1 byte, 1), which key sealed it (4 bytes), a nonce (12 bytes), the encrypted bytes
and their tag. Cluster and name are authenticated with it: what was sealed for one principal opens
as no other's, and in no other cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = 1
NONCE_BYTES = 12
KEY_CHARACTERS_MIN = 32
_NAME_BYTES = 4
_INFO = b"paceline: principals, 1"


class CannotOpen(Exception):
    """These bytes were sealed with another key, for another name or cluster, or were changed."""


class Seal:
    """``keys``: texts of at least ``KEY_CHARACTERS_MIN`` characters. The first one seals, all of
    them open: a new one is put in front of the old one, and that goes once all is sealed anew."""

    def __init__(self, keys: Sequence[str], cluster: str) -> None:
        """ValueError for keys that are too short, and for none."""
        if not keys:
            raise ValueError("there is no key in it")
        if any(len(key) < KEY_CHARACTERS_MIN for key in keys):
            raise ValueError(f"a key needs at least {KEY_CHARACTERS_MIN} characters")
        self._cluster = cluster
        made = [derived(key, _INFO) for key in keys]
        self._first = _name(made[0])
        self._ciphers = {_name(key): AESGCM(key) for key in reversed(made)}

    def seal(self, name: str, data: bytes, nonce: bytes) -> bytes:
        """``nonce``: ``NONCE_BYTES`` random bytes, never used before."""
        assert len(nonce) == NONCE_BYTES
        cipher = self._ciphers[self._first]
        sealed = cipher.encrypt(nonce, data, self._context(name))
        return bytes((VERSION,)) + self._first + nonce + sealed

    def open(self, name: str, sealed: bytes) -> bytes:
        """CannotOpen."""
        begin = 1 + _NAME_BYTES
        if len(sealed) < begin + NONCE_BYTES or sealed[0] != VERSION:
            raise CannotOpen("it has a form that this release does not know")
        cipher = self._ciphers.get(sealed[1:begin])
        if cipher is None:
            raise CannotOpen("it was sealed with a key that is not in this node's key file")
        nonce, rest = sealed[begin : begin + NONCE_BYTES], sealed[begin + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, rest, self._context(name))
        except InvalidTag:
            raise CannotOpen("it was changed, or sealed for another name or cluster") from None

    def is_latest(self, sealed: bytes) -> bool:
        """Whether the first key sealed it."""
        return sealed[1 : 1 + _NAME_BYTES] == self._first

    def _context(self, name: str) -> bytes:
        return b"\0".join((self._cluster.encode(), name.encode()))


def derived(key: str, info: bytes) -> bytes:
    """32 bytes for one purpose, from a line of the key file."""
    return HKDF(SHA256(), 32, salt=None, info=info).derive(key.encode())


def _name(key: bytes) -> bytes:
    return hashlib.sha256(_INFO + key).digest()[:_NAME_BYTES]
