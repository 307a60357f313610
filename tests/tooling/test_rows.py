"""A table in one test is as strict as one test for each row."""

from __future__ import annotations

import inspect

import pytest

from tests.support.rows import SHOWN_MAX, every_row


def test_every_row_is_run_and_all_that_fail_are_told() -> None:
    seen = []

    @every_row(("number", "square"), [(1, 1), (2, 5), (3, 9), (4, 17)])
    def check(number: int, square: int) -> None:
        seen.append(number)
        assert number * number == square, "it is not its square"

    with pytest.raises(AssertionError) as told:
        check()
    assert seen == [1, 2, 3, 4]
    lines = str(told.value).splitlines()
    assert lines[0] == "2 of 4 rows failed:"
    assert [line.rpartition(" ")[0] for line in lines if line.startswith("number=")] == [
        "number=2, square=5: AssertionError: it is not its",
        "number=4, square=17: AssertionError: it is not its",
    ]


def test_rows_of_two_tables_are_all_pairs_and_fixtures_stay() -> None:
    seen = []

    @every_row("left", "ab")
    @every_row("right", "cd")
    def check(left: str, right: str, fixture: int) -> None:
        seen.append((left, right, fixture))

    assert list(inspect.signature(check).parameters) == ["fixture"]
    check(fixture=7)
    assert seen == [("a", "c", 7), ("a", "d", 7), ("b", "c", 7), ("b", "d", 7)]


def test_an_expected_error_that_does_not_come_is_a_failure_of_its_row() -> None:
    @every_row("text", ["1", "x"])
    def check(text: str) -> None:
        with pytest.raises(ValueError, match="invalid"):
            int(text)

    with pytest.raises(AssertionError, match=r"1 of 2 rows failed:\ntext='1': Failed: DID NOT"):
        check()


def test_of_many_failures_some_are_shown() -> None:
    @every_row("number", range(100))
    def check(number: int) -> None:
        assert number < 0

    with pytest.raises(AssertionError, match=f"and {100 - SHOWN_MAX} more"):
        check()


def test_a_table_without_rows_or_a_name_that_nobody_takes_is_a_mistake() -> None:
    def check(name: str) -> None:
        assert name

    with pytest.raises(AssertionError, match="no rows"):
        every_row("name", [])(check)
    with pytest.raises(AssertionError, match="does not take"):
        every_row("other", "a")(check)
