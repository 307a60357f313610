"""Text -> bytes: the clients' captured bytes, the grammar, and what is refused in which words."""

import time

import pytest

from paceline.dax.expressions import (
    Parameter,
    encode_condition,
    encode_projection,
    encode_update,
    normalized_key,
    parse_projection,
    require_all_used,
)
from paceline.dax.expressions.tree import EXPRESSION_BYTES_MAX
from paceline.errors import RequestError
from paceline.types import AttributeValue

VALUES: dict[str, AttributeValue] = {
    ":one": {"N": "1"},
    ":two": {"N": "2"},
    ":nine": {"N": "9"},
    ":ten": {"N": "10"},
    ":x": {"S": "x"},
    ":y": {"S": "y"},
    ":G": {"S": "G"},
    ":k": {"S": "k"},
    ":k3": {"S": "k3"},
    ":k4": {"S": "k4"},
    ":N": {"S": "N"},
    ":Q": {"S": "Q"},
    ":v": {"S": "v"},
    ":empty": {"L": []},
    ":list": {"L": [{"S": "i"}]},
    ":set": {"SS": ["q"]},
}

EVERY_OPERATOR = (
    "attribute_not_exists(pk) OR q BETWEEN :one AND :nine AND s IN (:x, :y) AND "
    "NOT contains(ss, :x) AND size(s) > :one AND begins_with(s, :x) AND "
    "attribute_type(q, :N) AND q <> :one"
)


@pytest.mark.parametrize(
    ("text", "captured"),
    [
        ("attribute_not_exists(pk)", "8301820c821262706b80"),
        ("attribute_exists(pk)", "8301820b821262706b80"),
        ("pk = :Q AND sk >= :ten", "830183068300821262706b8211008303821262736b8211018261510a"),
        ("pk = :Q", "83018300821262706b821100816151"),
        ("v > :two", "83018304821261768211008102"),
        (
            "g = :G AND begins_with(sk, :k)",
            "83018306830082126167821100830e821262736b821101826147616b",
        ),
        ("g = :G", "8301830082126167821100816147"),
        (
            "g = :G AND sk IN (:k3, :k4)",
            "83018306830082126167821100830a821262736b82821101821102836147626b33626b34",
        ),
    ],
)
def test_conditions_have_the_bytes_that_official_clients_sent(text: str, captured: str) -> None:
    assert encode_condition(text, None, VALUES).hex() == captured


def test_every_operator_means_what_the_javascript_client_sent() -> None:
    # Its chains lean to the left, which is the same condition with other bytes.
    captured = (
        "83018307820c821262706b830683068306830683068306840982126171821100821101830a82126173828211"
        "028211038208830f82126273738211028304821082126173821104830e82126173821102830d821261718211"
        "058301821261718211048601096178617901614e"
    )
    ours = encode_condition(EVERY_OPERATOR, None, VALUES)
    assert normalized_key(bytes.fromhex(captured)) == normalized_key(ours)


@pytest.mark.parametrize(
    ("text", "captured"),
    [
        (
            "SET q = q + :one, x.y = :v, lst = list_append(if_not_exists(lst, :empty), :list) "
            "REMOVE zz ADD cnt :one, sset :set DELETE dset :set",
            "83018783138212617183181982126171821100831383126178617982110183138212636c737483181883"
            "178212636c737482110282110382168212627a7a8314821263636e748211008314821264737365748211"
            "048315821264647365748211048501617680816169d90cf9816171",
        ),
        ("SET q = q - :two", "83018183138212617183181a82126171821100" + "8102"),
        ("SET q = :two, w = :two", "8301828313821261718211008313821261778211008102"),
    ],
)
def test_updates_have_the_bytes_that_the_python_client_sent(text: str, captured: str) -> None:
    assert encode_update(text, None, VALUES).hex() == captured


def test_a_projection_has_the_bytes_that_official_clients_sent() -> None:
    text = "pk, m.l[2], m.l[0], #n, l[1], missing.x"
    assert encode_projection(text, {"#n": "n"}).hex() == (
        "820186821262706b8412616d616cd90cfc028412616d616cd90cfc008212616e8312616cd90cfc01"
        "8312676d697373696e676178"
    )
    assert parse_projection(text, {"#n": "n"}) == (
        ("pk",),
        ("m", "l", 2),
        ("m", "l", 0),
        ("n",),
        ("l", 1),
        ("missing", "x"),
    )


