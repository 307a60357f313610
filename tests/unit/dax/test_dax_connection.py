import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.auth.sigv4 import verify_dax
from paceline.dax import connection
from paceline.dax.cbor import write_bytes
from paceline.dax.connection import (
    NEED_DATA,
    ClientConnection,
    ErrorReply,
    Preamble,
    Reply,
    ServerConnection,
    Unparsed,
    framed_reply,
)
from paceline.dax.family import Family
from paceline.dax.requests import (
    CONSISTENT_TAILS,
    PLAIN_TAILS,
    Authorize,
    Endpoints,
    GetItem,
    PutItem,
    encode_request,
)
from paceline.errors import DynamoDBError, OutcomeUnknown, ProtocolError
from tests.support.examples import examples
from tests.support.rows import every_row
from tests.unit.dax.vectors import VECTORS, connection_vectors

PREAMBLES = connection_vectors()["preambles"]
[AUTHORIZATION] = connection_vectors()["authorizations"]
PREAMBLE = bytes.fromhex(PREAMBLES[0]["bytes"])


def opened(**settings) -> ServerConnection:
    server = ServerConnection(**settings)
    server.receive_data(PREAMBLE)
    assert isinstance(server.next_event(), Preamble)
    assert server.next_event() is NEED_DATA
    return server


@pytest.mark.parametrize("vector", PREAMBLES, ids=lambda v: v["user_agent"])
def test_preambles(vector):
    server = ServerConnection()
    server.receive_data(bytes.fromhex(vector["bytes"]))
    event = server.next_event()
    session = vector.get("session_text") or bytes.fromhex(vector["session"])
    assert event == Preamble(session, vector["user_agent"])
    assert event.family is Family(vector["client"])
    assert server.next_event() is NEED_DATA
    assert server.at_boundary


def test_our_own_preamble():
    server = ServerConnection()
    server.receive_data(ClientConnection().preamble("Paceline-0.1", b"\x01" * 16))
    event = server.next_event()
    assert event == Preamble(b"\x01" * 16, "Paceline-0.1")
    assert event.family is Family.PACELINE


def test_a_preamble_without_session_or_user_agent():
    server = ServerConnection()
    server.receive_data(bytes.fromhex("674a37796e65354700f6a000"))
    assert server.next_event() == Preamble(None, "")


def test_a_java_client_asks_for_framed_replies():
    server = ServerConnection()
    server.receive_data(bytes.fromhex("674a37796e65354701f6a000"))
    preamble = server.next_event()
    assert preamble == Preamble(None, "", framed=True)
    assert preamble.family is Family.JAVA
    # Length of all, end of message, three bytes of nothing, and the reply.
    assert framed_reply(b"\x80\xf6") == bytes.fromhex("0000000a 01 000000 80f6")


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (b"GET / HTTP/1.1\r\n", "does not speak DAX"),
        (b"\x16\x03\x01\x02\x00", "TLS"),
        (b"\x00", "does not speak DAX"),
        (b"gJ7yne5H", "does not speak DAX"),
        (bytes.fromhex("674a37796e65354702"), "layering"),
        (bytes.fromhex("674a37796e65354700f6a0f6"), "integer"),
        (bytes.fromhex("674a37796e65354700f6a1000000"), "text"),
        (bytes.fromhex("674a37796e653547005a00010000"), "16384"),
    ],
)
def test_peers_that_do_not_speak_dax(first, message):
    server = ServerConnection()
    server.receive_data(first)
    server.receive_data(b"\xf6\xa0\x00" if message == "layering" else b"")
    with pytest.raises(ProtocolError, match=message):
        server.next_event()
    server.receive_data(PREAMBLE)
    with pytest.raises(ProtocolError, match=message):  # final
        server.next_event()


def test_an_authorization_stands_in_front_of_a_request():
    server = opened()
    server.receive_data(bytes.fromhex(AUTHORIZATION["bytes"]) + b"\x01\x1a\x1b\x2b\xcf\x02")
    assert server.next_event() == Authorize(
        AUTHORIZATION["access_key"],
        AUTHORIZATION["signature"],
        AUTHORIZATION["string_to_sign"].encode(),
        None,
        AUTHORIZATION["user_agent"],
    )
    assert server.at_boundary
    assert server.next_event() == Endpoints()
    assert server.next_event() is NEED_DATA


STREAM = PREAMBLE + b"".join(vector.request for vector in VECTORS)
EVENTS = [vector.parsed() for vector in VECTORS]


def test_many_requests_in_one_segment():
    server = ServerConnection()
    server.receive_data(STREAM)
    assert isinstance(server.next_event(), Preamble)
    assert [server.next_event() for _ in EVENTS] == EVENTS
    assert server.next_event() is NEED_DATA
    assert not server.buffer


