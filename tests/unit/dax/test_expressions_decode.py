"""Trees -> DynamoDB's text, malformed trees, limits, and canonical keys."""

import re

import pytest

from paceline.dax.cbor import write_array, write_text
from paceline.dax.expressions import (
    Placeholders,
    decode_condition,
    decode_projection,
    decode_update,
    encode_condition,
    encode_projection,
    encode_update,
    normalized_key,
    read_condition,
)
from paceline.dax.expressions.tree import DEPTH_MAX, TERMS_MAX
from paceline.errors import ProtocolError, RequestError
from paceline.types import AttributeValue
from tests.support.rows import every_row

VALUES: dict[str, AttributeValue] = {
    ":x": {"S": "x"},
    ":y": {"S": "y"},
    ":one": {"N": "1"},
    ":list": {"L": [{"S": "i"}]},
    ":set": {"SS": ["q"]},
}

PATH_A = bytes.fromhex("82126161")
VALUE_0 = bytes.fromhex("821100")
EXISTS_A = bytes.fromhex("820b82126161")


def condition(node: bytes, values: str = "80") -> bytes:
    return b"\x83\x01" + node + bytes.fromhex(values)


@pytest.mark.parametrize(
    ("text", "rendered", "names"),
    [
        ("attribute_not_exists(pk)", "attribute_not_exists(#0)", ["pk"]),
        ("a = :x AND b > :one AND c <> :x", "#0 = :0 AND #1 > :1 AND #2 <> :0", ["a", "b", "c"]),
        ("a <= :x OR a >= :y AND b < :x", "#0 <= :0 OR (#0 >= :1 AND #1 < :0)", ["a", "b"]),
        ("(a = :x OR b = :x) AND c = :x", "(#0 = :0 OR #1 = :0) AND #2 = :0", ["a", "b", "c"]),
        ("(a = :x AND b = :x) AND c = :x", "#0 = :0 AND #1 = :0 AND #2 = :0", ["a", "b", "c"]),
        ("NOT a = :x", "NOT (#0 = :0)", ["a"]),
        ("NOT NOT a = :x", "NOT (NOT (#0 = :0))", ["a"]),
        ("NOT (a = :x AND b = :x)", "NOT (#0 = :0 AND #1 = :0)", ["a", "b"]),
        ("NOT a = :x OR b = :x", "NOT (#0 = :0) OR #1 = :0", ["a", "b"]),
        ("a BETWEEN :x AND :y", "#0 BETWEEN :0 AND :1", ["a"]),
        ("a IN (:x, b, size(c))", "#0 IN (:0, #1, size(#2))", ["a", "b", "c"]),
        ("#d.a[0][12].#d = :x", "#0.#1[0][12].#0 = :0", ["d.t", "a"]),
        ("size(a.b) > :one", "size(#0.#1) > :0", ["a", "b"]),
        (
            "begins_with(a, :x) AND contains(b, :y)",
            "begins_with(#0, :0) AND contains(#1, :1)",
            ["a", "b"],
        ),
        ("attribute_type(a, :x)", "attribute_type(#0, :0)", ["a"]),
        # DynamoDB's to refuse, in its own words.
        ("attribute_exists(:x)", "attribute_exists(:0)", []),
    ],
)
def test_conditions(text: str, rendered: str, names: list[str]) -> None:
    placeholders = Placeholders()
    data = encode_condition(text, {"#d": "d.t"}, VALUES)
    assert decode_condition(data, placeholders) == rendered
    assert list(placeholders.names.values()) == names
    assert all(f"#{i}" == key for i, key in enumerate(placeholders.names))
    assert all(f":{i}" == key for i, key in enumerate(placeholders.values))


def test_an_update_is_regrouped_by_clause_in_order() -> None:
    text = "ADD n :one, s :set REMOVE a, e[1] DELETE t :set SET b = c + :one, d = :x, f = f - n"
    placeholders = Placeholders()
    assert decode_update(encode_update(text, None, VALUES), placeholders) == (
        "SET #5 = #6 + :0, #7 = :2, #8 = #8 - #0 REMOVE #2, #3[1] ADD #0 :0, #1 :1 DELETE #4 :1"
    )
    assert placeholders.values == {":0": {"N": "1"}, ":1": {"SS": ["q"]}, ":2": {"S": "x"}}


