"""What queries depend on, and where keys and writes lie."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.queries import BASE, GLOBALS, LOCALS, Dependency, successor
from node.cache.query_keys import IndexKeys, TableKeys
from node.reads.dependencies import dependency_of, narrowed
from paceline.dax.keys import encode_key
from paceline.types import Item, KeyAttribute, KeySchema, KeyType, Params

BY_N = KeySchema(KeyAttribute("h", "S"), KeyAttribute("n", "N"))
GSI = IndexKeys("gsi", True, KeySchema(KeyAttribute("g", "S"), KeyAttribute("h", "S")))
FLAT = IndexKeys("flat", True, KeySchema(KeyAttribute("g", "B")))
LSI = IndexKeys("lsi", False, KeySchema(KeyAttribute("h", "S"), KeyAttribute("l", "B")))
MANY = IndexKeys("many", True, KeySchema(KeyAttribute("g", "S")), compound=True)
KEYS = TableKeys("t", "id", BY_N, [GSI, FLAT, LSI, MANY])
P = KEYS.partition(BASE, {"S": "p"})


def n(text: str) -> bytes:
    return KEYS.sort(BASE, {"N": text})


def query(condition: str | None, index: str | None = None, **values: Any) -> Params:
    params: Params = {"TableName": "t"}
    if condition is not None:
        params["KeyConditionExpression"] = condition
    if index is not None:
        params["IndexName"] = index
    if values:
        params["ExpressionAttributeValues"] = {f":{name}": v for name, v in values.items()}
    return params


def depends(params: Params, operation: str = "Query") -> Dependency:
    return dependency_of(operation, params, KEYS)


HASH = {"S": "p"}
ONE, TWO = {"N": "1"}, {"N": "2.0"}


@pytest.mark.parametrize(
    ("condition", "low", "high"),
    [
        ("h = :p", b"", None),
        ("h = :p AND n = :a", n("1"), successor(n("1"))),
        ("n < :a AND h = :p", b"", n("1")),
        ("h = :p AND n <= :a", b"", successor(n("1"))),
        ("(h = :p) AND (n > :a)", successor(n("1")), None),
        ("h = :p AND n >= :a", n("1"), None),
        ("h = :p AND n BETWEEN :a AND :b", n("1"), successor(n("2"))),
        (":a > n AND :p = h", b"", n("1")),
    ],
)
def test_key_conditions(condition: str, low: bytes, high: bytes | None) -> None:
    found = depends(query(condition, p=HASH, a=ONE, b=TWO))
    assert found == Dependency("t", partition=P, low=low, high=high)


def test_prefixes_of_strings_and_binaries() -> None:
    params = query("h = :p AND begins_with(l, :a)", "lsi", p=HASH, a={"B": b"a\xff"})
    assert depends(params) == Dependency("t", "lsi", partition=P, low=b"a\xff", high=b"b")
    params = query("g = :p AND begins_with(h, :a)", "gsi", p=HASH, a={"S": "é"})
    found = depends(params)
    assert found.is_global
    assert (found.low, found.high) == (b"\xc3\xa9", b"\xc3\xaa")


def test_names_and_spellings_do_not_matter() -> None:
    named = query("#a = :p AND #b = :a", p=HASH, a={"N": "1.00"})
    named["ExpressionAttributeNames"] = {"#a": "h", "#b": "n"}
    assert depends(named) == depends(query("h = :p AND n = :a", p=HASH, a=ONE))


@pytest.mark.parametrize(
    "params",
    [
        query(None),
        {"TableName": "t", "KeyConditions": {"h": {"ComparisonOperator": "EQ"}}},
        query("n = :a", a=ONE),
        query("h > :p", p=HASH),
        query("h = :p AND x = :a", p=HASH, a=ONE),
        query("h = :p AND n = :a AND n < :b", p=HASH, a=ONE, b=TWO),
        query("h = :p OR n = :a", p=HASH, a=ONE),
        query("h = :p AND size(n) = :a", p=HASH, a=ONE),
        query("h = :p AND n <> :a", p=HASH, a=ONE),
        query("h.x = :p", p=HASH),
        query("h = :p AND h = :p", p=HASH),
        query("h = :p AND n IN (:a)", p=HASH, a=ONE),
        query("this is no expression"),
        query("h = :p", p={"N": "1"}),
        query("h = :p AND n = :a", p=HASH, a={"N": "no number"}),
        query("h = :missing"),
    ],
)
def test_what_is_not_understood_depends_on_all(params: Params) -> None:
    assert depends(params) == Dependency("t")


def test_a_scan_and_an_index_of_compound_keys_depend_on_all() -> None:
    assert depends(query(None, "gsi"), "Scan") == Dependency("t", "gsi", is_global=True)
    assert depends(query("g = :p", "many", p=HASH)) == Dependency("t", "many", is_global=True)


# -- pages --------------------------------------------------------------------------------------


def start(sort: str) -> Params:
    return {"ExclusiveStartKey": {"h": HASH, "n": {"N": sort}}}


def test_a_page_depends_on_what_lies_behind_its_start() -> None:
    params = query("h = :p AND n >= :a", p=HASH, a=ONE) | start("5")
    assert depends(params).low == successor(n("5"))
    assert depends(params | {"ScanIndexForward": False}).high == n("5")
    early = query("h = :p AND n >= :a", p=HASH, a={"N": "7"}) | start("5")
    assert depends(early).low == n("7")
    local = query("h = :p", "lsi", p=HASH)
    local["ExclusiveStartKey"] = {"h": HASH, "n": ONE, "l": {"B": b"x"}}
    assert depends(local).low == b"x", "other items may have the same sort value"
    assert depends(local | {"ScanIndexForward": False}).high == b"x\x00"
    assert depends(query("h = :p", p=HASH) | {"ExclusiveStartKey": {"n": HASH}}).partition is None


def page(scanned: int, last: Params | None) -> Params:
    return {"ScannedCount": scanned} | ({} if last is None else {"LastEvaluatedKey": last})


def test_where_no_order_is_known_nothing_is_cut_off() -> None:
    """Of an index without a sort key, and at a boundary that is none."""
    flat = query("g = :p", "flat", p={"B": b"x"})
    whole = depends(flat)
    assert whole.partition is not None
    start = {"g": {"B": b"x"}, "h": HASH, "n": ONE}
    assert depends({**flat, "ExclusiveStartKey": start}) == whole
    ended = {"LastEvaluatedKey": start, "ScannedCount": 1}
    assert narrowed(whole, {**flat, "Limit": 1}, ended, KEYS) == whole
    table = query("h = :p", p=HASH)
    odd = {"LastEvaluatedKey": {"h": HASH, "n": {"S": "no number"}}, "ScannedCount": 1}
    assert narrowed(depends(table), {**table, "Limit": 1}, odd, KEYS) == depends(table)


def test_a_boundary_outside_of_what_was_asked_for_widens_nothing() -> None:
    asked = query("h = :p AND n BETWEEN :a AND :b", p=HASH, a=ONE, b=TWO)
    whole = depends(asked)
    for text, forward in (("9", True), ("0", False)):
        params = {**asked, "ScanIndexForward": forward, "Limit": 1}
        key = {"h": HASH, "n": {"N": text}}
        ended = {"LastEvaluatedKey": key, "ScannedCount": 1}
        assert narrowed(whole, params, ended, KEYS) == whole
        outside = {"h": HASH, "n": {"N": "0" if forward else "9"}}
        assert (
            depends({**asked, "ScanIndexForward": forward, "ExclusiveStartKey": outside}) == whole
        )


def test_a_page_that_its_limit_ended_depends_on_what_it_read() -> None:
    params = query("h = :p", p=HASH) | {"Limit": 3}
    last = {"h": HASH, "n": {"N": "5"}}
    whole = depends(params)
    assert narrowed(whole, params, page(3, last), KEYS).high == successor(n("5"))
    backward = params | {"ScanIndexForward": False}
    assert narrowed(whole, backward, page(3, last), KEYS).low == n("5")
    assert narrowed(whole, params, page(2, last), KEYS) == whole, "it ended for its size"
    assert narrowed(whole, params, page(3, None), KEYS) == whole
    unlimited = query("h = :p", p=HASH)
    assert narrowed(whole, unlimited, page(3, last), KEYS) == whole
    scan = Dependency("t")
    assert narrowed(scan, params, page(3, last), KEYS) == scan


# -- keys ---------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
NUMBERS = st.one_of(
    st.integers(-(10**37), 10**37).map(str),
    st.decimals(-1000, 1000, places=5).map(str),
    st.sampled_from(["1E-100", "-1E-100", "1E100", "-1E100", "0"]),
)
VALUES: dict[KeyType, st.SearchStrategy[Any]] = {
    "S": TEXT | st.just("x" * 300) | st.just("y" * 70_000),
    "N": NUMBERS,
    "B": st.binary(min_size=1, max_size=300),
}


@pytest.mark.parametrize("of_hash", VALUES)
@pytest.mark.parametrize("of_range", [*VALUES, None])
def test_a_key_lies_where_its_values_say(of_hash: KeyType, of_range: KeyType | None) -> None:
    part = None if of_range is None else KeyAttribute("r", of_range)
    keys = TableKeys("t", "", KeySchema(KeyAttribute("h", of_hash), part), [])

    @given(VALUES[of_hash], VALUES[of_range or "S"])
    def check(hash_value: Any, range_value: Any) -> None:
        item: Item = {"h": {of_hash: hash_value}}
        if of_range is not None:
            item["r"] = {of_range: range_value}
        partition, sort = keys.split(encode_key(keys.schema, item))
        assert partition == keys.partition(BASE, item["h"])
        assert sort == (keys.sort(BASE, item["r"]) if of_range is not None else b"")

    check()


@pytest.mark.parametrize("key", [b"", b"\x65abc", b"\x79\x01", b"\x7f", b"\xff\xff", b"\xf9"])
def test_bytes_that_are_no_key_concern_the_whole_table(key: bytes) -> None:
    for kind in VALUES:
        keys = TableKeys("t", "", KeySchema(KeyAttribute("h", kind), KeyAttribute("r", "S")), [])
        change = keys.change(key, None)
        assert change.touches is None or change.touches[0].name == BASE


def test_the_digest_tells_descriptions_apart() -> None:
    again = TableKeys("t", "id", BY_N, [MANY, LSI, FLAT, GSI])
    assert again.digest == KEYS.digest
    others = [
        TableKeys("t", "id-2", BY_N, [GSI, FLAT, LSI, MANY]),
        TableKeys("t", "id", BY_N, [GSI, FLAT, LSI]),
        TableKeys("t", "id", KeySchema(BY_N.hash), [GSI, FLAT, LSI, MANY]),
        TableKeys("t", "id", BY_N, [IndexKeys("gsi", False, GSI.schema), FLAT, LSI, MANY]),
    ]
    assert len({KEYS.digest, *(other.digest for other in others)}) == 5


def test_what_a_write_changes_where_its_effect_is_not_known() -> None:
    key = encode_key(BY_N, {"h": HASH, "n": ONE})
    base = IndexTouch(BASE, P, n("1"))
    for effect in (None, Effect(KEYS.digest, None)):
        change = KEYS.change(key, effect)
        assert change.touches == (base, IndexTouch(GLOBALS), IndexTouch(LOCALS, P))
        assert ("t", GLOBALS, None) in change.scopes
    assert KEYS.change(key, Effect(KEYS.digest, ())).touches == (base,)
    strange = KEYS.change(key, Effect(KEYS.digest, (IndexTouch("strange"),)))
    assert strange.touches is None
    assert KEYS.change(key, Effect(KEYS.digest + 1, ())).touches is None
