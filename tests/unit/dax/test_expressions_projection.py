"""Projections by ordinal and as DynamoDB returns them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.dax.expressions import (
    Path,
    apply_projection,
    encode_projection,
    parse_projection,
    project,
    projection_paths,
    unproject,
)
from paceline.errors import ProtocolError, RequestError
from paceline.types import AttributeValue, Item


def n(number: int) -> AttributeValue:
    return {"N": str(number)}


ITEM: Item = {
    "pk": {"S": "a"},
    "n": n(1),
    "l": {"L": [n(0), {"S": "z"}, n(2)]},
    "m": {"M": {"l": {"L": [n(10), n(20), n(30)]}, "k": {"S": "v"}, "deep": {"M": {"x": n(1)}}}},
    "rows": {"L": [{"M": {"a": n(1), "b": n(2)}}, {"M": {"b": n(3)}}, {"M": {"a": n(4)}}]},
    "grid": {"L": [{"L": [n(0), n(1)]}, {"L": [n(2), n(3)]}]},
    "x.y": {"S": "dotted"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pk", {"pk": {"S": "a"}}),
        ("nope", {}),
        ("pk.x, n[0], nope.x, l.x, m[0]", {}),
        ("l[2], l[0]", {"l": {"L": [n(0), n(2)]}}),
        ("l[9], l[1]", {"l": {"L": [{"S": "z"}]}}),
        ("l[9]", {}),
        ("m.l[2], m.k, m.l[0]", {"m": {"M": {"l": {"L": [n(10), n(30)]}, "k": {"S": "v"}}}}),
        ("m.nope", {}),
        ("m.deep", {"m": {"M": {"deep": {"M": {"x": n(1)}}}}}),
        (
            "rows[0].a, rows[1].a, rows[2].a",
            {"rows": {"L": [{"M": {"a": n(1)}}, {"M": {"a": n(4)}}]}},
        ),
        (
            "rows[0].b, rows[0].a, rows[1]",
            {"rows": {"L": [{"M": {"a": n(1), "b": n(2)}}, {"M": {"b": n(3)}}]}},
        ),
        (
            "grid[1][1], grid[0][1], grid[1][0]",
            {"grid": {"L": [{"L": [n(1)]}, {"L": [n(2), n(3)]}]}},
        ),
        ("#d, pk", {"x.y": {"S": "dotted"}, "pk": {"S": "a"}}),
    ],
)
def test_a_projection_is_what_dynamodb_returns(text: str, expected: Item) -> None:
    paths = parse_projection(text, {"#d": "x.y"})
    assert apply_projection(ITEM, paths) == expected


def test_ordinals_are_positions_of_paths_and_missing_ones_are_absent() -> None:
    paths = parse_projection("pk, m.l[2], m.l[0], n, l[1], missing.x", None)
    ordinals = project(ITEM, paths)
    assert ordinals == {0: {"S": "a"}, 1: n(30), 2: n(10), 3: n(1), 4: {"S": "z"}}
    assert unproject(ordinals, paths) == {
        "pk": {"S": "a"},
        "m": {"M": {"l": {"L": [n(10), n(30)]}}},
        "n": n(1),
        "l": {"L": [{"S": "z"}]},
    }


def test_a_large_list_keeps_numeric_order() -> None:
    item: Item = {"l": {"L": [n(i) for i in range(30)]}}
    assert apply_projection(item, [("l", 10), ("l", 2), ("l", 29)]) == {
        "l": {"L": [n(2), n(10), n(29)]}
    }


def test_the_item_is_left_as_it_was() -> None:
    before = repr(ITEM)
    paths: list[Path] = [("m", "l", 0), ("m",), ("m", "k"), ("rows", 0, "a"), ("rows",)]
    result = apply_projection(ITEM, paths)
    assert result == {"m": ITEM["m"], "rows": ITEM["rows"]}
    assert repr(ITEM) == before


def test_ordinals_that_cannot_be_are_refused() -> None:
    for ordinals in ({1: n(1)}, {-1: n(1)}):
        with pytest.raises(ProtocolError, match="ordinal"):
            unproject(ordinals, [("a",)])
    with pytest.raises(ProtocolError, match="a list and a map"):
        unproject({0: n(1), 1: n(2)}, [("a", "b"), ("a", 0)])


@pytest.mark.parametrize(
    ("text", "how", "one", "two"),
    [
        ("a, a", "overlap", "a", "a"),
        ("a, a.b", "overlap", "a", "a, b"),
        ("a.b[1].c, a", "overlap", "a, b, [1], c", "a"),
        ("b, a[0], a[0].x", "overlap", "a, [0]", "a, [0], x"),
        ("a.b, a[0]", "conflict", "a, b", "a, [0]"),
        ("a[3].q, a.b.c", "conflict", "a, [3], q", "a, b, c"),
    ],
)
def test_paths_that_overlap_or_conflict_are_refused(
    text: str, how: str, one: str, two: str
) -> None:
    with pytest.raises(RequestError) as caught:
        projection_paths(encode_projection(text, None))
    assert caught.value.name == "ValidationException"
    assert caught.value.message == (
        f"Invalid ProjectionExpression: Two document paths {how} with each other; must remove or "
        f"rewrite one of these paths; path one: [{one}], path two: [{two}]"
    )


LEAVES = st.integers(0, 99).map(n)
VALUES: st.SearchStrategy[AttributeValue] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda m: {"M": m}),
        st.lists(inner, max_size=4).map(lambda items: {"L": items}),
    ),
    max_leaves=12,
)
ITEMS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
PATHS = st.tuples(
    st.sampled_from("abc"),
    st.lists(st.one_of(st.sampled_from("abc"), st.integers(0, 4)), max_size=3),
).map(lambda p: (p[0], *p[1]))


def reference(value: AttributeValue, paths: list[Path]) -> AttributeValue | None:
    """The projection by its definition: keep what some path names, drop everything else."""
    if () in paths:
        return value
    if "M" in value:
        kept = {
            name: part
            for name, inner in value["M"].items()
            if (part := reference(inner, [p[1:] for p in paths if p[0] == name])) is not None
        }
        return {"M": kept} if kept else None
    if "L" in value:
        parts = [
            reference(inner, [p[1:] for p in paths if p[0] == index])
            for index, inner in enumerate(value["L"])
        ]
        return (
            {"L": [p for p in parts if p is not None]}
            if any(p is not None for p in parts)
            else None
        )
    return None


@given(ITEMS, st.lists(PATHS, max_size=6))
def test_projections_agree_with_their_definition(item: Item, paths: list[Path]) -> None:
    expected = reference({"M": item}, paths) if paths else None
    assert apply_projection(item, paths) == (expected or {"M": {}})["M"]