@pytest.mark.parametrize(
    ("short", "explicit"),
    [
        ("a = :x OR b = :x AND c = :x", "a = :x OR (b = :x AND c = :x)"),
        ("a = :x AND b = :x OR c = :x", "(a = :x AND b = :x) OR c = :x"),
        ("NOT a = :x AND b = :x", "(NOT (a = :x)) AND b = :x"),
        ("NOT NOT a = :x", "NOT (NOT (a = :x))"),
        ("a = :x AND b = :x AND c = :x", "a = :x AND (b = :x AND c = :x)"),
        ("a BETWEEN :x AND :y AND b = :x", "(a BETWEEN :x AND :y) AND (b = :x)"),
        ("a between size(b) and :y or b = :x", "((a) BETWEEN (size(b)) AND (:y)) OR b = :x"),
        ("SIZE(a)>:x and Attribute_Exists(b)", "(size(a)) > (:x) AND attribute_exists(b)"),
        ("a\n.b [ 0 ]\t=:x", "a.b[0] = :x"),
        ("NOT(a IN(:x,size(b)))", "NOT a IN ((:x), (size(b)))"),
        ("size = :x", "#size = :x"),
    ],
)
def test_precedence_case_and_blanks(short: str, explicit: str) -> None:
    names = {"#size": "size"}
    assert encode_condition(short, names, VALUES) == encode_condition(explicit, names, VALUES)


@pytest.mark.parametrize(
    ("short", "explicit"),
    [
        ("set a=a+:one", "SET a = (a + :one)"),
        ("SET a = a+:one remove b", "SET a = (a) + (:one) REMOVE b"),
        ("SET a=list_append(a,:list)", "SET a = (LIST_APPEND((a), (:list)))"),
    ],
)
def test_updates_with_parenthesised_operands(short: str, explicit: str) -> None:
    assert encode_update(short, None, VALUES) == encode_update(explicit, None, VALUES)


def test_substituted_names_are_one_element_whatever_they_contain() -> None:
    assert parse_projection("#a.#b[1].c", {"#a": "x.y", "#b": "z[0]"}) == (("x.y", "z[0]", 1, "c"),)


SYNTAX_ERRORS = [
    ("a = :x b", "b", ":x b"),
    ("a =", "<EOF>", "="),
    ("a = :x AND", "<EOF>", "AND"),
    ("(a = :x AND b = :x", "<EOF>", ":x"),
    ("a = :x)", ")", ":x)"),
    ("a", "<EOF>", "a"),
    ("a AND b = :x", "AND", "a AND b"),
    ("(a = :x) = :y", "=", ") = :y"),
    ("a = :x = :y", "=", ":x = :y"),
    ("a = 'x'", "'", "= 'x"),
    ("and = :x", "and", "and ="),
    ("a.and = :x", "and", ".and ="),
    ("_a = :x", "_", "_a"),
    ("1a = :x", "1", "1a"),
    ("a[00] = :x", "0", "00]"),
    ("a[] = :x", "]", "[] ="),
    ("a[-1] = :x", "-", "[-1"),
    ("a.0 = :x", "0", ".0 ="),
    ("a IN :x", ":x", "IN :x"),
    ("a IN ()", ")", "()"),
    ("a IN (:x, b = :y)", "=", "b = :y"),
    ("a IN (:x AND :y)", "AND", ":x AND :y"),
    ("a BETWEEN :x", "<EOF>", ":x"),
    ("a BETWEEN :x OR :y", "OR", ":x OR :y"),
    ("a BETWEEN (b = :x) AND :y", "AND", ") AND :y"),
    ("(:x, :y)", ",", ":x, :y"),
    ("contains(a, NOT b)", "NOT", ", NOT b"),
    ("contains(a, (b = :x))", ")", "))"),
    ("size() = :x", ")", "() ="),
    ("NOT a", "<EOF>", "a"),
    ("a + :x = :y", "+", "a + :x"),
    ("SET a = :x", "SET", "SET a"),
    ("a = :x, b = :y", ",", ":x, b"),
    ("a = \u00e4", "\u00e4", "= \u00e4"),
]


@pytest.mark.parametrize(("text", "token", "near"), SYNTAX_ERRORS)
def test_a_syntax_error_names_the_token_and_what_is_near(text: str, token: str, near: str) -> None:
    with pytest.raises(RequestError) as caught:
        encode_condition(text, None, VALUES, "FilterExpression")
    assert caught.value.name == "ValidationException"
    assert caught.value.message == (
        f'Invalid FilterExpression: Syntax error; token: "{token}", near: "{near}"'
    )


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("SET a", "<EOF>"),
        ("SET a = :x,", "<EOF>"),
        ("SET a = :x REMOVE", "<EOF>"),
        ("SET a = a + :one - :two", "-"),
        ("SET a = (a + :one) + :two", "+"),
        ("SET a = (a, b)", ","),
        ("SET a = list_append(a + :one, :list)", "+"),
        ("SET a = list_append((a + :one), :list)", ","),
        ("SET a = b = :x", "="),
        ("SET a = NOT b", "NOT"),
        ("SET a = a AND b", "AND"),
        ("SET :x = :x", ":x"),
        ("ADD a b", "b"),
        ("DELETE a", "<EOF>"),
        ("REMOVE a = :x", "="),
        ("a = :x", "a"),
        ("SET a = :x)", ")"),
    ],
)
def test_syntax_errors_of_updates(text: str, token: str) -> None:
    with pytest.raises(RequestError, match="Invalid UpdateExpression: Syntax error") as caught:
        encode_update(text, None, VALUES)
    assert f'token: "{token}"' in caught.value.message


