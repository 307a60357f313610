import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.dax import cbor
from paceline.dax.cbor import Incomplete, Reader, Scanner
from paceline.errors import ProtocolError


def encoded(write, *args) -> bytes:
    out = bytearray()
    write(out, *args)
    return bytes(out)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65535, "19ffff"),
        (65536, "1a00010000"),
        (2**32, "1b0000000100000000"),
        (2**64 - 1, "1bffffffffffffffff"),
        (2**64, "c249010000000000000000"),
        (-1, "20"),
        (-24, "37"),
        (-25, "3818"),
        (-(2**64), "3bffffffffffffffff"),
        (-(2**64) - 1, "c349010000000000000000"),
    ],
)
def test_integers_have_their_shortest_form(value, expected):
    data = encoded(cbor.write_int, value)
    assert data.hex() == expected
    reader = Reader(data)
    assert reader.read_int() == value
    assert reader.done()


@given(st.integers(-(2**300), 2**300))
def test_integers_round_trip(value):
    assert Reader(encoded(cbor.write_int, value)).read_int() == value


@given(st.text(max_size=300), st.binary(max_size=300))
def test_strings_round_trip(text, data):
    reader = Reader(encoded(cbor.write_text, text) + encoded(cbor.write_bytes, data))
    assert reader.read_text() == text
    assert reader.read_bytes() == data
    assert reader.done()


def test_a_reader_stops_at_its_end():
    reader = Reader(b"\x43abc", 0, 3)
    with pytest.raises(Incomplete):
        reader.read_bytes()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_buffer_kind_gives_bytes(kind):
    reader = Reader(kind(b"\x43abc\x63xyz\xfb\x3f\xf8\0\0\0\0\0\0"))
    assert reader.read_bytes() == b"abc"
    assert reader.read_text() == "xyz"
    assert reader.read_float() == 1.5


def test_floats_of_every_width_and_integers():
    assert Reader(b"\xf9\x3e\x00").read_float() == 1.5
    assert Reader(b"\xfa" + struct.pack(">f", 1.5)).read_float() == 1.5
    assert Reader(encoded(cbor.write_float64, -2.25)).read_float() == -2.25
    assert Reader(b"\x05").read_float() == 5.0
    assert math.isnan(Reader(b"\xf9\x7e\x00").read_float())


def test_booleans_null_and_breaks():
    reader = Reader(b"\xf4\xf5\xf6\xff")
    assert reader.read_bool() is False
    assert reader.read_bool() is True
    assert reader.is_null()
    reader.read_null()
    assert not reader.is_null()
    assert reader.at_break()
    assert reader.done()


def test_indefinite_containers():
    reader = Reader(bytes.fromhex("bf6161019fffff"))
    assert reader.read_map() == -1
    assert reader.read_text() == "a"
    assert not reader.at_break()
    assert reader.read_int() == 1
    assert reader.read_array() == -1
    assert reader.at_break()
    assert reader.at_break()


@pytest.mark.parametrize(
    ("data", "read"),
    [
        ("6161", Reader.read_bytes),
        ("4161", Reader.read_text),
        ("5f4161ff", Reader.read_bytes),  # indefinite strings never occur
        ("61ff", Reader.read_text),  # not UTF-8
        ("1c", Reader.read_int),  # reserved head
        ("f6", Reader.read_int),
        ("c101", Reader.read_int),
        ("00", Reader.read_bool),
        ("f4", Reader.read_null),
        ("f4", Reader.read_float),
        ("a0", Reader.read_array),
        ("80", Reader.read_map),
        ("5b7fffffffffffffff", Reader.read_bytes),  # longer than any limit
        ("9b7fffffffffffffff", Reader.read_array),
        ("c2590200" + "ff" * 512, Reader.read_int),  # bignum too large
    ],
)
def test_malformed_values_are_refused(data, read):
    with pytest.raises(ProtocolError) as caught:
        read(Reader(bytes.fromhex(data)))
    assert not isinstance(caught.value, Incomplete)


WHOLE = [
    "00",
    "1818",
    "1b0020000000000001",
    "3903e8",
    "43616263",
    "63616263",
    "80",
    "a0",
    "8301820203a16161f5",
    "bf00816161ff",
    "9f9f9fffff00ff",
    "c4822001",
    "d90cf98161616161"[:-4],
    "fb3ff8000000000000",
    "f93e00",
    "bf616101ff",
]


@pytest.mark.parametrize("data", [bytes.fromhex(text) for text in WHOLE])
def test_the_scanner_finds_the_end_of_a_value(data):
    scanner = Scanner(0, 1)
    assert scanner.scan(data + b"\x00\x00")
    assert scanner.pos == len(data)


@pytest.mark.parametrize("data", [bytes.fromhex(text) for text in WHOLE])
def test_the_scanner_goes_on_where_it_stopped(data):
    scanner = Scanner(0, 1)
    for size in range(len(data)):
        assert not scanner.scan(data[:size])
        assert scanner.pos <= size
    assert scanner.scan(data)
    assert scanner.pos == len(data)


def test_the_scanner_counts_values():
    scanner = Scanner(1, 3)
    assert scanner.scan(bytes.fromhex("ff01820203610000"))
    assert scanner.pos == 7


@pytest.mark.parametrize(
    "data",
    [
        "ff",  # break outside
        "82ff",  # break in a definite array
        "bf01ff",  # key without value
        "c4ff",  # tag without value
        "1c",
        "5f",  # indefinite string
        "fc",
        "5b7fffffffffffffff",
        "9b7fffffffffffffff",
    ],
)
def test_the_scanner_refuses_what_cannot_be(data):
    with pytest.raises(ProtocolError):
        Scanner(0, 1).scan(bytes.fromhex(data))


@pytest.mark.parametrize("opener", [b"\x81", b"\x9f", b"\xa1\x00", b"\xc4", b"\xbf\x00"])
def test_depth_is_limited(opener):
    data = opener * (cbor.DEPTH_MAX + 1)
    with pytest.raises(ProtocolError, match="deep"):
        Scanner(0, 1).scan(data)
    assert not Scanner(0, 1).scan(opener * (cbor.DEPTH_MAX - 1))


def test_the_string_limit_is_kept_before_the_string_arrives():
    with pytest.raises(ProtocolError, match="at most 100"):
        Scanner(0, 1, string_bytes_max=100).scan(b"\x58\x65")
    assert not Scanner(0, 1, string_bytes_max=100).scan(b"\x58\x64")


@given(st.binary(max_size=60))
def test_skip_and_scan_never_raise_anything_else(data):
    try:
        Reader(data).skip()
    except ProtocolError:
        return
    scanner = Scanner(0, 1)
    assert scanner.scan(data)
    for size in range(scanner.pos):
        assert not Scanner(0, 1).scan(data[:size])


def test_read_raw_gives_the_value_with_its_head():
    reader = Reader(bytes.fromhex("01bf0300ff02"))
    reader.read_int()
    assert reader.read_raw().hex() == "bf0300ff"
    assert reader.read_int() == 2
