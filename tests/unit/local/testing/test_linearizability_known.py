"""Known-bad histories must be refused, known-good ones accepted, by either method."""

import pytest

from paceline_local.testing.linearizability import Answer, History, check, sessions, staleness
from tests.support.rows import every_row
from tests.unit.local.testing.known_histories import ILLEGAL_HISTORIES, LEGAL_HISTORIES, Known
from tests.unit.local.testing.random_histories import Opaque

KNOWN = [*((known, False) for known in ILLEGAL_HISTORIES), *((k, True) for k in LEGAL_HISTORIES)]


@every_row(("known", "legal"), KNOWN)
@every_row("method", ["zones", "search", "search without hints"])
def test_verdict(known: Known, legal: bool, method: str) -> None:
    model = Opaque(known.model) if method == "search without hints" else known.model
    verdict = check(known.operations(), model, zones=method == "zones")
    assert verdict.answer is (Answer.OK if legal else Answer.ILLEGAL)
    assert bool(verdict) is legal


@every_row("known", ILLEGAL_HISTORIES)
@every_row("zones", [True, False])
def test_explanation_is_as_short_as_it_can_be(known: Known, zones: bool) -> None:
    operations = known.operations()
    (verdict,) = check(operations, known.model, zones=zones).keys.values()
    explanation = verdict.explanation
    assert explanation is not None
    assert explanation.complete
    assert len(explanation.operations) == known.explained_by, str(explanation)
    assert set(explanation.operations) <= set(operations)
    assert not set(explanation.operations) & set(explanation.context)


@every_row("known", LEGAL_HISTORIES)
def test_what_is_linearizable_is_not_stale_and_breaks_no_session(known: Known) -> None:
    assert staleness(known.operations(), known.model).delta == 0
    assert sessions(known.operations(), known.model)


def test_a_history_in_any_order_of_its_lines_has_the_same_verdict() -> None:
    for known, legal in KNOWN:
        assert bool(check(History(reversed(known.operations())), known.model)) is legal, known.name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("stale read", "1 was current both before and after 2"),
        ("read from the future", "1 was read but never written"),
        ("lost update: two conditional writes succeed on one value", "1 was replaced twice: a: "),
        ("swaps that can only have followed each other", "can only have replaced another of them"),
        ("a value is seen after the swap that took it away was seen", "1 was current both before"),
        ("a conditional write is rejected although its condition held", "no order of these gives"),
    ],
)
def test_the_reason_says_what_is_wrong(name: str, reason: str) -> None:
    (known,) = (known for known in ILLEGAL_HISTORIES if known.name == name)
    (verdict,) = check(known.operations(), known.model).keys.values()
    assert verdict.explanation is not None
    assert reason in verdict.explanation.reason
