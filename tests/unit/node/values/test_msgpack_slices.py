"""msgpack in pieces: what ``msgpack`` makes of the whole, in bounded calls."""

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.values import msgpack_slices
from node.values.msgpack_slices import packb, unpackb
from tests.support.examples import examples

TEXTS = st.text(alphabet="aé\ud800😀", max_size=40)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(TEXTS, inner, max_size=6),
    max_leaves=60,
)
WINDOWS = st.integers(32, 200)
"""Numbers, and texts of up to 31 bytes, always fit in one."""
NO_MSGPACK = object()


def packed(value: Any) -> bytes:
    whole: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")
    return whole


def read(data: bytes, unpack: Any) -> Any:
    try:
        return unpack(data)
    except (ValueError, TypeError):
        return NO_MSGPACK


def by_msgpack(data: bytes) -> Any:
    return msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="surrogatepass")


@settings(max_examples=examples(50))
@given(VALUES, st.integers(1, 20))
def test_a_value_is_written_as_by_msgpack(value: Any, values: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgpack_slices, "SLICE_VALUES", values)
        assert packb(value) == packed(value)


@settings(max_examples=examples(50))
@given(VALUES, WINDOWS)
def test_a_value_is_read_as_by_msgpack(value: Any, window: int) -> None:
    data = packed(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgpack_slices, "WINDOW_BYTES", window)
        assert unpackb(data) == value


@settings(max_examples=examples(50))
@given(VALUES, WINDOWS, st.data())
def test_spoilt_data_are_refused_or_read_as_by_msgpack(value: Any, window: int, data: Any) -> None:
    spoilt = bytearray(packed(value))
    at = data.draw(st.integers(0, len(spoilt) - 1))
    # Extensions are nobody's here: neither side sends them, and they are refused.
    spoilt[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.sampled_from([b"", b"\x93", b"\x81", b"\xc4", b"\xd9", b"\xdd", b"\xdf"])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgpack_slices, "WINDOW_BYTES", window)
        found = read(bytes(spoilt), unpackb)
    expected = read(bytes(spoilt), by_msgpack)
    if found is not NO_MSGPACK or expected is NO_MSGPACK:
        assert repr(found) == repr(expected)  # a NaN is not itself
    else:
        assert _has_extension(expected)


def _has_extension(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_extension, value))
    if isinstance(value, dict):
        return any(map(_has_extension, [*value, *value.values()]))
    return isinstance(value, msgpack.ExtType | msgpack.Timestamp)


@pytest.mark.parametrize("size", [15, 16, 255, 256, 65_535, 65_536])
def test_sizes_at_which_heads_change(size: int) -> None:
    values: list[Any] = [[None] * size, dict.fromkeys(map(str, range(size))), b"x" * size]
    if size > 31:  # shorter ones never are larger than a window
        values.append("y" * size)
    for value in values:
        data = packed(value)
        assert packb(value) == data
        # As what is larger than a window is read.
        assert msgpack_slices._Reader(data)._large() == value


@pytest.mark.parametrize("element", [{"L": []}, {"N": "1"}, None, "a", [[1, 2], {"x": b"y"}]])
def test_no_call_reads_more_than_a_window(element: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"a": {"b": [[element] * 30_000]}, "c": "text" * 20_000, "d": b"bytes" * 20_000}
    fed: list[int] = []

    class Watched(msgpack.Unpacker):  # type: ignore[misc]
        def feed(self, piece: bytes) -> None:
            fed.append(len(piece))
            super().feed(piece)

    data = packed(value)
    monkeypatch.setattr(msgpack_slices.msgpack, "Unpacker", Watched)
    assert unpackb(data) == value
    assert max(fed) <= msgpack_slices.WINDOW_BYTES
    assert sum(fed) <= 2 * len(data) + 10 * msgpack_slices.WINDOW_BYTES


@settings(max_examples=examples(20))
@given(st.integers(1, 300))
def test_no_call_writes_more_than_a_slice(width: int) -> None:
    value = {"l": [{"L": [{"N": "1"}] * width} for _ in range(40)]}
    pieces: list[int] = []

    def pack(piece: Any) -> bytes:
        pieces.append(repr(piece).count("{"))
        return packed(piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgpack_slices, "SLICE_VALUES", 64)
        patch.setattr(msgpack_slices, "_packed", pack)
        assert packb(value) == packed(value)
    assert max(pieces) <= 64
