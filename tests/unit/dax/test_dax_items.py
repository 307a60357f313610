"""Attribute values, keys, attribute lists and items."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.dax.attribute_lists import (
    attribute_names,
    decode_item,
    encode_item,
    list_id,
    next_id,
)
from paceline.dax.cbor import Reader
from paceline.dax.keys import (
    canonical_key,
    decode_compound_key,
    decode_key,
    encode_compound_key,
    encode_key,
)
from paceline.dax.numbers import normalize
from paceline.dax.values import VALUE_DEPTH_MAX, read_value, write_value
from paceline.errors import ProtocolError
from paceline.types import KeyAttribute, KeySchema

HASH_S = KeySchema(KeyAttribute("pk", "S"))
HASH_N = KeySchema(KeyAttribute("pk", "N"))
HASH_B = KeySchema(KeyAttribute("pk", "B"))
S_S = KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "S"))
S_N = KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "N"))
N_B = KeySchema(KeyAttribute("pk", "N"), KeyAttribute("sk", "B"))


def wire(value) -> str:
    out = bytearray()
    write_value(out, value)
    return out.hex()


def read(data: str):
    reader = Reader(bytes.fromhex(data))
    value = read_value(reader)
    assert reader.done()
    return value


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"S": "hello"}, "6568656c6c6f"),
        ({"S": ""}, "60"),
        ({"N": "1.5"}, "c482200f"),
        ({"B": b"\x00\x01"}, "420001"),
        ({"B": b""}, "40"),
        ({"BOOL": True}, "f5"),
        ({"BOOL": False}, "f4"),
        ({"NULL": True}, "f6"),
        ({"SS": ["a", "y"]}, "d90cf98261616179"),
        ({"NS": ["1", "-26"]}, "d90cfa82013819"),
        ({"BS": [b"\x01", b"\x02"]}, "d90cfb8241014102"),
        ({"L": []}, "80"),
        ({"M": {}}, "a0"),
        ({"L": [{"S": "a"}, {"L": []}]}, "82616180"),
        ({"M": {"k": {"S": "v"}, "l": {"N": "10"}}}, "a2616b6176616c0a"),
    ],
)
def test_values(value, data):
    assert wire(value) == data
    assert read(data) == value


def test_number_sets_are_read_in_every_spelling():
    assert read("d90cfa84fb3ff8000000000000c482211896c2410502") == {"NS": ["1.5", "1.5", "5", "2"]}


def test_indefinite_containers_are_read():
    assert read("9f01bf616102ffff") == {"L": [{"N": "1"}, {"M": {"a": {"N": "2"}}}]}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"S": "a", "N": "1"},
        {"X": "a"},
        {"S": 5},
        {"S": None},
        {"N": 5},
        {"N": "five"},
        {"B": "text"},
        {"SS": []},
        {"SS": ["a", 5]},
        {"NS": ["a"]},
        {"BS": ["a"]},
        {"L": [{"N": "x"}]},
        {"M": {"a": {}}},
        {"M": [1]},
    ],
)
def test_values_that_are_none(value):
    with pytest.raises(ValueError):  # noqa: PT011 any message will do
        wire(value)


@pytest.mark.parametrize("data", ["d90cf981f6", "d90cfc01", "d90cfa816131", "a101f5", "ff", "f7"])
def test_malformed_values(data):
    with pytest.raises(ProtocolError):
        read(data)


def test_values_nest_deeper_than_dynamodb_takes_but_not_without_end():
    assert read("81" * 60 + "01")
    with pytest.raises(ProtocolError, match="deep"):
        read("81" * (VALUE_DEPTH_MAX + 1) + "01")
    with pytest.raises(ProtocolError, match="deep"):
        read("81" * 100_000)


number_texts = st.decimals(allow_nan=False, allow_infinity=False, places=6).map(
    lambda number: normalize(str(number))
)
leaves = st.one_of(
    st.builds(lambda s: {"S": s}, st.text(max_size=20)),
    st.builds(lambda n: {"N": n}, number_texts),
    st.builds(lambda b: {"B": b}, st.binary(max_size=20)),
    st.builds(lambda b: {"BOOL": b}, st.booleans()),
    st.just({"NULL": True}),
    st.builds(lambda s: {"SS": s}, st.lists(st.text(max_size=5), min_size=1, max_size=3)),
    st.builds(lambda s: {"NS": s}, st.lists(number_texts, min_size=1, max_size=3)),
    st.builds(lambda s: {"BS": s}, st.lists(st.binary(max_size=5), min_size=1, max_size=3)),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda elements: {"L": elements}, st.lists(inner, max_size=4)),
        st.builds(lambda m: {"M": m}, st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    ),
    max_leaves=12,
)


@given(values)
def test_values_round_trip(value):
    assert read(wire(value)) == value


@pytest.mark.parametrize(
    ("schema", "key", "data"),
    [
        (HASH_S, {"pk": {"S": "a"}}, "61"),
        (HASH_N, {"pk": {"N": "42"}}, "182a"),
        (HASH_N, {"pk": {"N": "1.5"}}, "c482200f"),
        (HASH_B, {"pk": {"B": b"\x01\xff"}}, "01ff"),
        (S_S, {"pk": {"S": "p"}, "sk": {"S": "ré"}}, "617072c3a9"),
        (S_N, {"pk": {"S": "p"}, "sk": {"N": "3.14159"}}, "6170c1518ab008"),
        (N_B, {"pk": {"N": "7"}, "sk": {"B": b"\x80\x00"}}, "078000"),
    ],
)
def test_keys(schema, key, data):
    assert encode_key(schema, {**key, "other": {"S": "x"}}).hex() == data
    assert decode_key(schema, bytes.fromhex(data)) == key
    assert canonical_key(schema, bytes.fromhex(data)).hex() == data


@pytest.mark.parametrize(
    ("schema", "spellings"),
    [
        (HASH_N, ["c482200f", "fb3ff8000000000000", "c482211896"]),
        (HASH_N, ["1864", "c4820201", "fb4059000000000000", "c24164"]),
        (S_N, ["6161c1288010", "6161c1288020"]),
        (N_B, ["c482200f00", "fb3ff800000000000000"]),
    ],
)
def test_every_spelling_of_a_key_has_one_canonical_form(schema, spellings):
    assert {canonical_key(schema, bytes.fromhex(text)).hex() for text in spellings} == {
        spellings[0]
    }


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (HASH_S, "ff"),
        (HASH_N, "6161"),
        (HASH_N, "0101"),
        (HASH_N, ""),
        (S_S, "4161"),
        (S_S, ""),
        (S_S, "6161ff"),
        (S_N, "6161"),
        (S_N, "616100"),
        (N_B, "6161"),
    ],
)
def test_key_bytes_that_do_not_fit_the_schema(schema, data):
    with pytest.raises(ProtocolError):
        decode_key(schema, bytes.fromhex(data))


@pytest.mark.parametrize(
    "key",
    [{}, {"pk": {"S": "a"}}, {"pk": {"S": "a"}, "sk": {"S": "b"}}, {"pk": {"S": 1}, "sk": {}}],
)
def test_keys_that_do_not_fit_the_schema(key):
    with pytest.raises(ValueError):  # noqa: PT011 any message will do
        encode_key(S_N, key)


@given(
    st.sampled_from([HASH_S, HASH_N, HASH_B, S_S, S_N, N_B]),
    st.text(max_size=10),
    number_texts,
    st.binary(max_size=10),
)
def test_keys_round_trip(schema, text, number, binary):
    contents = {"S": text, "N": number, "B": binary}
    attributes = [schema.hash] + ([schema.range] if schema.range else [])
    key = {a.name: {a.type: contents[a.type]} for a in attributes}
    data = encode_key(schema, key)
    assert decode_key(schema, data) == key
    assert canonical_key(schema, data) == data


@given(st.sampled_from([HASH_S, HASH_N, HASH_B, S_S, S_N, N_B]), st.binary(max_size=20))
def test_any_bytes_are_a_key_or_an_error(schema, data):
    try:
        canonical = canonical_key(schema, data)
    except ProtocolError:
        return
    assert canonical_key(schema, canonical) == canonical


def test_compound_keys():
    key = {"pk": {"S": "Q"}, "sk": {"S": "k1"}, "g": {"S": "G"}}
    data = bytes.fromhex("bf62706b615162736b626b3161676147ff")
    assert encode_compound_key(key) == data
    assert decode_compound_key(data) == key
    assert decode_compound_key(b"\xa3" + data[1:-1]) == key
    for bad in (data[:-1], data + b"\x00", b"\x80", b""):
        with pytest.raises(ProtocolError):
            decode_compound_key(bad)


def test_list_ids_depend_on_the_exact_sequence():
    assert list_id(()) == 1
    ids = [list_id(names) for names in [("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",)]]
    assert len(set(ids)) == len(ids)
    assert all(2 <= identifier < 2**52 for identifier in ids)


def test_list_ids_are_the_same_for_ever():
    """Clients keep ids across restarts and upgrades of the cluster: this may never change."""
    assert list_id(("name", "note")) == 750352103590353
    assert list_id(("v",)) == 2456708855434154


def test_the_next_id_stays_in_range():
    assert next_id(7) == 8
    assert next_id(2**52 - 1) == 2


class Lists:
    def __init__(self) -> None:
        self.names: dict[int, tuple[str, ...]] = {}

    def id_of(self, names: tuple[str, ...]) -> int:
        identifier = list_id(names)
        self.names[identifier] = names
        return identifier

    def names_of(self, identifier: int) -> tuple[str, ...]:
        return self.names[identifier]


@given(st.dictionaries(st.text(max_size=5), values, max_size=6))
def test_items_round_trip(attributes):
    lists = Lists()
    attributes.pop("pk", None)
    item = {"pk": {"S": "k"}, **attributes}
    data = encode_item(item, HASH_S, lists.id_of)
    assert decode_item(data, lists.names_of) == attributes


def test_items_have_their_names_in_code_point_order():
    item = {name: {"S": name} for name in ("b", "pk", "Z", "a", "\U0001f600", "\uffff")}
    assert attribute_names(item, HASH_S) == ("Z", "a", "b", "\uffff", "\U0001f600")


def test_a_key_only_item_is_the_empty_list():
    def never(_: object) -> tuple[str, ...]:
        raise AssertionError("the empty list is known")

    assert encode_item({"pk": {"S": "a"}}, HASH_S, never) == b"\x01"  # type: ignore[arg-type]
    assert decode_item(b"\x01", never) == {}


@pytest.mark.parametrize("data", ["", "02", "0201", "02010203", "6101", "20", "1bffffffffffffffff"])
def test_items_with_the_wrong_number_of_values(data):
    with pytest.raises(ProtocolError):
        decode_item(bytes.fromhex(data), lambda _: ("a", "b"))
