"""Verdicts, budgets, explanations as text, models' refusals, and speed."""

import random
from collections.abc import Hashable

import pytest

from paceline_local.testing.linearizability import (
    ILLEGAL,
    Answer,
    Counter,
    History,
    Illegal,
    KeyValue,
    Model,
    Operation,
    Register,
    check,
    sequential,
)
from paceline_local.testing.linearizability.timeline import BARS_MAX, render
from tests.unit.local.testing.long_histories import long_history
from tests.unit.local.testing.random_histories import Opaque

STALE = [(1, "write", 1, None), (1, "write", 2, None), (2, "read", None, 1)]


def test_an_exhausted_budget_is_unknown_and_not_ok() -> None:
    history = sequential([(1, "write", 1, None), (1, "read", None, 1)], key="k")
    verdict = check(history, Opaque(Register()), steps_max=2)
    assert verdict.answer is Answer.UNKNOWN
    assert not verdict
    assert [key.key for key in verdict.having(Answer.UNKNOWN)] == ["k"]
    assert "0 of 1 keys ok" in str(verdict)
    assert check(history, Opaque(Register()), steps_max=20)


def test_an_illegal_key_outranks_an_unknown_one() -> None:
    slow = sequential([(1, "add", 1, None)] * 9, key="slow").operations
    bad = sequential([(1, "add_and_get", 1, 7)], key="bad").operations
    assert check([*slow, *bad], Counter(), steps_max=5).answer is Answer.ILLEGAL
    assert check(slow, Counter(), steps_max=5).answer is Answer.UNKNOWN


def test_the_budget_of_explanations_leaves_them_longer_and_says_so() -> None:
    rng = random.Random(1)
    rows = [(1, "write", rng.randint(1, 9), None) for _ in range(50)]
    history = sequential([*rows, (2, "read", None, 10)], key="k")
    for budget, complete in ((1, False), (10**6, True)):
        (verdict,) = check(history, Opaque(Register()), explain_steps_max=budget).keys.values()
        assert verdict.answer is Answer.ILLEGAL
        assert verdict.explanation is not None
        assert verdict.explanation.complete is complete
        assert (len(verdict.explanation.operations) == 1) is complete


def test_only_some_keys_are_explained() -> None:
    operations = [o for key in range(9) for o in sequential(STALE, key=key)]
    verdict = check(operations, Register(), explanations_max=2)
    assert len(verdict.having(Answer.ILLEGAL)) == 9
    assert sum(key.explanation is not None for key in verdict.keys.values()) == 2


def test_a_verdict_reads_as_a_timeline() -> None:
    others = [(3, "write", value, None) for value in range(10, 30)]
    verdict = check(sequential([*others, *STALE], key="k"), Register())
    assert str(verdict).splitlines() == [
        "key 'k': illegal (23 operations, zones)",
        "1 was current both before and after 2",
        "  1  |-write 1-|                         40.000000 .. 41.000000",
        "  1             |-write 2-|              42.000000 .. 43.000000",
        "  2                        |-read = 1-|  44.000000 .. 45.000000",
        "0 of 1 keys ok",
    ]


def test_a_timeline_shows_what_overlaps_what_is_open_and_where_values_came_from() -> None:
    operations = [
        Operation("a", "write", "k", 1, None, 0, 9),
        Operation("b", "write", "k", 2, None, 1, None),
        Operation("c", "read", "k", None, 3, 2, 3),
    ]
    failed = Operation("d", "write", "k", 3, None, 0, 1, failed=True)
    assert render(operations, [failed]).splitlines() == [
        "  a  |-----------write 1-----------|  0.000000 .. 9.000000",
        " (d  |-write 3 failed-|               0.000000 .. 1.000000",
        "  b   |---------write 2 ?----------~  1.000000 .. ?",
        "  c                    |-read = 3-|   2.000000 .. 3.000000",
    ]
    verdict = check([*operations, failed], Register())
    assert "3 was read but never written; of a write that failed for sure: d" in str(verdict)


