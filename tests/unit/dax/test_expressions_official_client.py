"""Our encoder beside that of AWS's Python client, on a table and on random expressions."""

import re

import pytest
from amazondax import CborSExprGenerator as official
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from paceline.dax.expressions import (
    Placeholders,
    decode_condition,
    decode_projection,
    decode_update,
    encode_condition,
    encode_projection,
    encode_update,
    normalized_key,
)
from paceline.errors import RequestError
from paceline.types import AttributeValue
from tests.support.examples import examples

NAMES = {"#n": "name", "#d": "a.b", "#u": "\u00fc"}
VALUES: dict[str, AttributeValue] = {
    ":n": {"N": "-12"},
    ":s": {"S": "text"},
    ":b": {"B": b"\x00\x01"},
    ":l": {"L": [{"N": "1"}, {"S": "x"}]},
    ":ss": {"SS": ["p", "q"]},
    ":t": {"BOOL": True},
    ":v_2": {"NULL": True},
}

CONDITIONS = [
    "a = :n",
    "#n = :n AND a.#d[0] <> :s",
    "a=:n AND b=:s AND c=:t",
    "a=:n OR b=:s OR c=:t",
    "(a=:n AND b=:s) AND c=:t",
    "a=:n OR b=:s AND c=:t OR d=:n",
    "NOT a=:n AND NOT (b=:s OR NOT NOT c=:t)",
    "(size(a)) >= (:n) AND (b) < c",
    "a IN (:n) OR a in ((:s),b,size(c))",
    "a BETWEEN :n AND :n AND b between size(c) and d",
    "begins_with(a, b) and Contains(a, size(b)) or ATTRIBUTE_TYPE(a, :s)",
    "attribute_exists(:s) AND attribute_not_exists(a[12][3].b)",
    ":n = :s",
    "size=:n",
]
UPDATES = [
    "SET a=:n",
    "set a=:n, b=:s REMOVE c,d[1] ADD e :n DELETE f :ss",
    "REMOVE a SET b=:s, c=:s ADD d :n, e :ss",
    "SET a=(a+:n), b=(a)-(:n), c=(b)",
    "SET a=if_not_exists(#n,:n)+:n",
    "SET a=list_append(if_not_exists(a,:l),(:l))",
    "SET a=if_not_exists(b, if_not_exists(c, :n))",
]
PROJECTIONS = ["a", "a,b.c[0]", "a[0].b[2][3]", "#d.#d, a.#n", "a , b"]

REFUSED = [
    "a=:n b",
    "a=",
    "a=:n AND",
    "(a=:n",
    "((a=:n))",
    "((a))=:n",
    "size(a)",
    "foo(a)",
    "if_not_exists(a,:n)=:n",
    "and=:n",
    "(a=:n)=:s",
    "a IN ()",
    "a BETWEEN :n OR :n",
    "a[00]=:n",
    "#nope=:n",
    "a=:nope",
    "contains(a, begins_with(b, :s))",
    "a='x'",
]

Substitutions = tuple[dict[str, str], dict[str, AttributeValue]]


def used(text: str) -> Substitutions:
    """Only what ``text`` mentions: that client refuses the rest."""
    placeholders = set(re.findall(r"[#:]\w+", text))
    return (
        {k: v for k, v in NAMES.items() if k in placeholders},
        {k: v for k, v in VALUES.items() if k in placeholders},
    )


def check_condition(text: str) -> None:
    names, values = used(text)
    data = encode_condition(text, names, values)
    assert data == official.encode_condition_expression(text, names, values)
    placeholders = Placeholders()
    rendered = decode_condition(data, placeholders)
    again = encode_condition(rendered, placeholders.names, placeholders.values)
    assert again == normalized_key(again) == normalized_key(data)


def check_update(text: str) -> None:
    names, values = used(text)
    data = encode_update(text, names, values)
    assert data == official.encode_update_expression(text, names, values)
    placeholders = Placeholders()
    rendered = decode_update(data, placeholders)
    again = encode_update(rendered, placeholders.names, placeholders.values)
    second = Placeholders()
    # Regrouping the clauses is idempotent; renumbering follows the new order.
    assert substituted(decode_update(again, second), second) == substituted(rendered, placeholders)


def substituted(text: str, placeholders: Placeholders) -> str:
    known = {**placeholders.names, **placeholders.values}
    return re.sub(r"[#:]\d+", lambda match: f"<{known[match[0]]}>", text)


