"""The Enhanced client of Java's SDK v2 (2.31.50) above ``amazon-dax-client`` 2.0.5.

The same calls go through a cluster and straight to DynamoDB, by two processes of one program.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.java_client import JavaClient
from tests.support.js_client import JsError
from tests.support.twins import Twins, schema

pytestmark = pytest.mark.full

SORT_KEYS = (-1_000_000, -100, -10, -1, 0, 1, 7, 10, 100, 110, 1_000, 2_000_000_000)
"""Integers that beans hold; most have trailing zeros, which the wire's form of numbers may drop."""
REPEATS = ("a miss", "a hit")

_partitions = (f"p{number}" for number in itertools.count())


class Enhanced:
    """Both sides, and the table of each."""

    def __init__(self, through: JavaClient, straight: JavaClient, twins: Twins) -> None:
        self._sides = (
            (through, twins.cached.names["range"]),
            (straight, twins.direct.names["range"]),
        )

    def same(self, method: str, **asked: Any) -> Any:
        """What both sides answered, results or names of errors."""
        outcomes = []
        for client, table in self._sides:
            try:
                outcomes.append(client.call(method, {"table": table, **asked}))
            except JsError as error:
                outcomes.append(error.code)
        through, straight = map(in_order, outcomes)
        assert through == straight, f"{method}({asked}): {outcomes}"
        return through


def in_order(value: Any) -> Any:
    """Results with their sets sorted."""
    match value:
        case dict():
            return {
                name: sorted(member) if name == "numbers" else in_order(member)
                for name, member in value.items()
            }
        case list():
            return [in_order(member) for member in value]
    return value


@pytest.fixture(scope="module")
def enhanced(cluster: Cluster, plain: Any) -> Iterator[Enhanced]:
    twins = Twins(None, plain)
    twins.create("range", **schema("range"))
    with (
        JavaClient(cluster.dax, kind="java-enhanced") as through,
        JavaClient(cluster.dynamodb, kind="java-enhanced") as straight,
    ):
        yield Enhanced(through, straight, twins)
    twins.drop_all()


@pytest.fixture
def partition(enhanced: Enhanced) -> str:
    name = next(_partitions)
    for number in SORT_KEYS:
        enhanced.same("put", row=row(name, number))
    return name


def row(partition: str, number: int) -> dict[str, Any]:
    return {
        "pk": partition,
        "sk": number,
        "g": f"g-{partition}",
        "v": number * 10,
        "n": 10_000_000_000 + number,
        "flag": number > 0,
        "numbers": sorted({number, number + 10}),
        "list": ["x", str(number)],
        "map": {"ten": 10, "same": number},
    }


@pytest.mark.parametrize("number", SORT_KEYS)
def test_get_update_and_delete(enhanced: Enhanced, partition: str, number: int) -> None:
    for consistent in (False, False, True):
        found = enhanced.same("get", pk=partition, sk=number, consistent=consistent)
        assert found["sk"] == number
    changed = {"pk": partition, "sk": number, "v": 100}
    assert enhanced.same("update", row=changed, ignoreNulls=True)["n"] == 10_000_000_000 + number
    assert "n" not in enhanced.same("update", row=changed, ignoreNulls=False)
    assert enhanced.same("delete", pk=partition, sk=number)["v"] == 100
    assert enhanced.same("get", pk=partition, sk=number) is None


@pytest.mark.parametrize("limit", [None, 1, 5])
@pytest.mark.parametrize("forward", [True, False])
def test_queries(enhanced: Enhanced, partition: str, forward: bool, limit: int | None) -> None:
    paged = {} if limit is None else {"limit": limit}
    for _ in REPEATS:
        found = enhanced.same("query", pk=partition, forward=forward, **paged)
        numbers = [item["sk"] for page in found["pages"] for item in page]
        assert numbers == sorted(SORT_KEYS, reverse=not forward)


@pytest.mark.parametrize("limit", [None, 2])
def test_ranges_filters_and_projections(
    enhanced: Enhanced, partition: str, limit: int | None
) -> None:
    asked = {"pk": partition} if limit is None else {"pk": partition, "limit": limit}
    for _ in REPEATS:
        found = enhanced.same("query", **asked, **{"from": -10, "to": 100})
        assert [item["sk"] for page in found["pages"] for item in page] == [
            number for number in SORT_KEYS if -10 <= number <= 100
        ]
        enhanced.same("query", **asked, least=100)
        lean = enhanced.same("query", **asked, attributes=True)
        assert all(set(item) == {"pk", "sk", "v"} for page in lean["pages"] for item in page)


def test_an_index_with_an_integer_sort_key(enhanced: Enhanced, partition: str) -> None:
    for limit in (100, 3):
        for _ in REPEATS:
            asked = {"index": "global", "pk": f"g-{partition}", "limit": limit}
            found = enhanced.same("queryIndex", **asked)
            assert [item["sk"] for page in found["pages"] for item in page] == list(SORT_KEYS)


def test_scans(enhanced: Enhanced, partition: str) -> None:
    for limit in (1_000, 7):
        for _ in REPEATS:
            found = enhanced.same("scan", limit=limit)
            mine = [i["sk"] for page in found["pages"] for i in page if i["pk"] == partition]
            assert sorted(mine) == list(SORT_KEYS)


def test_batches(enhanced: Enhanced, partition: str) -> None:
    keys = [{"pk": partition, "sk": number} for number in SORT_KEYS]
    for client, table in enhanced._sides:
        for _ in REPEATS:
            found = in_order(client.call("batchGet", {"table": table, "keys": keys})["rows"])
            expected = [row(partition, number) for number in SORT_KEYS]
            assert sorted(found, key=lambda item: item["sk"]) == expected
    wrote = enhanced.same("batchWrite", rows=[row(partition, 20)], keys=keys[:2])
    assert wrote == {"unprocessed": 0}
    assert enhanced.same("get", pk=partition, sk=20) == row(partition, 20)
    assert enhanced.same("get", **keys[0]) is None


def test_transactions(enhanced: Enhanced, partition: str) -> None:
    keys = [{"pk": partition, "sk": number} for number in SORT_KEYS]
    enhanced.same("transactWrite", rows=[row(partition, 3_000)], keys=keys[:1])
    found = enhanced.same("transactGet", keys=[*keys, {"pk": partition, "sk": 3_000}])["rows"]
    assert found[0] is None
    assert found[1:] == [row(partition, number) for number in (*SORT_KEYS[1:], 3_000)]


def test_a_failed_condition(enhanced: Enhanced, partition: str) -> None:
    there = row(partition, SORT_KEYS[0])
    failed = enhanced.same("putUnlessThere", row=there)
    assert failed == "ConditionalCheckFailedException"
    assert enhanced.same("putUnlessThere", row=row(partition, 5)) == {}
