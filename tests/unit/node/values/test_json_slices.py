"""JSON that is read and written in pieces: what ``json`` makes of the whole, in bounded calls."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.values import json_slices
from node.values.json_slices import check, dumps, loads

TEXTS = st.text(alphabet='a,[]{}"\\: é\n\ud800😀', max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(TEXTS, inner, max_size=6),
    max_leaves=60,
)
WINDOWS = st.integers(1, 40)
NOT_JSON = object()


def read(text: str, load: Any) -> Any:
    try:
        return load(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def strictly(text: str) -> Any:
    return json.loads(text, parse_constant=json_slices.no_constant)


@given(VALUES, WINDOWS, WINDOWS, st.sampled_from([None, 0, 1]), st.booleans())
def test_a_text_is_read_as_by_json(
    value: Any, window: int, piece: int, indent: Any, escaped: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "WINDOW_CHARACTERS", window)
        patch.setattr(json_slices, "PIECE_BYTES", piece)
        assert loads(text) == strictly(text)
        if is_text(text):
            assert loads(text.encode()) == strictly(text)


@given(VALUES, WINDOWS, WINDOWS, st.data())
def test_a_spoilt_text_is_refused_or_read_as_by_json(
    value: Any, window: int, piece: int, data: Any
) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    text = (
        text[:at]
        + data.draw(st.sampled_from(["", ",", "]", "}", '"', "0", "NaN"]))
        + (text[at + data.draw(st.integers(0, 3)) :])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "WINDOW_CHARACTERS", window)
        patch.setattr(json_slices, "PIECE_BYTES", piece)
        assert read(text, loads) == read(text, strictly)
        if is_text(text):
            assert read(text, lambda text: loads(text.encode())) == read(text, strictly)
            checked = read(text, lambda text: check(text.encode()))
            assert (checked is NOT_JSON) is (read(text, strictly) is NOT_JSON)


def is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_no_call_decodes_more_than_a_piece() -> None:
    value = [{"S": "é" * 100}, "long" * 80_000, 7] * 50
    data = json.dumps(value, ensure_ascii=False).encode()
    pieces: list[int] = []
    longest = 0

    class Watched(json_slices._Reader):
        def __init__(self, source: Any) -> None:
            super().__init__(source)
            decode = self._decode

            def decoded(piece: bytes, final: bool) -> str:
                pieces.append(len(piece))
                return decode(piece, final)

            self._decode = decoded

        def _load(self, at: int, count: int) -> None:
            nonlocal longest
            super()._load(at, count)
            longest = max(longest, len(self._text))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "_Reader", Watched)
        assert loads(data) == value
    assert sum(pieces) == len(data)
    assert max(pieces) == json_slices.PIECE_BYTES
    assert longest <= 4 * json_slices.PIECE_BYTES


def test_what_is_checked_is_not_kept() -> None:
    reader = json_slices._Reader(
        json.dumps({"a": {"L": [{"N": "7"}] * 30_000}, "b": [[0] * 99] * 999}).encode(), keeps=False
    )
    assert reader.whole() == {}


@pytest.mark.parametrize("spoilt", [b"\xff", b"\xc3"])
def test_what_is_no_text_is_no_json(spoilt: bytes) -> None:
    long = b"x" * 3_000_000
    for data in (b'["' + spoilt, b'["' + long + spoilt, b'["' + long + b'"]' + spoilt):
        with pytest.raises(UnicodeDecodeError):
            loads(data)


@given(VALUES, st.integers(1, 20))
def test_a_value_is_written_as_by_json(value: Any, values: int) -> None:
    whole = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        expected = whole.encode()
    except UnicodeEncodeError:
        expected = json.dumps(value, separators=(",", ":")).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "SLICE_VALUES", values)
        assert dumps(value) == expected


def test_bytes_are_written_as_base64_wherever_they_are() -> None:
    items = [{"b": {"B": b"\xff\x00"}}] * 10_000
    assert json.loads(dumps(items)) == [{"b": {"B": "/wA="}}] * 10_000


@pytest.mark.parametrize("element", ['{"S":""}', '{"L":[]}', '{"N":"1"}', "[]", "0", '"a"'])
def test_no_call_reads_more_than_a_window(element: str) -> None:
    text = '{"a":{"b":[[' + ",".join([element] * 30_000) + "]]}}"
    longest = looked_at = 0
    scan = json_slices._decoder.scan_once

    class Watched:
        def __init__(self) -> None:
            self.decode = json_slices._decoder.decode

        def scan_once(self, piece: str, at: int) -> tuple[Any, int]:
            nonlocal longest, looked_at
            longest = max(longest, len(piece) - at)
            value, end = scan(piece, at)
            looked_at += end - at
            return value, end

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "_decoder", Watched())
        assert loads(text) == json.loads(text)
    assert longest <= json_slices.WINDOW_CHARACTERS + 2
    assert looked_at <= 2 * len(text)


def test_deep_nesting_ends_as_with_json() -> None:
    with pytest.raises(RecursionError):
        loads("[" * 1_000_000)


@given(st.integers(1, 300))
def test_no_call_writes_more_than_a_slice(width: int) -> None:
    value = {"l": [{"L": [{"N": "1"}] * width} for _ in range(40)]}
    pieces: list[int] = []

    def encode(piece: Any) -> str:
        pieces.append(json.dumps(piece).count("{"))
        return json.dumps(piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "SLICE_VALUES", 64)
        parts: list[bytes] = []
        json_slices._write(value, encode, parts)
    assert json.loads(b"".join(parts)) == value
    assert max(pieces) <= 65