def test_one_byte_at_a_time():
    server = ServerConnection()
    events = []
    for byte in STREAM:
        server.receive_data(bytes((byte,)))
        event = server.next_event()
        if event is not NEED_DATA:
            events.append(event)
            assert server.next_event() is NEED_DATA
    assert events[1:] == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_segmentation(cuts):
    server = ServerConnection()
    events = []
    edges = sorted({0, len(STREAM), *cuts})
    for start, end in pairwise(edges):
        server.receive_data(STREAM[start:end])
        while (event := server.next_event()) is not NEED_DATA:
            events.append(event)
    assert events[1:] == EVENTS


def test_a_large_request_in_small_pieces_is_scanned_once(monkeypatch):
    """Every call of the scanner may look at new values and one unfinished head, no more."""
    names = tuple(f"attribute-{number}" for number in range(20_000))
    values = b"\x02" + b"\x58\x64" + b"v" * 100
    frame = encode_request(PutItem("t", b"k", values))
    many = bytes.fromhex("013a495927bb") + b"\x99\x4e\x20"
    many += b"".join(bytes((0x60 | len(name),)) + name.encode() for name in names)
    looked_at = 0
    count_off = connection.Scanner._count_off

    def counting(scanner):
        nonlocal looked_at
        looked_at += 1
        count_off(scanner)

    monkeypatch.setattr(connection.Scanner, "_count_off", counting)
    server = opened()
    looked_at = 0
    stream = many + frame
    events = []
    for start in range(0, len(stream), 7):
        server.receive_data(stream[start : start + 7])
        while (event := server.next_event()) is not NEED_DATA:
            events.append(event.parse() if isinstance(event, Unparsed) else event)
    assert [type(event).__name__ for event in events] == ["DefineAttributeListId", "PutItem"]
    assert events[0].names == names
    assert looked_at < len(names) + 200


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x02\x1a\x1b\x2b\xcf\x02", "service 2"),
        (b"\x01\x1a\x1b\x2b\xcf\x03", "method"),
        (b"\x01\x3a\x12\xae\xa2\x3d", "method"),  # createTable
        (b"\x61\x01", "integer"),
        (b"\xff", "integer"),
        (bytes.fromhex("011a0fb0cc6a4268736161f6"), "byte string"),
        (bytes.fromhex("011a0fb0cc6a42687341610a"), "map"),
        (bytes.fromhex("011a0fb0cc6a4268734161bf0dff"), "break"),
        (bytes.fromhex("011a0fb0cc6a4268734161bf0d6131ff"), "integer"),
        (bytes.fromhex("011a0fb0cc6a42ffff4161f6"), "UTF-8"),
        (bytes.fromhex("011a0fb0cc6a") + b"\x81" * 2000, "deep"),
        (bytes.fromhex("011a0fb0cc6a5b00000001000000"), ""),
        (bytes.fromhex("011a0fb0cc6a5b0000000100000000"), "4294967296"),
        (bytes.fromhex("011a0fb0cc6a5a01800001"), "25165825"),
        (bytes.fromhex("011a58c2336b5a00010001"), "65537"),
    ],
)
def test_malformed_requests(data, message):
    server = opened()
    server.receive_data(data)
    if not message:
        assert server.next_event() is NEED_DATA
        return
    with pytest.raises(ProtocolError, match=message):
        server.next_event()
    assert not server.at_boundary
    assert not server.buffer
    with pytest.raises(ProtocolError, match=message):
        server.next_event()


def test_oversized_requests_are_refused_before_they_are_buffered():
    server = opened(request_bytes_max=1000)
    server.receive_data(bytes.fromhex("011a0fb0cc6a4268735903e9"))  # a key of 1001 bytes
    with pytest.raises(ProtocolError, match="1000"):
        server.next_event()


def test_requests_of_many_small_values_are_limited():
    server = opened(request_bytes_max=1000)
    server.receive_data(bytes.fromhex("013a495927bb9f") + b"\x61a" * 490)
    assert server.next_event() is NEED_DATA
    server.receive_data(b"\x61a" * 10)
    with pytest.raises(ProtocolError, match="1000"):
        server.next_event()


def test_the_largest_request():
    value = b"v" * (16 * 1024 * 1024)
    frame = encode_request(PutItem("t", b"k", value))
    server = opened()
    for start in range(0, len(frame), 1 << 20):
        assert server.next_event() is NEED_DATA
        server.receive_data(frame[start : start + (1 << 20)])
    event = server.next_event()
    assert isinstance(event, Unparsed)  # to parse it copies its bytes
    event = event.parse()
    assert isinstance(event, PutItem)
    assert event.values == value


def test_the_fast_path_of_a_driver():
    server = opened()
    first = encode_request(GetItem("t", b"k"))
    server.receive_data(first + first[:3])
    assert server.at_boundary
    assert server.buffer.startswith(first)
    server.consume(len(first))
    assert server.next_event() is NEED_DATA
    server.receive_data(first[3:-1])
    assert server.next_event() is NEED_DATA
    assert not server.at_boundary
    server.receive_data(first[-1:])
    assert server.next_event() == GetItem("t", b"k")
    assert server.at_boundary


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=80), st.integers(0, 2))
def test_any_bytes_give_events_or_one_protocol_error(data, kind):
    server = ServerConnection() if kind == 0 else opened()
    server.receive_data(bytes.fromhex("674a37796e653547") + data if kind == 0 else data)
    try:
        for _ in range(len(data) + 2):
            if server.next_event() is NEED_DATA:
                break
        else:
            pytest.fail("events without end")
    except ProtocolError:
        pass


