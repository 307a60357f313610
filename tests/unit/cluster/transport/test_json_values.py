"""How much a JSON document holds, counted without parsing it."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.transport import json_values
from cluster.transport.json_values import VALUES_MAX, TextTooLong, value_count

MEMBERS = st.text(max_size=5)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a,[{"\\:é', max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(MEMBERS, inner, max_size=6),
    max_leaves=40,
)


def objects(value: Any) -> int:
    """Containers, and elements and members beyond each one's first."""
    if isinstance(value, dict):
        return 1 + max(0, len(value) - 1) + sum(map(objects, value.values()))
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(objects, value))
    return 0


@given(DOCUMENTS)
def test_never_fewer_than_half_of_what_there_is(document: Any) -> None:
    count = value_count(json.dumps(document).encode())
    assert count is not None
    assert 2 * count >= objects(document)


@given(DOCUMENTS, st.integers(0, 20))
def test_text_counts_for_nothing_once_it_matters(document: Any, values_max: int) -> None:
    body = json.dumps(document).encode()
    there = objects(document)
    counted = value_count(body, values_max)
    if there > 2 * values_max:
        assert counted is None
    else:
        assert counted is not None


@given(st.binary(max_size=200), st.integers(0, 20))
def test_anything_is_counted(body: bytes, values_max: int) -> None:
    counted = value_count(body, values_max)
    assert counted is None or counted <= max(values_max, len(body))


def test_a_batch_of_texts_with_millions_of_commas_is_one_of_few_values() -> None:
    text = "1,2;" * 100_000
    body = json.dumps({"RequestItems": {"t": [{"a": {"S": text}}] * 10}}).encode()
    count = value_count(body)
    assert count is not None
    assert count < 100


def test_tiny_elements_are_refused_before_anything_is_parsed() -> None:
    values_max = 10_000
    for element in (b"0", b"[]", b"{}"):
        body = b"[" + b",".join([element] * (2 * values_max + 2)) + b"]"
        assert value_count(body, values_max) is None


@pytest.mark.parametrize("value", [b'{"L":[]}', b'{"S":""}'])
def test_the_densest_request_that_fits_into_16_mb_passes(value: bytes) -> None:
    """A sixteenth of it, of which a sixteenth of the values may come."""
    values = b",".join([value] * (1024 * 1024 // (len(value) + 1)))
    assert value_count(values, VALUES_MAX // 16) is not None


def test_characters_are_looked_at_a_bounded_number_of_times(monkeypatch: Any) -> None:
    """Escaped quotes in a string without end, which could be tried from each of them."""
    looked_at = []
    marks = json_values._marks

    def counting(body: bytes, start: int, stop: int) -> int:
        looked_at.append(min(stop, len(body)) - start)
        return marks(body, start, stop)

    monkeypatch.setattr(json_values, "_marks", counting)
    body = b"[" * 100 + b'"' + b'\\",' * 100_000
    assert value_count(body, 99) == 50
    assert sum(looked_at) <= 2 * len(body)


@example([":::::::::"], 0, 4)
@given(
    st.lists(st.text(alphabet='a,[{":\\ é', max_size=30), max_size=12),
    st.sampled_from([None, 0, 2]),
    st.integers(4, 60),
)
def test_a_text_that_is_too_long_is_refused_and_no_other(
    texts: list[str], indent: int | None, bytes_max: int
) -> None:
    body = json.dumps({"a": texts}, indent=indent, ensure_ascii=False).encode()
    longest = max((len(json.dumps(one, ensure_ascii=False).encode()) for one in texts), default=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "TEXT_BYTES_MAX", bytes_max)
        if longest > 2 * bytes_max + 2:
            with pytest.raises(TextTooLong, match=f"more than {bytes_max} bytes"):
                value_count(body)
        elif longest <= bytes_max:
            assert value_count(body) is not None


def test_what_is_no_text_is_not_taken_for_one() -> None:
    for body in (b"[" + b"0," * 4_000_000 + b"0]", b'["",' + b"0," * 4_000_000 + b"0]"):
        assert value_count(body, 1_000_000) is None


@pytest.mark.parametrize("between", [b" " * 5_000_000, b"[" + b"0," * 2_500_000 + b"0],"])
def test_a_text_is_too_long_behind_whatever_is_no_text(between: bytes) -> None:
    for begin in (b"[", b'["a",'):
        with pytest.raises(TextTooLong):
            value_count(begin + between + b'"' + bytes(8_500_000) + b'"]')


def test_a_text_is_too_long_however_many_quotes_are_in_it() -> None:
    for text in ('\\"' * 4_000_000, "x" * 8_000_000, "[," * 4_000_000):
        with pytest.raises(TextTooLong):
            value_count(f'{{"Statement": "{text}"}}'.encode())
