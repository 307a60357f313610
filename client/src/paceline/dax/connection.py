"""A DAX connection without I/O, for both roles: bytes in, events out.

The driver passes what it receives to ``receive_data`` and calls ``next_event`` until it answers
``NEED_DATA``. A connection carries one request at a time; only ``Authorize`` stands in front of
another request and has no reply (docs/dax-protocol.md sections 2 and 3).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from struct import Struct
from typing import Final, Literal

from paceline.auth.sigv4 import sign_dax
from paceline.dax.cbor import (
    TEXT,
    Buffer,
    Incomplete,
    Reader,
    Scanner,
    write_bytes,
    write_int,
    write_map,
    write_text,
)
from paceline.dax.elements import REQUEST_ELEMENTS_MAX
from paceline.dax.errors import decode_error
from paceline.dax.family import Family, family_of
from paceline.dax.methods import (
    ARGUMENTS,
    ERROR_VALUES,
    MAGIC,
    PREAMBLE_VALUES,
    REPLY_VALUES,
    Method,
)
from paceline.dax.request_types import Authorize, Request
from paceline.dax.requests import encode_request, parse_request, read_method, read_plain_get
from paceline.errors import PacelineError, ProtocolError

REQUEST_BYTES_MAX = 24 * 1024 * 1024
"""One request. DynamoDB takes 16 MB; Python sends values in updates and conditions twice."""

REPLY_BYTES_MAX = 32 * 1024 * 1024
"""One reply. A BatchGetItem or TransactGetItems answers up to 16 MB; ours stay far below this."""

PLAIN_BYTES_MAX: Final = 1024
"""Of what is tried as one whole plain GetItem. A table's name and a key of DynamoDB's mostly have
less."""

PREAMBLE_BYTES_MAX = 16 * 1024
"""Magic, session and user agent; real ones have about 60 bytes."""

AUTHORIZE_BYTES_MAX = 64 * 1024
"""Signature and session token; tokens have a few kilobytes. Unauthenticated peers send this."""

SLICE_ELEMENTS: Final = 4096
"""The most elements looked at in one go for a request's end: about 1.5 ms."""

HEADER_ELEMENTS_MAX: Final = 256
"""The most elements of a preamble or a signature; real ones have less than ten."""

PARSED_ELEMENTS_MAX: Final = 1024
"""``next_event`` does not parse a request with more elements, since it must return quickly. A batch
of 25 items has some 60."""

PARSED_BYTES_MAX: Final = 256 * 1024
"""Nor one with more bytes, which are copied for that."""

_MAGIC_BYTES: Final = bytes((TEXT << 5 | len(MAGIC),)) + MAGIC.encode()
_TLS_HANDSHAKE: Final = 0x16
_TLS_ALERT: Final = 0x15
"""The first byte of a TLS alert. In CBOR it is an unsigned integer, with which no reply begins."""

LAYERING_FRAMED: Final = 1
"""What the Java clients ask for; all others ask for 0, replies without anything around them."""

_LAYERINGS: Final = (0, LAYERING_FRAMED)
_FRAME_HEADER: Final = Struct(">IB3x")
_FRAME_LAST: Final = 1


class NeedData(Enum):
    NEED_DATA = "need data"


class Unfinished(Enum):
    UNFINISHED = "unfinished"


NEED_DATA: Final = NeedData.NEED_DATA
"""No whole event is buffered."""
UNFINISHED: Final = Unfinished.UNFINISHED
"""There is more to look at than is done in one go: ask again, after other connections."""


@dataclass(frozen=True, slots=True)
class Preamble:
    """The first bytes of a connection; they have no reply. ``session``: of no use to a server."""

    session: bytes | str | None
    user_agent: str
    framed: bool = False
    """Replies are to be passed through ``framed_reply``."""

    @property
    def family(self) -> Family:
        return Family.JAVA if self.framed else family_of(self.user_agent)


def framed_reply(reply: bytes) -> bytes:
    """A whole reply for a peer whose preamble was ``framed``: docs/dax-protocol.md section 3.1."""
    return frame_header(reply) + reply


