"""A plant is what it says: applied wherever the function is used, gone afterwards, or an error."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from tests.simulation.planted import known_seeds, share
from tests.simulation.planting import Change, DoesNotApply, changed, find, lowered
from tests.simulation.plants import PLANTS
from tests.simulation.plants.worlds import WORLDS

HERE = __name__
LIMIT = 3


def double(x: int, /, y: int = 0, *, z: int = 0) -> int:
    return 2 * x + y + z


by_another_name = double


def within() -> bool:
    return LIMIT > 1


@functools.cache
def remembered(x: int) -> int:
    return x + 1


class Base:
    def name(self) -> str:
        return "base"


class Part(Base):
    def name(self) -> str:
        return super().name() + "/part"

    @property
    def size(self) -> int:
        return 1

    @staticmethod
    def still() -> int:
        return 1

    def counted(self) -> Iterator[int]:
        yield from range(2)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plants name modules, and this one is imported by its path."""
    import sys

    monkeypatch.setitem(sys.modules, HERE, sys.modules[double.__module__])


def change(path: str, old: str, new: str) -> Change:
    return Change(f"{double.__module__}:{path}", old, new)


def test_the_changed_code_runs_under_every_name_and_keeps_defaults() -> None:
    with changed([change("double", "2 * x", "3 * x")]):
        assert (double(1), by_another_name(2, z=1)) == (3, 7)
    assert by_another_name(1) == 2


def test_methods_with_super_properties_static_ones_and_generators() -> None:
    with changed(
        [
            change("Part.name", '"/part"', '"/other"'),
            change("Part.size", "return 1", "return 2"),
            change("Part.still", "return 1", "return 3"),
            change("Part.counted", "range(2)", "range(3)"),
        ]
    ):
        part = Part()
        assert (part.name(), part.size, part.still()) == ("base/other", 2, 3)
        assert list(part.counted()) == [0, 1, 2]
    assert (Part().name(), Part().size, Part.still(), len([*Part().counted()])) == (
        "base/part",
        1,
        1,
        2,
    )


def test_what_a_cache_kept_is_forgotten_before_and_after() -> None:
    assert remembered(1) == 2
    with changed([change("remembered", "x + 1", "x + 2")]):
        assert remembered(1) == 3
    assert remembered(1) == 2


def test_it_is_gone_after_an_error_too() -> None:
    with pytest.raises(KeyError), changed([change("double", "2 * x", "3 * x")]):
        raise KeyError
    assert double(1) == 2


@pytest.mark.parametrize(
    ("path", "old", "new", "why"),
    [
        ("double", "4 * x", "x", "0 times"),
        ("double", " + ", " - ", "2 times"),
        ("nothing", "x", "y", "there is no"),
        ("Part.nothing", "x", "y", "there is no"),
        ("LIMIT", "3", "4", "is no function"),
        ("double", "2 * x", "2 * (x", "is no Python"),
        ("Part.name", "super().name()", '""', "other names around it"),
    ],
)
def test_what_does_not_apply_is_an_error_and_changes_nothing(
    path: str, old: str, new: str, why: str
) -> None:
    with (
        pytest.raises(DoesNotApply, match=why),
        changed([change("Part.size", "return 1", "return 2"), change(path, old, new)]),
    ):
        pytest.fail("it was applied")
    assert (double(1), Part().size) == (2, 1)


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DoesNotApply, match="there is no module"):
        find("cluster.coherence.nowhere:Guard.fence")


def test_limits_are_lowered_for_the_run() -> None:
    with lowered({f"{double.__module__}:LIMIT": 1}):
        assert not within()
    assert within()
    with pytest.raises(DoesNotApply), lowered({f"{double.__module__}:NO_LIMIT": 1}):
        pytest.fail("it was applied")


def test_every_plant_applies() -> None:
    wrong = []
    for plant in PLANTS:
        try:
            function, _ = find(plant.where)
            before = function.__code__
            with plant.planted():
                assert function.__code__ is not before
            assert function.__code__ is before
        except DoesNotApply as reason:
            wrong.append(f"{plant.name}: {reason}")
    assert not wrong, "\n".join(wrong)


def test_every_plant_has_a_name_a_world_and_a_seed_or_a_reason_for_none() -> None:
    assert len({plant.name for plant in PLANTS}) == len(PLANTS)
    assert {plant.world for plant in PLANTS} <= WORLDS.keys()
    assert known_seeds().keys() == {plant.name for plant in PLANTS if not plant.unseen}
    for plant in PLANTS:
        assert plant.unseen.partition(":")[0] in ("", "equivalent", "hole"), plant.name
    assert len(known_seeds()) >= 60


def test_ten_turns_try_every_plant_once() -> None:
    turns = [share(PLANTS, part, 10) for part in range(10)]
    assert sorted(p.name for turn in turns for p in turn) == sorted(p.name for p in PLANTS)
    assert max(map(len, turns)) - min(map(len, turns)) <= 1
    assert share(PLANTS, 20_000, 10) == turns[0]
