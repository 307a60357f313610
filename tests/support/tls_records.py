"""TLS records as they are on the wire (RFC 8446, section 5.1)."""

from __future__ import annotations


class TlsRecords:
    """Takes one way's bytes; AssertionError for those that are no records."""

    HANDSHAKE = 22
    KINDS = (20, 21, HANDSHAKE, 23)
    BYTES_MAX = 16384 + 256

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self._left = b""

    def receive(self, data: bytes) -> None:
        data = self._left + data
        at = 0
        while len(data) >= at + 5:
            kind, version = data[at], data[at + 1 : at + 3]
            size = int.from_bytes(data[at + 3 : at + 5])
            assert kind in self.KINDS, f"no kind of record: {data[at : at + 16]!r}"
            assert version in (b"\x03\x01", b"\x03\x03"), f"no version: {version!r}"
            assert size <= self.BYTES_MAX
            if len(data) < at + 5 + size:
                break
            self.kinds.append(kind)
            at += 5 + size
        self._left = data[at:]