@pytest.mark.parametrize("text", ["a,", "a b", "(a)", "a[0", ":x", "a,,b", "size(a)"])
def test_syntax_errors_of_projections(text: str) -> None:
    with pytest.raises(RequestError, match="Invalid ProjectionExpression: Syntax error"):
        encode_projection(text, None)


@pytest.mark.parametrize(
    ("text", "parameter", "problem"),
    [
        ("", "ConditionExpression", "The expression can not be empty;"),
        (" \n", "ConditionExpression", "The expression can not be empty;"),
        ("((a = :x))", "ConditionExpression", "The expression has redundant parentheses;"),
        ("((a)) = :x", "FilterExpression", "The expression has redundant parentheses;"),
        (
            "#nope = :x",
            "ConditionExpression",
            "An expression attribute name used in the document path is not defined; "
            "attribute name: #nope",
        ),
        (
            "a = :nope",
            "KeyConditionExpression",
            "An expression attribute value used in expression is not defined; "
            "attribute value: :nope",
        ),
        ("foo(a)", "ConditionExpression", "Invalid function name; function: foo"),
        (
            "attribute_exists(a, b)",
            "ConditionExpression",
            "Incorrect number of operands for operator or function; operator or function: "
            "attribute_exists, number of operands: 2",
        ),
        (
            "size(a)",
            "ConditionExpression",
            "The function is not allowed to be used this way in an expression; function: size",
        ),
        (
            "attribute_exists(a) = :x",
            "ConditionExpression",
            "The function is not allowed to be used this way in an expression; "
            "function: attribute_exists",
        ),
        (
            "contains(a, begins_with(b, :x))",
            "ConditionExpression",
            "The function is not allowed to be used this way in an expression; "
            "function: begins_with",
        ),
        (
            "if_not_exists(a, :x) = :x",
            "FilterExpression",
            "The function is not allowed in a filter expression; function: if_not_exists",
        ),
        (
            "a[2147483648] = :x",
            "ConditionExpression",
            "List index is not within the allowable range; index: [2147483648]",
        ),
        (
            "a = :x AND " * 400 + "b = :y",
            "ConditionExpression",
            "Expression size has exceeded the maximum allowed size; expression size: 4406",
        ),
    ],
)
def test_semantic_errors_of_conditions(text: str, parameter: Parameter, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        encode_condition(text, None, VALUES, parameter)
    assert caught.value.message == f"Invalid {parameter}: {problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "The expression can not be empty;"),
        ("SET a = ((a + :one))", "The expression has redundant parentheses;"),
        ("SET a = size(b)", "The function is not allowed in an update expression; function: size"),
        (
            "SET a = if_not_exists(b)",
            "Incorrect number of operands for operator or function; operator or function: "
            "if_not_exists, number of operands: 1",
        ),
    ],
)
def test_semantic_errors_of_updates(text: str, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        encode_update(text, None, VALUES)
    assert caught.value.message == f"Invalid UpdateExpression: {problem}"


@pytest.mark.parametrize(
    "text",
    [
        " AND ".join(["a=:x"] * 300),
        "NOT " * 1000 + "a=:x",
        "(a=:x OR b=:x AND " * 150 + "a=:x" + ")" * 150,
        "NOT(" * 500 + "a=:x" + ")" * 500,
        "size(" * 600 + "a" + ")" * 600 + "=:x",
    ],
)
def test_depth_up_to_the_size_limit_is_parsed_without_recursion(text: str) -> None:
    assert len(text) <= EXPRESSION_BYTES_MAX
    started = time.process_time()
    assert encode_condition(text, None, VALUES)
    assert time.process_time() - started < 5


def test_parentheses_without_end_are_a_syntax_error() -> None:
    with pytest.raises(RequestError, match="Syntax error"):
        encode_condition("(" * EXPRESSION_BYTES_MAX, None, VALUES)


def test_unused_placeholders_are_refused_over_all_expressions_of_a_request() -> None:
    texts = ["#a = :x", "SET #b = :y"]
    require_all_used(texts, {"#a": "a", "#b": "b"}, {":x": {}, ":y": {}})
    require_all_used([], None, None)
    with pytest.raises(RequestError) as caught:
        require_all_used(texts, {"#a": "a", "#c": "c"}, None)
    assert caught.value.message == (
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#c}"
    )
    with pytest.raises(RequestError, match=r"ExpressionAttributeValues unused .*\{:v, :w\}"):
        require_all_used(texts, None, {":x": {}, ":w": {}, ":v": {}})