def frame_header(reply: bytes) -> bytes:
    """What stands before ``reply`` in ``framed_reply``."""
    return _FRAME_HEADER.pack(_FRAME_HEADER.size + len(reply), _FRAME_LAST)


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A whole request with very many elements or bytes."""

    method: Method
    frame: bytes
    head_bytes: int

    def parse(self) -> Request:
        """Parses the request, which takes time. A ProtocolError is as final as one of
        ``next_event``."""
        request = parse_request(self.method, Reader(self.frame, self.head_bytes))
        assert not isinstance(request, Authorize)
        return request


class _Frames:
    """The buffer of received bytes, and the search for the end of a frame in it.

    The frame that is being received starts at the buffer's beginning.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()
        self._scanner: Scanner | None = None
        self._scan_goes_on = False
        self._broken: str | None = None

    def receive_data(self, data: Buffer) -> None:
        self.buffer += data

    def _start(self, head_bytes: int, values: int, bytes_max: int) -> None:
        """Begins a frame of ``values`` values, behind ``head_bytes`` that were looked at."""
        self._scanner = Scanner(head_bytes, values, bytes_max)

    def _take(self, what: str, bytes_max: int, slice_elements: int | None = None) -> bytes | None:
        """Removes and returns the frame's bytes once all have come; else None."""
        scanner = self._scanner
        assert scanner is not None
        seen_max = None if slice_elements is None else scanner.seen + slice_elements
        complete = scanner.scan(self.buffer, seen_max=seen_max)
        size = scanner.pos if complete else len(self.buffer)
        if size > bytes_max:
            raise ProtocolError(f"{what} of more than {bytes_max} bytes is not accepted")
        self._scan_goes_on = not complete and scanner.seen == seen_max
        if not complete:
            return None
        self._scanner = None
        with memoryview(self.buffer) as view:
            frame = bytes(view[:size])
        del self.buffer[:size]
        return frame


class ServerConnection(_Frames):
    """The server's end: ``next_event`` gives ``Preamble``, then ``Authorize`` and requests.

    Any ``ProtocolError`` is final: the end of the request cannot be found any more, so the
    driver answers with an error and closes. ``request_bytes_max`` may be lowered and raised at
    any time, for instance until a connection is authorised.

    For a driver with a fast path of its own: while ``at_boundary`` is true, ``buffer`` begins
    with a request (or is empty); the driver may look at it, and take a whole frame that it has
    dealt with off its front by ``consume``. It must not keep a view of the buffer.

    A request with very many elements or bytes comes as ``Unparsed``, and looking for its end takes
    several calls, of which the others answer ``UNFINISHED``. ``frame_bytes`` and ``frame_elements``
    are those of the last request.

    Several requests may be buffered. The driver answers each before it asks for the next event,
    and stops reading from a peer that goes on sending meanwhile.
    """

    def __init__(self, request_bytes_max: int = REQUEST_BYTES_MAX) -> None:
        super().__init__()
        self.request_bytes_max = request_bytes_max
        self.preamble: Preamble | None = None
        self.frame_bytes = self.frame_elements = 0
        self._method: Method | None = None
        self._head_bytes = 0

    @property
    def at_boundary(self) -> bool:
        """Whether the preamble was received and no request has been received in part only."""
        return self.preamble is not None and self._scanner is None and self._broken is None

    def consume(self, size: int) -> None:
        """Takes a whole request of ``size`` bytes, answered by the driver, off the buffer."""
        assert self.at_boundary, "the buffer does not begin with a request"
        del self.buffer[:size]

    def next_event(self) -> Preamble | Authorize | Request | Unparsed | NeedData | Unfinished:
        if self._broken is not None:
            raise ProtocolError(self._broken)
        if not self.buffer:
            return NEED_DATA
        try:
            return self._next_preamble() if self.preamble is None else self._next_request()
        except ProtocolError as error:
            self._broken = str(error)
            self.buffer.clear()
            raise

    def _next_preamble(self) -> Preamble | Literal[NeedData.NEED_DATA]:
        _check_magic(self.buffer)
        if self._scanner is None:
            self._start(0, PREAMBLE_VALUES, PREAMBLE_BYTES_MAX)
        scanner = self._scanner
        assert scanner is not None
        frame = self._take("a preamble", PREAMBLE_BYTES_MAX, HEADER_ELEMENTS_MAX + 1 - scanner.seen)
        if scanner.seen > HEADER_ELEMENTS_MAX:
            raise ProtocolError("a preamble of too many elements is not accepted")
        if frame is None:
            return NEED_DATA
        self.preamble = _read_preamble(Reader(frame))
        return self.preamble

    def _next_request(self) -> Authorize | Request | Unparsed | NeedData | Unfinished:
        method = self._method
        if method is None:
            bytes_max = min(PLAIN_BYTES_MAX, self.request_bytes_max)
            if len(self.buffer) <= bytes_max and (plain := read_plain_get(self.buffer)):
                request, self.frame_elements = plain
                self.frame_bytes = len(self.buffer)
                self.buffer.clear()
                return request
            reader = Reader(self.buffer)
            try:
                method = read_method(reader)
            except Incomplete:
                return NEED_DATA
            self._method = method
            self._head_bytes = reader.pos
            self._start(reader.pos, ARGUMENTS[method], self._bytes_max(method))
        scanner = self._scanner
        assert scanner is not None
        frame = self._take("a request", self._bytes_max(method), SLICE_ELEMENTS)
        authorizes = method is Method.AUTHORIZE_CONNECTION
        if scanner.seen > (HEADER_ELEMENTS_MAX if authorizes else REQUEST_ELEMENTS_MAX):
            raise ProtocolError("a request of too many elements is not accepted")
        if frame is None:
            return UNFINISHED if self._scan_goes_on else NEED_DATA
        self._method = None
        self.frame_bytes, self.frame_elements = len(frame), scanner.seen
        if scanner.seen > PARSED_ELEMENTS_MAX or len(frame) > PARSED_BYTES_MAX:
            return Unparsed(method, frame, self._head_bytes)
        return parse_request(method, Reader(frame, self._head_bytes))

    def _bytes_max(self, method: Method) -> int:
        if method is Method.AUTHORIZE_CONNECTION:
            return AUTHORIZE_BYTES_MAX
        return self.request_bytes_max


