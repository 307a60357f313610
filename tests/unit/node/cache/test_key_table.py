"""Against a dict, and how dense the dicts are."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from node.cache.key_table import SHARD_MASK, SPLIT_KEYS, KeyTable


@pytest.mark.parametrize("seed", range(6))
def test_a_key_table_is_a_dict(seed: int) -> None:
    """Grown beyond the split and emptied again, several times."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    table, model = KeyTable(), dict[bytes, int]()
    shards = table.shards
    for most in (50, 2 * SPLIT_KEYS, 0, SPLIT_KEYS + 500, 10, 0):
        while len(model) != most:
            if rng.random() < (0.8 if len(model) < most else 0.2):
                key = rng.randbytes(4)
                if key not in model:
                    table.put(key, len(model))
                    model[key] = len(model)
            elif model:
                key = rng.choice(list(model)) if len(model) < 60 else next(iter(model))
                assert table.pop(key) == model.pop(key)
        assert dict(table.items()) == model
        assert len(table) == table.count == len(model)
    assert table.shards is shards


def test_where_a_key_is_can_be_told_from_its_hash() -> None:
    table = KeyTable()
    for number in range(3 * SPLIT_KEYS):
        key = b"%d" % number
        table.put(key, number)
        for each in (key, b"%d" % (number // 2)):
            assert table.shards[hash(each) & SHARD_MASK][each] == table.get(each)
    assert table.get(b"none") is None
    with pytest.raises(KeyError):
        table.pop(b"none")
    taken = dict(table.popitem() for _ in range(3 * SPLIT_KEYS))
    assert taken == {b"%d" % number: number for number in range(3 * SPLIT_KEYS)}
    assert not table


@pytest.mark.parametrize("keys", [10_000, 14_000, 20_000, 28_000])
def test_a_key_takes_as_much_at_every_number_of_keys(keys: int) -> None:
    table = KeyTable()
    for number in range(keys):
        table.put(b"%d" % number, number)
    assert 34 <= table.size / keys <= 50
    for number in range(keys, 3 * keys):
        table.pop(b"%d" % (number - keys))
        table.put(b"%d" % number, number)
        if number % 1000 == 0:
            assert 34 <= table.size / keys <= 54


def test_a_few_keys_that_come_and_go_make_no_large_dict() -> None:
    table = KeyTable()
    put: Callable[[int], None] = lambda number: table.put(b"%d" % number, number)  # noqa: E731
    for number in range(100):
        put(number)
    for number in range(100, 20_000):
        table.pop(b"%d" % (number - 100))
        put(number)
    assert table.size / 100 < 80