def test_a_long_timeline_is_a_list() -> None:
    history = sequential([(1, "write", value, None) for value in range(BARS_MAX + 1)])
    lines = render(history.operations).splitlines()
    assert len(lines) == BARS_MAX + 1
    assert "|" not in "".join(lines)
    assert render([]) == ""


@pytest.mark.parametrize("model", [Register(), Counter(), KeyValue()])
def test_an_operation_that_a_model_does_not_have_is_an_error(model: Model[Hashable]) -> None:
    with pytest.raises(ValueError, match="has no operation 'increment'"):
        check(sequential([(1, "increment", 1, None)]), model)


@pytest.mark.parametrize(
    ("model", "row", "message"),
    [
        (Counter(), (1, "add", "x", None), "the amount is to be an int"),
        (KeyValue(), (1, "add", None, None), "the amount is to be an int"),
        (KeyValue(), (1, "write_if", 3, True), r"the argument is to be \(expected, value\)"),
    ],
)
def test_wrong_arguments_are_errors(
    model: Model[Hashable], row: tuple[int, str, object, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check(sequential([row]), model)


def test_adding_to_text_is_refused_by_the_store() -> None:
    told = [(1, "write", "text", None), (1, "add", 1, None)]
    assert not check(sequential(told), KeyValue())
    unknown = Operation(1, "add", None, 1, None, 5, None)
    read = Operation(1, "read", None, None, "text", 6, 7)
    assert check([*sequential(told[:1]), unknown, read], KeyValue())


class Stack(Model[tuple[Hashable, ...]]):
    """A model of one's own needs two methods."""

    def initial(self) -> tuple[Hashable, ...]:
        return ()

    def step(
        self, state: tuple[Hashable, ...], operation: Operation
    ) -> tuple[Hashable, ...] | Illegal:
        if operation.kind == "push":
            return (*state, operation.argument)
        if operation.unknown:
            return state[:-1]
        top = state[-1] if state else None
        return state[:-1] if operation.result == top else ILLEGAL


def test_a_model_of_ones_own() -> None:
    rows = [(1, "push", 1, None), (1, "push", 2, None), (2, "pop", None, 2), (2, "pop", None, 1)]
    assert check(sequential(rows), Stack())
    assert not check(sequential([*rows[:2], *reversed(rows[2:])]), Stack())


@pytest.mark.parametrize("zones", [True, False])
def test_a_long_history_over_many_keys_takes_about_one_step_an_operation(zones: bool) -> None:
    history = long_history(1, operations=20_000, keys=20, processes=50, kinds=["write"])
    verdict = check(history, KeyValue(), zones=zones)
    assert verdict, str(verdict)
    steps = sum(key.steps for key in verdict.keys.values())
    assert steps == 0 if zones else steps < 20 * len(history)


@pytest.mark.parametrize("kinds", [["write", "delete"], ["add", "add_and_get"]])
@pytest.mark.parametrize("processes", [10, 100])
def test_many_processes_on_one_key(kinds: list[str], processes: int) -> None:
    history = long_history(2, operations=1_000, keys=1, processes=processes, kinds=kinds)
    verdict = check(history, KeyValue(), steps_max=1_000_000)
    assert verdict, str(verdict)


def test_one_stale_read_among_many_operations_is_found_and_shown() -> None:
    history = long_history(3, operations=2_000, keys=1, processes=20, kinds=["write", "delete"])
    operations = list(history)
    first = next(o for o in operations if o.kind == "write" and not o.unknown)
    end = max(o.returned_at or 0 for o in operations)
    stale = Operation("late", "read", 0, None, first.argument, end + 1, end + 2)
    (verdict,) = check(History([*operations, stale]), KeyValue()).keys.values()
    assert verdict.answer is Answer.ILLEGAL
    assert verdict.explanation is not None
    assert len(verdict.explanation.operations) == 3
    assert {stale, first} < set(verdict.explanation.operations)