@settings(max_examples=examples(200), deadline=None)
@given(
    st.integers(0, len(STREAM) - 1),
    st.integers(0, 255),
    st.integers(1, 64),
)
def test_a_changed_byte_gives_the_same_in_pieces(position, byte, size):
    stream = bytearray(STREAM)
    stream[position] = byte

    def events(pieces):
        server = ServerConnection()
        seen = []
        try:
            for piece in pieces:
                server.receive_data(piece)
                while (event := server.next_event()) is not NEED_DATA:
                    seen.append(event)
        except ProtocolError:
            seen.append("broken")
        return seen

    whole = events([bytes(stream)])
    assert events([stream[i : i + size] for i in range(0, len(stream), size)]) == whole


# -- the client's end --------------------------------------------------------------------------


@every_row("vector", VECTORS)
@every_row("size", [1, 5, 10_000])
def test_replies_end_where_their_method_says(vector, size):
    client = ClientConnection()
    request = vector.parsed()
    client.send(request)
    event = None
    for start in range(0, len(vector.response), size):
        assert client.next_event() is NEED_DATA
        client.receive_data(vector.response[start : start + size])
    event = client.next_event()
    if vector.error is None:
        assert event == Reply(request, vector.response[1:])
    else:
        assert isinstance(event, ErrorReply)
        assert isinstance(event.error, DynamoDBError)
        assert event.error.name == vector.error["name"]
    assert client.outstanding is None
    assert client.next_event() is NEED_DATA
    client.send(request)


def test_an_unknown_outcome_stays_one():
    client = ClientConnection()
    client.send(PutItem("t", b"k", b"\x01"))
    client.receive_data(bytes.fromhex("85031825182618271 82f".replace(" ", "")))
    client.receive_data(b"\x61x\xf6")
    event = client.next_event()
    assert isinstance(event, ErrorReply)
    assert isinstance(event.error, OutcomeUnknown)


def test_bytes_that_nothing_asked_for():
    client = ClientConnection()
    client.receive_data(b"\x80\xf6")
    with pytest.raises(ProtocolError, match="nothing asked"):
        client.next_event()


@pytest.mark.parametrize("data", [b"\x00", b"\x80\xff", b"\x81\x04\x00", b"\x81\x04\x61x\x82\x00"])
def test_malformed_replies(data):
    client = ClientConnection()
    client.send(Endpoints())
    client.receive_data(data + b"\x00\x00\x00\x00")
    with pytest.raises(ProtocolError):
        client.next_event()
    with pytest.raises(ProtocolError):
        client.next_event()


def test_a_second_request_must_wait():
    client = ClientConnection()
    client.send(Endpoints())
    with pytest.raises(AssertionError):
        client.send(Endpoints())


def test_authorization_between_both_ends():
    client = ClientConnection()
    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    data = client.authorize("AK", "secret", "eu-west-1", at, token="T", user_agent="U")
    server = opened()
    server.receive_data(data + client.send(Endpoints()))
    event = server.next_event()
    assert isinstance(event, Authorize)
    assert (event.access_key, event.token, event.user_agent) == ("AK", "T", "U")
    assert verify_dax("secret", event.string_to_sign, event.signature)
    assert not verify_dax("Secret", event.string_to_sign, event.signature)
    assert server.next_event() == Endpoints()


@pytest.mark.parametrize("seed", range(4))
def test_a_plain_get_is_read_at_once_as_it_would_be_in_pieces(seed: int) -> None:
    """One byte short, whole, and with something behind it; good and spoiled."""
    rng = random.Random(seed)
    tails = sorted(PLAIN_TAILS | CONSISTENT_TAILS)
    for _ in range(200):
        table = rng.choice([b"t", b"table" * rng.randrange(1, 12), b"\xff"])
        key = rng.randbytes(rng.choice([0, 1, 23, 24, 40, 255]))
        head = bytearray.fromhex("011a0fb0cc6a")
        write_bytes(head, table)
        write_bytes(head, key)
        frame = bytes(head) + rng.choice(tails)
        if rng.random() < 0.3:
            at = rng.randrange(len(frame))
            frame = frame[:at] + rng.randbytes(1) + frame[at + 1 :]
        ends = [_events(frame, size) for size in (1, len(frame))]
        assert ends[0] == ends[1], frame.hex()
        assert _events(frame[:-1], 1) == _events(frame[:-1], len(frame))


def _events(frame: bytes, step: int) -> list[Any]:
    """What a server makes of ``frame`` after a preamble, delivered in pieces of ``step``."""
    server, told = opened(), list[Any]()
    try:
        for at in range(0, len(frame), step):
            server.receive_data(frame[at : at + step])
            while (event := server.next_event()) is not NEED_DATA:
                told += [event, server.frame_bytes, server.frame_elements]
    except ProtocolError as error:
        told.append(str(error))
    return told