@pytest.mark.parametrize("text", CONDITIONS)
def test_conditions_of_the_table(text: str) -> None:
    check_condition(text)


@pytest.mark.parametrize("text", UPDATES)
def test_updates_of_the_table(text: str) -> None:
    check_update(text)


@pytest.mark.parametrize("text", PROJECTIONS)
def test_projections_of_the_table(text: str) -> None:
    names, _ = used(text)
    data = encode_projection(text, names)
    assert data == official.encode_projection_expression(text, names, None)
    placeholders = Placeholders()
    rendered = decode_projection(data, placeholders)
    assert encode_projection(rendered, placeholders.names) == data


@pytest.mark.parametrize("text", REFUSED)
def test_both_refuse(text: str) -> None:
    names, values = used(text)
    with pytest.raises(RequestError):
        encode_condition(text, names, values)
    with pytest.raises(Exception, match=r"ValidationException|Redundant|not defined|not provided"):
        official.encode_condition_expression(text, names, values)


ELEMENTS = st.sampled_from(["a", "b", "c_1", "Size", "#n", "#d", "#u"])
PATHS = st.builds(
    lambda first, rest: first + "".join(rest),
    ELEMENTS,
    st.lists(
        st.one_of(ELEMENTS.map(lambda e: f".{e}"), st.integers(0, 300).map(lambda i: f"[{i}]")),
        max_size=3,
    ),
)
LITERALS = st.sampled_from(sorted(VALUES))
PLAIN = st.one_of(PATHS, LITERALS, PATHS.map(lambda p: f"size({p})"))
OPERANDS = st.one_of(PLAIN, PLAIN.map(lambda o: f"({o})"))
LEAVES = st.one_of(
    st.builds(
        "{} {} {}".format, OPERANDS, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), OPERANDS
    ),
    st.builds("{} BETWEEN {} AND {}".format, OPERANDS, OPERANDS, OPERANDS),
    st.builds(
        lambda left, listed: f"{left} IN ({', '.join(listed)})",
        OPERANDS,
        st.lists(OPERANDS, min_size=1, max_size=4),
    ),
    st.builds("attribute_exists({})".format, PATHS),
    st.builds("attribute_not_exists({})".format, PATHS),
    st.builds("attribute_type({}, {})".format, PATHS, LITERALS),
    st.builds("begins_with({},{})".format, PATHS, OPERANDS),
    st.builds("contains({} , {})".format, PATHS, OPERANDS),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("{} AND {}".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        inner.map(lambda c: f"NOT {c}"),
        # No second pair around a whole: both sides refuse those.
        inner.map(lambda c: c if c.startswith("(") and c.endswith(")") else f"({c})"),
    ),
    max_leaves=8,
)
UPDATE_OPERANDS = st.recursive(
    st.one_of(PATHS, LITERALS),
    lambda inner: st.builds("if_not_exists({}, {})".format, PATHS, inner),
    max_leaves=3,
)
UPDATE_VALUES = st.one_of(
    UPDATE_OPERANDS,
    st.builds("{} {} {}".format, UPDATE_OPERANDS, st.sampled_from("+-"), UPDATE_OPERANDS),
    st.builds("({} {} ({}))".format, UPDATE_OPERANDS, st.sampled_from("+-"), UPDATE_OPERANDS),
    st.builds("list_append({}, {})".format, UPDATE_OPERANDS, UPDATE_OPERANDS),
)


def clause(keyword: str, actions: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(actions, min_size=1, max_size=3).map(lambda a: f"{keyword} {', '.join(a)}")


UPDATE_EXPRESSIONS = st.lists(
    st.one_of(
        clause("SET", st.builds("{} = {}".format, PATHS, UPDATE_VALUES)),
        clause("REMOVE", PATHS),
        clause("ADD", st.builds("{} {}".format, PATHS, LITERALS)),
        clause("delete", st.builds("{} {}".format, PATHS, LITERALS)),
    ),
    min_size=1,
    max_size=4,
).map(" ".join)

RANDOM = settings(
    max_examples=examples(120),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)


@RANDOM
@given(EXPRESSIONS)
def test_random_conditions(text: str) -> None:
    check_condition(text)


@RANDOM
@given(UPDATE_EXPRESSIONS)
def test_random_updates(text: str) -> None:
    clauses = re.findall(r"\b(?:SET|REMOVE|ADD|DELETE)\b", text.upper())
    assume(len(set(clauses)) == len(clauses))  # DynamoDB refuses others, which the client merges
    check_update(text)
