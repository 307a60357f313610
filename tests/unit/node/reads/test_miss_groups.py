"""Which misses go together, and whose each answer of a batch is."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Any

import pytest

from node.reads.miss_groups import answers_of, grouped, request_of
from node.tables.item_keys import item_key
from node.tables.table_info import TableInfo
from paceline.dynamodb_operations import BATCH_GET_KEYS_MAX
from paceline.types import Item, Key, KeyAttribute, KeySchema

TEXTS = TableInfo("texts", KeySchema(KeyAttribute("id", "S")), "t-1", "ACTIVE", {})
NUMBERS = TableInfo(
    "numbers", KeySchema(KeyAttribute("n", "N"), KeyAttribute("r", "B")), "t-2", "ACTIVE", {}
)
AGAIN = TableInfo("texts", KeySchema(KeyAttribute("id", "N")), "t-3", "ACTIVE", {})
"""The first one, made anew."""


@dataclass(eq=False)
class Asked:
    table: TableInfo
    attributes: Item
    consistent: bool = False
    alone: bool = False

    @property
    def key(self) -> Key:
        return item_key(self.table.name, self.attributes, self.table.schema, "Key")


def text(word: str, **more: Any) -> Asked:
    return Asked(TEXTS, {"id": {"S": word}}, **more)


def number(digits: str, rest: bytes = b"r", **more: Any) -> Asked:
    return Asked(NUMBERS, {"n": {"N": digits}, "r": {"B": rest}}, **more)


def random_misses(rng: random.Random) -> list[Asked]:
    def one() -> Asked:
        consistent, alone = rng.random() < 0.3, rng.random() < 0.05
        match rng.randrange(3):
            case 0:
                return text(str(rng.randrange(300)), consistent=consistent, alone=alone)
            case 1:
                digits = f"{rng.randrange(200)}{rng.choice(['', '.0', '.00', 'E0'])}"
                return number(digits, consistent=consistent, alone=alone)
        return Asked(AGAIN, {"id": {"N": str(rng.randrange(50))}}, consistent, alone)

    return [one() for _ in range(rng.choice([1, 3, 50, 600]))]


def test_every_miss_is_in_one_group_of_its_kind() -> None:
    seed = int(os.environ.get("PACELINE_SEED") or random.randrange(1 << 30))
    print(f"PACELINE_SEED={seed}")
    rng = random.Random(seed)
    for _ in range(200):
        misses = random_misses(rng)
        denied = {"numbers"} if rng.random() < 0.2 else set[str]()
        groups = grouped(misses, denied)
        placed = [miss for group in groups for miss in group.values()]
        assert sorted(map(id, placed)) == sorted(map(id, misses))
        for group in groups:
            assert 0 < len(group) <= BATCH_GET_KEYS_MAX
            assert all(miss.key == key for key, miss in group.items())
            assert len({(id(miss.table), miss.consistent) for miss in group.values()}) == 1
            if len(group) > 1:
                assert not any(miss.alone or miss.table.name in denied for miss in group.values())


def test_those_that_can_go_together_do() -> None:
    some = [text(str(n)) for n in range(BATCH_GET_KEYS_MAX + 7)]
    strong = [text(str(n), consistent=True) for n in range(5)]
    assert [len(group) for group in grouped([*some, *strong], ())] == [BATCH_GET_KEYS_MAX, 7, 5]


def test_one_key_in_two_spellings_does_not_go_into_one_request() -> None:
    groups = grouped([number("1"), number("2"), number("1.0"), number("3")], ())
    assert [len(group) for group in groups] == [3, 1]


def test_the_request_names_the_keys_as_callers_spelled_them() -> None:
    (group,) = grouped([number("1.0", consistent=True), number("2", consistent=True)], ())
    keys = [{"n": {"N": digits}, "r": {"B": b"r"}} for digits in ("1.0", "2")]
    assert request_of(group) == {
        "RequestItems": {"numbers": {"Keys": keys, "ConsistentRead": True}}
    }


def test_each_answer_is_told_by_its_key() -> None:
    seed = int(os.environ.get("PACELINE_SEED") or random.randrange(1 << 30))
    print(f"PACELINE_SEED={seed}")
    rng = random.Random(seed)
    for _ in range(200):
        chosen = rng.sample(range(1000), rng.randint(2, 30))
        (group,) = grouped([number(f"{n}.50", str(n % 3).encode()) for n in chosen], ())
        fates = {key: rng.choice(["there", "absent", "undone"]) for key in group}
        items: list[Item] = [
            {**miss.attributes, "n": {"N": miss.attributes["n"]["N"][:-1]}, "v": {"S": str(key)}}
            for key, miss in group.items()
            if fates[key] == "there"
        ]
        rng.shuffle(items)
        undone = [group[key].attributes for key, fate in fates.items() if fate == "undone"]
        result: dict[str, Any] = {"Responses": {"numbers": items}, "UnprocessedKeys": {}}
        if undone:
            result["UnprocessedKeys"] = {"numbers": {"Keys": undone}}
        told = answers_of(group, result)
        assert told.keys() == {key for key, fate in fates.items() if fate != "undone"}
        for key, item in told.items():
            assert (item is None) == (fates[key] == "absent")
            assert item is None or item["v"] == {"S": str(key)}


A, B, C = ({"id": {"S": word}} for word in "abc")


@pytest.mark.parametrize(
    "result",
    [
        {"Responses": {"texts": [A, C]}},
        {"Responses": {"texts": [A, A]}},
        {"Responses": {"texts": [{"other": {"S": "a"}}]}},
        {"Responses": {"texts": [{"id": {"N": "1"}}]}},
        {"Responses": {"texts": [A], "other": []}},
        {"Responses": {"texts": [A]}, "UnprocessedKeys": {"texts": {"Keys": [A]}}},
        {"Responses": {"texts": []}, "UnprocessedKeys": {"texts": {"Keys": [C]}}},
        {"Responses": {"texts": []}, "UnprocessedKeys": {"other": {"Keys": [A]}}},
    ],
)
def test_what_is_no_answer_to_the_request_tells_of_nothing(result: dict[str, Any]) -> None:
    (group,) = grouped([text("a"), text("b")], ())
    with pytest.raises(ValueError, match="it "):
        answers_of(group, result)


@pytest.mark.parametrize("result", [{}, {"Responses": {}}, {"Responses": None}])
def test_an_answer_that_does_not_mention_the_table_does_not_say_that_items_are_absent(
    result: dict[str, Any],
) -> None:
    (group,) = grouped([text("a"), text("b")], ())
    assert answers_of(group, result) == {}
