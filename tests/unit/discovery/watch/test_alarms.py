"""States of alarms: the cases that AWS's pages have, and what holds for all."""

from __future__ import annotations

import random

import pytest

from discovery.watch.alarms import COMPARISONS, MISSING, MORE_PERIODS, Missing, Rule, judged
from tests.support.rows import every_row

ALARM, OK, NONE = "ALARM", "OK", None
UNKNOWN = "INSUFFICIENT_DATA"


def points(text: str) -> list[float | None]:
    """Of the oldest to the newest: X breaches, 0 does not, - is missing."""
    values = {"X": 9.0, "0": 0.0, "-": None}
    return [values[one] for one in reversed(text)]


@pytest.mark.parametrize(
    ("told", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0-X-X", OK, OK, OK, OK),
        ("0----", OK, OK, OK, OK),
        ("-----", UNKNOWN, NONE, ALARM, OK),
        ("0XX-X", ALARM, ALARM, ALARM, ALARM),
        ("--XX-", ALARM, NONE, ALARM, OK),
        ("----X", ALARM, NONE, ALARM, OK),
        ("XXX00", OK, OK, OK, OK),
        ("00XXX", ALARM, ALARM, ALARM, ALARM),
    ],
)
def test_three_of_three(
    told: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    wanted = {
        "missing": missing,
        "ignore": ignore,
        "breaching": breaching,
        "notBreaching": not_breaching,
    }
    for treat in MISSING:
        rule = Rule("GreaterThanThreshold", 5.0, 3, 3, treat)  # type: ignore[arg-type]
        assert judged(rule, points(told)).state == wanted[treat], (told, treat)


@pytest.mark.parametrize(
    ("told", "missing", "breaching", "not_breaching"),
    [
        ("0-X-X", ALARM, ALARM, ALARM),
        ("00X0X", ALARM, ALARM, ALARM),
        ("0-X--", OK, ALARM, OK),
        ("----0", OK, ALARM, OK),
        ("---X-", ALARM, ALARM, OK),
    ],
)
def test_two_of_three(told: str, missing: str, breaching: str, not_breaching: str) -> None:
    for treat, wanted in (
        ("missing", missing),
        ("breaching", breaching),
        ("notBreaching", not_breaching),
    ):
        rule = Rule("GreaterThanThreshold", 5.0, 3, 2, treat)  # type: ignore[arg-type]
        assert judged(rule, points(told)).state == wanted, (told, treat)


@every_row("seed", range(200))
def test_what_holds_for_all_alarms(seed: int) -> None:
    rng = random.Random(seed)
    periods = rng.randint(1, 6)
    to_alarm = rng.randint(1, periods)
    comparison = rng.choice(list(COMPARISONS))
    treat: Missing = rng.choice(MISSING)  # type: ignore[assignment]
    rule = Rule(comparison, 5.0, periods, to_alarm, treat)
    whole = [float(rng.randrange(10)) for _ in range(periods + MORE_PERIODS)]
    bad = sum(COMPARISONS[comparison](one, 5.0) for one in whole[:periods])
    assert judged(rule, [*whole]).state == (ALARM if bad >= to_alarm else OK)
    gaps: list[float | None] = [one if rng.random() < 0.5 else None for one in whole]
    loud = judged(Rule(comparison, 5.0, periods, to_alarm, "breaching"), gaps).state
    quiet = judged(Rule(comparison, 5.0, periods, to_alarm, "notBreaching"), gaps).state
    assert loud in (OK, ALARM)
    if quiet == ALARM or loud == OK:  # then it does not depend on what is missing
        for other in MISSING:
            same = Rule(comparison, 5.0, periods, to_alarm, other)  # type: ignore[arg-type]
            assert judged(same, gaps).state == quiet == loud
