import time
from decimal import Decimal

import pytest
from amazondax import LexDecimal
from hypothesis import example, given
from hypothesis import strategies as st

from paceline.dax import cbor
from paceline.dax.cbor import Reader
from paceline.dax.lexdecimal import (
    decode_lexdecimal,
    encode_lexdecimal,
    encode_spelled_lexdecimal,
)
from paceline.dax.numbers import DIGITS_MAX, normalize, read_number, write_number
from paceline.errors import ProtocolError
from tests.support.rows import every_row

DIGITS_38 = "12345678901234567890123456789012345678"


def wire(text: str) -> str:
    out = bytearray()
    write_number(out, text)
    return out.hex()


def read(data: str) -> str:
    reader = Reader(bytes.fromhex(data))
    text = read_number(reader)
    assert reader.done()
    return text


@every_row(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("0E+5", "0"),
        ("1.50", "1.5"),
        ("1.0", "1"),
        ("+7", "7"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1E+2", "100"),
        ("1e2", "100"),
        ("15E-1", "1.5"),
        ("100", "100"),
        ("-1234567.891", "-1234567.891"),
        ("1E-9", "0.000000001"),
        ("1E+30", "1" + "0" * 30),
        (DIGITS_38, DIGITS_38),
        ("-0." + DIGITS_38, "-0." + DIGITS_38),
        ("1E-130", "0." + "0" * 129 + "1"),
        ("9.9E+125", "99" + "0" * 124),
        ("1E+126", "1E+126"),
        ("-12E-140", "-1.2E-139"),
        (DIGITS_38 + "901", DIGITS_38 + "901"),
    ],
)
def test_normalize(text, canonical):
    assert normalize(text) == canonical
    assert normalize(canonical) == canonical


@every_row(
    "text",
    ["", " 1", "1 ", "1_0", "NaN", "Infinity", "-", ".", "1e", "0x10", "\u0661", "1e99999999999",
     "9" * 2000, "1,5", "1\n"],
)  # fmt: skip
def test_text_that_is_no_number(text):
    with pytest.raises(ValueError):  # noqa: PT011 any message will do
        normalize(text)
    with pytest.raises(ValueError):  # noqa: PT011
        write_number(bytearray(), text)


@pytest.mark.parametrize("text", ["1" * 20_000, "." + "1" * 20_000, "1e" + "0" * 20_000])
def test_long_text_that_is_no_number_is_refused_at_once(text):
    """In a time that grows with the length; that of its square is ten seconds here."""
    began_s = time.thread_time()
    with pytest.raises(ValueError, match="not a number"):
        normalize(text + "x")
    assert time.thread_time() - began_s < 0.5


@every_row(
    ("text", "data"),
    [
        ("0", "00"),
        ("-0.0", "00"),
        ("-7", "26"),
        ("100", "1864"),
        ("1E+2", "1864"),
        ("1.5", "c482200f"),
        ("1.50", "c482200f"),
        ("0.1", "c4822001"),
        ("1E-9", "c4822801"),
        ("9007199254740993", "1b0020000000000001"),
        ("18446744073709551615", "1bffffffffffffffff"),
        ("-18446744073709551615", "3bfffffffffffffffe"),
        ("18446744073709551616", "c48200c249010000000000000000"),
        ("1E+30", "c48200c24d0c9f2c9cd04674edea40000000"),
        ("1E+100", "c482186401"),
        ("-25E+100", "c48218643818"),
        ("123456789012345678901234567890", "c48200c24d018ee90ff6c373e0ee4e3f0ad2"),
    ],
)
def test_emission(text, data):
    assert wire(text) == data
    assert read(data) == normalize(text)


@every_row(
    ("data", "text"),
    [
        ("fb3ff8000000000000", "1.5"),
        ("fb3fb999999999999a", "0.1"),
        ("fb4059000000000000", "100"),
        ("fb8000000000000000", "0"),
        ("fb3e112e0be826d695", "0.000000001"),
        ("fb54b249ad2594c37d", "1" + "0" * 100),
        ("fb40c81cd6e631f8a1", "12345.6789"),
        ("c482211896", "1.5"),
        ("c482200a", "1"),
        ("c4820201", "100"),
        ("c482181e01", "1" + "0" * 30),
        ("c24720000000000001", "9007199254740993"),
        ("c249010000000000000000", "18446744073709551616"),
        ("c34d018ee90ff6c373e0ee4e3f0ad1", "-123456789012345678901234567890"),
        ("c48239012b01", "1E-300"),
    ],
)
def test_every_spelling_is_read(data, text):
    assert read(data) == text


@pytest.mark.parametrize(
    "data",
    ["fb7ff0000000000000", "fb7ff8000000000000", "c48101", "c4830102", "c401", "c4826101", "f6",
     "6131", "c4821b7fffffffffffffff01", "c1", "c482c249ffffffffffffffffff01", "f4", "c48201f6"],
)  # fmt: skip
def test_what_is_no_number(data):
    with pytest.raises(ProtocolError):
        read(data)


numbers = st.builds(
    lambda sign, digits, exponent: f"{sign}{digits}E{exponent}",
    st.sampled_from(["", "-"]),
    st.integers(1, 10**38 - 1),
    st.integers(-130, 87),
)


