"""No call takes the time of more than so many elements, whatever a peer sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.dax import connection
from paceline.dax.cbor_scanner import Scanner
from paceline.dax.connection import (
    HEADER_ELEMENTS_MAX,
    NEED_DATA,
    PARSED_ELEMENTS_MAX,
    SLICE_ELEMENTS,
    UNFINISHED,
    ClientConnection,
    ServerConnection,
    Unparsed,
)
from paceline.dax.elements import REQUEST_ELEMENTS_MAX, count_elements
from paceline.dax.requests import (
    BatchWriteItem,
    DefineAttributeListId,
    GetItem,
    PutItem,
    encode_request,
)
from paceline.errors import ProtocolError

PREAMBLE = ClientConnection().preamble("DaxPythonClient-2.1.0", b"session")
GET = bytes.fromhex("011a0fb0cc6a")


@pytest.fixture
def per_call(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Heads that each scan looked at."""
    calls: list[int] = []
    scan = Scanner.scan

    def counting(self: Scanner, *args: object, **options: object) -> bool:
        before = self.seen
        try:
            return scan(self, *args, **options)  # type: ignore[arg-type]
        finally:
            calls.append(self.seen - before)

    monkeypatch.setattr(connection.Scanner, "scan", counting)
    return calls


def opened() -> ServerConnection:
    server = ServerConnection()
    server.receive_data(PREAMBLE)
    server.next_event()
    return server


def test_a_request_of_single_bytes_is_looked_at_in_slices_and_refused(per_call: list[int]) -> None:
    server = opened()
    server.receive_data(GET + b"\x9f" + b"\x00" * 3_000_000)
    for _ in range(REQUEST_ELEMENTS_MAX // SLICE_ELEMENTS):
        assert server.next_event() is UNFINISHED
    with pytest.raises(ProtocolError, match="too many elements"):
        server.next_event()
    assert max(per_call) <= SLICE_ELEMENTS
    assert not server.buffer


def test_an_honest_request_of_many_elements_comes_unparsed_and_whole(per_call: list[int]) -> None:
    names = tuple(f"a{number}" for number in range(10_000))
    behind = GetItem("t", b"k")
    server = opened()
    server.receive_data(encode_request(DefineAttributeListId(names)) + encode_request(behind))
    turns = 0
    while (event := server.next_event()) is UNFINISHED:
        turns += 1
    assert isinstance(event, Unparsed)
    assert turns == 10_000 // SLICE_ELEMENTS
    assert event.parse() == DefineAttributeListId(names)
    assert max(per_call[:-1]) <= SLICE_ELEMENTS
    assert server.next_event() == behind
    assert server.next_event() is NEED_DATA


def test_a_full_batch_is_parsed_at_once() -> None:
    batch = BatchWriteItem({"t": tuple((b"k%d" % n, b"\x02\x61a") for n in range(25))})
    server = opened()
    server.receive_data(encode_request(batch))
    assert server.next_event() == batch
    assert server.frame_elements < PARSED_ELEMENTS_MAX


@pytest.mark.parametrize("head", ["674a37796e65354700f6bf", "authorize"])
def test_what_comes_before_a_request_has_few_elements(head: str) -> None:
    server = opened() if head == "authorize" else ServerConnection()
    start = bytes.fromhex("011a58c2336b9f") if head == "authorize" else bytes.fromhex(head)
    server.receive_data(start + b"\x60" * (2 * HEADER_ELEMENTS_MAX))
    with pytest.raises(ProtocolError, match="elements"):
        server.next_event()


@given(st.binary(max_size=300), st.integers(0, 300))
def test_elements_in_nested_strings_are_counted_up_to_a_bound(data: bytes, bound: int) -> None:
    request = PutItem("t", b"", data)
    whole = count_elements(request, 1000)
    assert whole is not None
    assert whole <= len(data)
    assert count_elements(request, bound) == (whole if whole <= bound else None)


def test_elements_of_an_item_are_those_of_its_values() -> None:
    assert count_elements(PutItem("t", b"", b"\x00" * 5000), 4096) is None
    assert count_elements(PutItem("t", b"", b"\x00" * 4000), 4096) == 4000
    assert count_elements(PutItem("t", b"", b"\x5a\x00\x01\x00\x00" + b"x" * 65536), 10) == 1
