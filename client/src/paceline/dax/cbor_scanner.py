"""Finds the end of CBOR values without reading them: docs/dax-protocol.md section 1."""

from paceline.dax.cbor_types import (
    ARRAY,
    BREAK_BYTE,
    BYTES,
    MAP,
    TAG,
    TEXT,
    Buffer,
)
from paceline.errors import ProtocolError

DEPTH_MAX = 256
"""Nesting of containers and tags. DynamoDB allows 32 levels in a value and 300 operators in an
expression that is encoded in a string of its own; more than this is an attack on the parser."""

STRING_BYTES_MAX = 32 * 1024 * 1024
"""The longest string: twice DynamoDB's largest request or batch (16 MB). It bounds what a peer can
make us buffer by a single length."""

ELEMENTS_MAX = STRING_BYTES_MAX
"""Elements of one container: each takes a byte at least."""


_ANY = -1
_KEY_OR_BREAK = -2
_VALUE = -3


class Scanner:
    """Finds the end of ``count`` consecutive values in a buffer that is still growing.

    ``scan`` returns True when ``pos`` stands behind the last of them; else call it again with
    more bytes behind the same ones. No value is looked at twice, so delivery in small pieces
    costs no more than in one. ``ProtocolError`` as soon as the bytes cannot be CBOR, nest too
    deeply or announce a string of more than ``string_bytes_max``.

    ``seen``: heads and breaks that were looked at; each costs about a third of a microsecond.
    """

    __slots__ = ("_missing", "_string_bytes_max", "pos", "seen")

    def __init__(self, pos: int, count: int, string_bytes_max: int = STRING_BYTES_MAX) -> None:
        self.pos = pos
        self.seen = 0
        # Values that are still missing in each open container, innermost last; negative for
        # an indefinite array (_ANY) or map (_KEY_OR_BREAK, _VALUE).
        self._missing = [count] if count else []
        self._string_bytes_max = string_bytes_max

    @property
    def complete(self) -> bool:
        return not self._missing

    def scan(self, buf: Buffer, end: int | None = None, seen_max: int | None = None) -> bool:
        """``seen_max``: stop once ``seen`` is so much."""
        if end is None:
            end = len(buf)
        left = before = end - self.pos if seen_max is None else seen_max - self.seen
        pos = self.pos
        missing = self._missing
        try:
            while missing and pos < end and left > 0:
                left -= 1
                head = buf[pos]
                if head == BREAK_BYTE:
                    if missing[-1] not in (_ANY, _KEY_OR_BREAK):
                        raise ProtocolError("a break where no indefinite container can end")
                    missing.pop()
                    pos += 1
                    self._count_off()
                    continue
                major = head >> 5
                info = head & 31
                if info < 24:
                    argument = info
                    after = pos + 1
                elif info < 28:
                    after = pos + 1 + (1 << (info - 24))
                    if after > end:
                        left += 1
                        break
                    argument = int.from_bytes(buf[pos + 1 : after], "big")
                elif info == 31 and major in (ARRAY, MAP):
                    argument = -1
                    after = pos + 1
                else:
                    raise ProtocolError(f"malformed head {head:#04x}")
                if major in (BYTES, TEXT):
                    if after + argument > end:
                        check_string(argument, self._string_bytes_max)
                        left += 1
                        break
                    after += argument
                elif ARRAY <= major <= TAG:
                    self._open(major, argument)
                    if argument or major == TAG:
                        pos = after
                        continue
                pos = after
                self._count_off()
        finally:
            self.pos = pos
            self.seen += before - left
        return not missing

    def _open(self, major: int, argument: int) -> None:
        if len(self._missing) > DEPTH_MAX:
            raise ProtocolError(f"values nest more than {DEPTH_MAX} deep")
        if major == TAG:
            self._missing.append(1)
        elif argument < 0:
            self._missing.append(_ANY if major == ARRAY else _KEY_OR_BREAK)
        elif argument > ELEMENTS_MAX:
            raise ProtocolError(f"a container of {argument} elements is too large")
        elif argument:
            self._missing.append(argument if major == ARRAY else 2 * argument)

    def _count_off(self) -> None:
        """Notes that a value ended, and every container that ends with it."""
        missing = self._missing
        while missing:
            count = missing[-1]
            if count > 1:
                missing[-1] = count - 1
                return
            if count == 1:
                missing.pop()
                continue
            if count != _ANY:
                missing[-1] = _VALUE if count == _KEY_OR_BREAK else _KEY_OR_BREAK
            return


def check_string(length: int, string_bytes_max: int = STRING_BYTES_MAX) -> None:
    if length > string_bytes_max:
        raise ProtocolError(f"a string of {length} bytes; at most {string_bytes_max} are accepted")