def test_nested_update_functions() -> None:
    text = "SET a = list_append(if_not_exists(a, :list), :list)"
    data = encode_update(text, None, VALUES)
    assert decode_update(data, Placeholders()) == "SET #0 = list_append(if_not_exists(#0, :0), :0)"


def test_expressions_of_one_request_share_placeholders() -> None:
    placeholders = Placeholders()
    key = encode_condition("pk = :x AND sk > :one", None, VALUES)
    filtered = encode_condition("v <> :y AND sk <> :x", None, VALUES)
    projection = encode_projection("v, w.pk, l[3]", None)
    assert decode_condition(key, placeholders, "KeyConditionExpression") == "#0 = :0 AND #1 > :1"
    assert decode_condition(filtered, placeholders) == "#2 <> :2 AND #1 <> :0"
    assert decode_projection(projection, placeholders) == "#2, #3.#0, #4[3]"
    assert placeholders.names == {"#0": "pk", "#1": "sk", "#2": "v", "#3": "w", "#4": "l"}
    assert placeholders.values == {":0": {"S": "x"}, ":1": {"N": "1"}, ":2": {"S": "y"}}


def test_unused_and_repeated_values_leave_no_placeholder_behind() -> None:
    # a = value 2 AND a <> value 0, with [1, "unused", 1] in the array.
    node = bytes.fromhex("8306") + b"\x83\x00" + PATH_A + b"\x82\x11\x02"
    node += b"\x83\x01" + PATH_A + VALUE_0
    placeholders = Placeholders()
    text = decode_condition(condition(node, "830166756e7573656401"), placeholders)
    assert text == "#0 = :0 AND #0 <> :0"
    assert placeholders.values == {":0": {"N": "1"}}


EQUAL = b"\x83\x00" + PATH_A + VALUE_0


def test_a_client_that_repeats_slot_0_asks_for_the_same_update() -> None:
    """The same update as captured from AWS's Python and JavaScript clients."""
    common = (
        "83018783138212617183181982126171821100831383126178617982110183138212636c737483181883178212"
        "636c737482110282110382168212627a7a8314821263636e74"
    )
    python = common + "8211008314821264737365748211048315821264647365748211048501617680816169"
    javascript = common + "821104831482126473736574821105831582126464736574821105860161768081616901"
    texts = []
    for captured in (python, javascript):
        placeholders = Placeholders()
        texts.append(decode_update(bytes.fromhex(captured + "d90cf9816171"), placeholders))
        assert len(placeholders.values) == 5
    assert texts[0] == texts[1]


def chain(op: int, count: int, *, left: bool) -> bytes:
    """``count`` operators over ``a = :0``, all to the left or all to the right."""
    head = bytes((0x83, op))
    node = head * count + EQUAL * (count + 1) if left else (head + EQUAL) * count + EQUAL
    return condition(node, "816178")


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("op", [6, 7])
def test_chains_of_the_longest_allowed_expression_need_no_parentheses(op: int, left: bool) -> None:
    placeholders = Placeholders()
    text = decode_condition(chain(op, 300, left=left), placeholders)
    assert text == (" AND " if op == 6 else " OR ").join(["#0 = :0"] * 301)
    again = encode_condition(text, placeholders.names, placeholders.values)
    assert again == chain(op, 300, left=False) == normalized_key(chain(op, 300, left=left))


def test_alternating_operators_nest_once_per_level() -> None:
    node = EXISTS_A
    for level in range(300):
        node = bytes((0x83, 6 + level % 2)) + EXISTS_A + node
    text = decode_condition(condition(node), Placeholders())
    assert "((" not in text
    assert text.count("(") == 301 + 299
    assert normalized_key(condition(node)) == condition(node)


def test_the_deepest_tree_decodes_and_a_deeper_one_is_refused() -> None:
    nots = DEPTH_MAX - 2  # attribute_exists and its path take two levels
    text = decode_condition(condition(b"\x82\x08" * nots + EXISTS_A), Placeholders())
    assert text.count("NOT (") == nots
    with pytest.raises(RequestError, match="nests more than"):
        decode_condition(condition(b"\x82\x08" * (nots + 1) + EXISTS_A), Placeholders())