@given(numbers)
def test_numbers_keep_their_value(text):
    canonical = normalize(text)
    assert Decimal(canonical) == Decimal(text)
    assert read(wire(text)) == canonical
    assert wire(text) == wire(canonical)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_stand_for_their_shortest_text(value):
    out = bytearray()
    cbor.write_float64(out, value)
    assert Decimal(read(out.hex())) == Decimal(repr(value))


LEXDECIMALS = [
    ("0", "80"),
    ("1", "c11c0000"),
    ("5", "c1800000"),
    ("1E+2", "c31c0000"),
    ("1234", "c421d9c000"),
    ("1.5", "c1288010"),
    ("3.14159", "c1518ab008"),
    ("-1", "3ee3fff0"),
    ("-0.5", "3f7ffff0"),
    ("-999", "3c033fd0"),
    ("-1234567.891", "38de22b37b8fffc0"),
    ("1E-70", "817fffffbb1c0000"),
    ("-1E-70", "7e80000044e3fff0"),
    ("9E+100", "fe80000065e40000"),
    ("-9E+100", "017fffff9a1bfff0"),
    ("0.001", "be1c0000"),
    ("99999999999999999999999999999999999999", "e6fcff3fcff3fcff3fcff3fcff3fcff3fa8010"),
]


@every_row(("text", "data"), LEXDECIMALS)
def test_lexicographic_decimals(text, data):
    assert encode_lexdecimal(text).hex() == data
    assert decode_lexdecimal(bytes.fromhex(data)) == normalize(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [("c21c0010", "10"), ("c31c0020", "100"), ("c1288020", "1.5"), ("7f", "0")],
)
def test_other_spellings_of_lexicographic_decimals(data, text):
    assert decode_lexdecimal(bytes.fromhex(data)) == text


SPELLED = [
    ("0", "80"),
    ("-0", "80"),
    ("10", "c21c0010"),
    ("1E+1", "c21c0010"),
    ("010.0", "c21c0010"),
    ("100", "c31c0020"),
    ("1E+2", "c31c0020"),
    ("1000", "c41c00c000"),
    ("20", "c2350010"),
    ("1.50", "c1288010"),
    ("0.10", "c01c0000"),
    ("1234", "c421d9c000"),
    ("-10", "3de3ffe0"),
    ("-100", "3ce3ffd0"),
    ("99999999999999999999999999999999999999", "e6fcff3fcff3fcff3fcff3fcff3fcff3fa8010"),
    ("1E+125", "fe8000007e1c0000"),  # more digits than some clients can read
    ("1E-130", "817fffff7f1c0000"),
]


@every_row(("text", "data"), SPELLED)
def test_lexicographic_decimals_for_clients(text, data):
    assert encode_spelled_lexdecimal(text).hex() == data
    assert decode_lexdecimal(bytes.fromhex(data)) == normalize(text)


@given(numbers | st.just("0") | st.integers(-(10**38) + 1, 10**38 - 1).map(str))
@example("1E+37")
@example("-1E+37")
@example("1E+38")
@example("12E+36")
@example("1E+125")
@example("-1E-130")
def test_amazons_decoder_shows_dynamodbs_own_text(text):
    """Fractions and integers of more digits than fit have an exponent in Python's own form."""
    wanted = normalize(text)
    data = encode_spelled_lexdecimal(text)
    assert decode_lexdecimal(data) == wanted
    shown = str(LexDecimal.decode_all(data))
    assert Decimal(shown) == Decimal(wanted)
    if len(wanted.lstrip("-")) <= DIGITS_MAX and "." not in wanted:
        assert shown == wanted


@given(st.lists(numbers | st.just("0"), min_size=2, max_size=12))
def test_byte_order_is_numeric_order(texts):
    for text in texts:
        assert decode_lexdecimal(encode_lexdecimal(text)) == normalize(text)
    by_value = sorted({normalize(text) for text in texts}, key=Decimal)
    by_bytes = sorted({normalize(text) for text in texts}, key=encode_lexdecimal)
    assert by_value == by_bytes


@given(st.integers(-(10**9), 10**9), st.sampled_from(["", "-"]), st.integers(1, 10**40))
def test_lexicographic_decimals_of_any_exponent(exponent, sign, digits):
    text = f"{sign}{digits}E{exponent}"
    assert decode_lexdecimal(encode_lexdecimal(text)) == normalize(text)


@pytest.mark.parametrize(
    "data",
    ["", "00", "ff", "8000", "7f00", "c1", "c11c", "c11c00", "fe8000", "c10000", "c11c000000",
     "c11c0001", "c1ffffffff", "c10c" * 600],
)  # fmt: skip
def test_malformed_lexicographic_decimals(data):
    with pytest.raises(ProtocolError):
        decode_lexdecimal(bytes.fromhex(data))


@given(st.binary(max_size=24))
def test_any_bytes_are_a_number_or_an_error(data):
    try:
        text = decode_lexdecimal(data)
    except ProtocolError:
        return
    assert decode_lexdecimal(encode_lexdecimal(text)) == text
