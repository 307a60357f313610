"""Which results a write finds: none that it can change is ever lost among others."""

from __future__ import annotations

from cluster.coherence.effects import IndexTouch
from cluster.coherence.fills import Fill
from cluster.coherence.queries import BASE, GLOBALS, LOCALS, Dependency, Dependents


def result(
    index: str = BASE, partition: bytes | None = b"p", *, is_global: bool = False, table: str = "t"
) -> Fill:
    return Fill(None, Dependency(table, index, is_global, partition), 0, False)


def kept(*results: Fill) -> Dependents[Fill]:
    dependents: Dependents[Fill] = Dependents()
    for each in results:
        dependents.add(each)
    return dependents


def test_one_that_goes_takes_no_other_with_it() -> None:
    places = [("", b"p"), ("", b"p"), ("", b"q"), ("", None), ("", None), ("local", b"p")]
    for gone in range(len(places)):
        results = [result(index, partition) for index, partition in places]
        dependents = kept(*results)
        dependents.discard(results[gone])
        dependents.discard(results[gone])  # no harm the second time
        left = {each for each in results if each is not results[gone]}
        assert set(dependents.touched("t", None)) == left
        assert len(dependents) == len(left)
        for each in left:
            dependency = each.dependency
            assert dependency is not None
            touch = IndexTouch(dependency.index, dependency.partition, b"s")
            assert each in dependents.touched("t", [touch])


def test_nothing_is_left_of_those_that_went() -> None:
    results = [
        result(),
        result(partition=None),
        result("g", is_global=True),
        result("g", None, is_global=True),
        result(table="u"),
    ]
    dependents = kept(*results)
    assert dependents
    for each in results:
        assert len(dependents) > 0
        dependents.discard(each)
    assert not dependents
    assert len(dependents) == 0
    assert dependents._tables == {}
    assert dependents.touched("t", None) == []


def test_results_of_whole_indexes_and_of_partitions_outlive_each_other() -> None:
    whole, part = result(partition=None), result()
    for gone, left in ((whole, part), (part, whole)):
        dependents = kept(whole, part)
        dependents.discard(gone)
        assert dependents.touched("t", [IndexTouch(BASE, b"p", b"s")]) == [left]


def test_what_is_detached_and_what_is_of_no_query_is_not_among_them() -> None:
    detached = Fill(None, Dependency("t", partition=b"p", detached=True), 0, False)
    item = Fill(("t", b"p"), None, 0, False)
    dependents = kept(detached, item)
    assert not dependents
    dependents.discard(item)
    dependents.discard(detached)


def test_a_touch_of_any_sort_value_finds_all_of_its_partition() -> None:
    ranged = Fill(None, Dependency("t", partition=b"p", low=b"5", high=b"6"), 0, False)
    dependents = kept(ranged, result(partition=b"q"))
    assert dependents.touched("t", [IndexTouch(BASE, b"p")]) == [ranged]


def test_a_touch_of_all_indexes_of_a_kind_finds_that_kind_only() -> None:
    base, local, one, other = (
        result(),
        result("local"),
        result("one", is_global=True),
        result("other", is_global=True),
    )
    dependents = kept(base, local, one, other, result(table="u"))
    assert set(dependents.touched("t", [IndexTouch(GLOBALS)])) == {one, other}
    assert set(dependents.touched("t", [IndexTouch(LOCALS)])) == {local}
    assert set(dependents.touched("t", [IndexTouch(BASE)])) == {base}
    assert set(dependents.touched("t", [IndexTouch("one", b"p", b"s")])) == {one}
    assert dependents.touched("t", [IndexTouch("one", b"q", b"s")]) == []


def test_what_a_write_takes_out_is_told_once_and_found_no_more() -> None:
    one, other = result(), result(partition=b"q")
    dependents = kept(one, other)
    touch = IndexTouch(BASE, b"p", b"s")
    assert dependents.pop_touched("t", [touch, touch]) == [one]
    assert dependents.pop_touched("t", [touch]) == []
    assert dependents.pop_touched("t", None) == [other]
    assert not dependents