def test_the_largest_tree_decodes_and_a_larger_one_is_refused() -> None:
    def listed(count: int) -> bytes:
        out = bytearray(b"\x83\x0a" + PATH_A)
        write_array(out, count)
        return condition(bytes(out) + VALUE_0 * count, "8101")

    # IN, its path and the path's element, the list: each element counts as read and as expected.
    most = (TERMS_MAX - 4) // 2
    assert decode_condition(listed(most), Placeholders()).count(":0") == most
    with pytest.raises(RequestError, match="exceeded the maximum allowed size"):
        decode_condition(listed(most + 1), Placeholders())


def test_a_huge_announced_length_costs_nothing() -> None:
    for head in ("9a00ffffff", "9affffffff", "9bffffffffffffffff"):
        with pytest.raises((RequestError, ProtocolError)):
            decode_condition(condition(b"\x83\x0a" + PATH_A + bytes.fromhex(head)), Placeholders())
        with pytest.raises((RequestError, ProtocolError)):
            decode_projection(bytes.fromhex("8201" + head), Placeholders())


MALFORMED_CONDITIONS = [
    ("8201820b82126161", "wrong number of parts"),
    ("8401820b821261618080", "wrong number of parts"),
    ("8302820b8212616180", "format version 2"),
    ("83f6820b8212616180", "an integer is missing"),
    ("8301820b821261618000", "bytes follow"),
    ("8301820b82126161a0", "values are not an array"),
    ("83018080", "empty node"),
    ("83010080", "an array is missing"),
    ("8301a080", "an array is missing"),
    ("83019f0b82126161ff80", "no definite length"),
    ("830181616180", "an integer is missing"),
    ("830182181b8212616180", "operator 27"),
    ("830182208212616180", "operator -1"),
    ("8301820b811280", "empty document path"),
    ("8301820b82120180", "no name or index"),
    ("8301820b8212d90cfc0080", "no name or index"),
    ("8301820b83126161d90cfb0080", "no name or index"),
    ("8301820b83126161d90cfc2080", "List index is not within"),
    ("8301820b83126161d90cfc1a8000000080", "List index is not within"),
    ("83018212616180", "PATH stands in the place of: condition"),
    ("83018211008101", "VARIABLE stands in the place of: condition"),
    ("830182108212616180", "not allowed to be used this way"),
    ("830183008212616182 0b8212616180".replace(" ", ""), "not allowed to be used this way"),
    ("83018300821261618300821261618212616180", "EQ stands in the place of: operand"),
    ("83018218178212616180", "not allowed in a condition expression; function: if_not_exists"),
    ("830182138212616180", "SET stands in the place of: condition"),
    ("8301830b821261618212616180", "Incorrect number of operands .* attribute_exists.*: 2"),
    ("830182008212616180", "Incorrect number of operands .* =, number of operands: 1"),
    ("8301840682 0b82126161820b82126161820b8212616180".replace(" ", ""), "AND, number.*: 3"),
    ("83018309821261618212616180", "BETWEEN, number of operands: 2"),
    ("8301820a8212616180", "IN, number of operands: 1"),
    ("8301830a821261618080", "can not be empty"),
    ("8301830a821261618080", "can not be empty"),
    ("830183008212616182110080", "not defined; attribute value: number 0 of 0"),
    ("83018300821261618211028101", "not defined; attribute value: number 2 of 1"),
    ("83018300821261618211208101", "a value has the number -1"),
    ("830183008212616181118101", "not exactly one number"),
    ("8301830082126161831100008101", "not exactly one number"),
]