def _check_magic(buffer: bytearray) -> None:
    """Refuses a peer that speaks another protocol as early as its bytes show it."""
    if _MAGIC_BYTES.startswith(buffer[: len(_MAGIC_BYTES)]):
        return
    if buffer[0] == _TLS_HANDSHAKE:
        raise ProtocolError("the peer speaks TLS on a port without: use daxs:// and the TLS port")
    raise ProtocolError("the peer does not speak DAX: its first bytes are not DAX's magic")


def _read_preamble(reader: Reader) -> Preamble:
    reader.read_text()
    layering = reader.read_int()
    if layering not in _LAYERINGS:
        raise ProtocolError(f"layering {layering} is unknown; only 0 and 1 are")
    session: bytes | str | None = None
    if reader.is_null():
        reader.read_null()
    elif reader.peek_major() == TEXT:
        session = reader.read_text()
    else:
        session = reader.read_bytes()
    headers: dict[str, str] = {}
    count = reader.read_map()
    done = 0
    while reader.more(done, count):
        name = reader.read_text()
        headers[name] = reader.read_text()
        done += 1
    reader.read_int()  # the client's mode, always 0
    return Preamble(session, headers.get("UserAgent", ""), layering == LAYERING_FRAMED)


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply; ``body`` is what follows the empty array."""

    request: Request
    body: bytes


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error reply. A ``DynamoDBError``'s reasons may need ``errors.decode_reasons``."""

    request: Request
    error: PacelineError


class ClientConnection(_Frames):
    """The client's end. One request is outstanding at most; the reply's end is found by its
    method. Any ``ProtocolError`` is final, and so is giving up on a reply: close the connection.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outstanding: Request | None = None

    def preamble(self, user_agent: str, session: bytes) -> bytes:
        """The first bytes to send. ``session``: 16 bytes that tell one pool from another."""
        out = bytearray()
        write_text(out, MAGIC)
        write_int(out, 0)
        write_bytes(out, session)
        write_map(out, 1)
        write_text(out, "UserAgent")
        write_text(out, user_agent)
        write_int(out, 0)
        return bytes(out)

    def authorize(
        self,
        access_key: str,
        secret: str,
        region: str,
        signed_at: datetime,
        *,
        token: str | None = None,
        user_agent: str | None = None,
    ) -> bytes:
        """The bytes of an authorization, to be sent in front of a request in one piece with it."""
        signed = sign_dax(secret, region, signed_at)
        return encode_request(
            Authorize(access_key, signed.signature, signed.string_to_sign, token, user_agent)
        )

    def send(self, request: Request) -> bytes:
        """The bytes of a request whose reply is then expected."""
        assert self.outstanding is None, "a connection carries one request at a time"
        assert not self.buffer, "next_event was not asked until NEED_DATA"
        self.outstanding = request
        return encode_request(request)

    def next_event(self) -> Reply | ErrorReply | Literal[NeedData.NEED_DATA]:
        if self._broken is not None:
            raise ProtocolError(self._broken)
        if not self.buffer:
            return NEED_DATA
        try:
            return self._next_reply()
        except ProtocolError as error:
            self._broken = str(error)
            self.buffer.clear()
            raise

    def _next_reply(self) -> Reply | ErrorReply | Literal[NeedData.NEED_DATA]:
        request = self.outstanding
        if request is None:
            raise ProtocolError("the server sent bytes that nothing asked for")
        failed = self.buffer[0] != 0x80
        if self.buffer[0] == _TLS_ALERT:
            raise ProtocolError("the peer speaks TLS on this port: use daxs://")
        if self._scanner is None:
            values = ERROR_VALUES if failed else 1 + REPLY_VALUES[request.method]
            self._start(0, values, REPLY_BYTES_MAX)
        frame = self._take("a reply", REPLY_BYTES_MAX)
        if frame is None:
            return NEED_DATA
        self.outstanding = None
        if failed:
            return ErrorReply(request, decode_error(Reader(frame)))
        return Reply(request, frame[1:])