@every_row(("data", "problem"), MALFORMED_CONDITIONS)
def test_malformed_conditions(data: str, problem: str) -> None:
    with pytest.raises(RequestError, match=problem) as caught:
        decode_condition(bytes.fromhex(data), Placeholders())
    assert caught.value.name == "ValidationException"
    assert caught.value.message.startswith("Invalid ConditionExpression: ")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("83018080", "can not be empty"),
        (
            "83018182 0b8212616180".replace(" ", ""),
            "ATTRIBUTE_EXISTS stands in the place of: action",
        ),
        ("83018183138211008211008101", "VARIABLE stands in the place of: document path"),
        ("8301818314821261618212616180", "PATH stands in the place of: value"),
        ("83018182138212616180", "SET, number of operands: 1"),
        ("83018183138212616182108212616180", "not allowed in an update expression; function: size"),
        # a = (a + a) + a
        (
            "83018183138212616183181983181982126161821261618212616180",
            "PLUS stands in the place of: operand of an update",
        ),
        ("8301820b8212616180", "an array is missing"),
    ],
)
def test_malformed_updates(data: str, problem: str) -> None:
    with pytest.raises(RequestError, match=problem) as caught:
        decode_update(bytes.fromhex(data), Placeholders())
    assert caught.value.message.startswith("Invalid UpdateExpression: ")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("820180", "can not be empty"),
        ("8201818112", "empty document path"),
        ("8201818212616100", "bytes follow"),
        ("820181821100", "VARIABLE stands in the place of: document path"),
        ("8301818212616180", "wrong number of parts"),
    ],
)
def test_malformed_projections(data: str, problem: str) -> None:
    with pytest.raises(RequestError, match=problem) as caught:
        decode_projection(bytes.fromhex(data), Placeholders())
    assert caught.value.message.startswith("Invalid ProjectionExpression: ")


def test_every_truncation_is_broken_cbor() -> None:
    data = encode_condition("a IN (:x, b[1].c) AND NOT contains(a, :one)", None, VALUES)
    for length in range(len(data)):
        with pytest.raises(ProtocolError):
            decode_condition(data[:length], Placeholders())


def test_every_flipped_byte_is_an_error_of_ours_or_another_expression() -> None:
    data = encode_condition("a IN (:x, b[1].c) AND NOT contains(a, :one)", None, VALUES)
    for at in range(len(data)):
        for byte in range(256):
            mutated = data[:at] + bytes((byte,)) + data[at + 1 :]
            try:
                text = decode_condition(mutated, placeholders := Placeholders())
            except (RequestError, ProtocolError):
                continue
            assert set(re.findall(r"#\d+", text)) == set(placeholders.names)
            assert set(re.findall(r":\d+", text)) == set(placeholders.values)


def test_values_of_an_indefinite_array_are_read() -> None:
    node = b"\x83\x00" + PATH_A + VALUE_0
    placeholders = Placeholders()
    assert decode_condition(condition(node, "9f6178ff"), placeholders) == "#0 = :0"
    assert placeholders.values == {":0": {"S": "x"}}


def test_keys_do_not_depend_on_numbering_leaning_or_the_form_of_numbers() -> None:
    plain = encode_condition("a = :x AND b = :x AND c <> :one", None, VALUES)
    # (a = 1 AND b = 3) AND c <> 2 over ["unused", "x", 1.0 as a float, "x"]
    other = bytes.fromhex(
        "8301"
        "8306"
        "8306"
        "830082126161821101"
        "830082126162821103"
        "830182126163821102"
        "84"
        "66756e75736564"
        "6178"
        "fb3ff0000000000000"
        "6178"
    )
    assert normalized_key(other) == plain == normalized_key(plain)
    assert normalized_key(encode_condition("a = :x AND b = :y", None, VALUES)) != normalized_key(
        encode_condition("a = :y AND b = :x", None, VALUES)
    )
    projection = encode_projection("b, a[0].c", None)
    assert normalized_key(projection) == projection


def test_the_tree_is_open_to_other_readers() -> None:
    tree = read_condition(encode_condition("a = :x", None, VALUES))
    assert tree.values == ({"S": "x"},)
    assert len(tree.terms) == 3


def test_a_name_of_any_text_is_kept() -> None:
    out = bytearray(b"\x83\x01\x82\x0b\x82\x12")
    name = "\u00e4 .[0]#:'\n"
    write_text(out, name)
    write_array(out, 0)
    placeholders = Placeholders()
    assert decode_condition(bytes(out), placeholders) == "attribute_exists(#0)"
    assert placeholders.names == {"#0": name}
