"""When an alarm is in which state, as CloudWatch has it. Pure.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/
alarm-evaluation.html, and the page about missing data beside it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Missing = Literal["breaching", "notBreaching", "ignore", "missing"]
MISSING: Final = ("breaching", "notBreaching", "ignore", "missing")

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
MORE_PERIODS: Final = 2
"""How many periods before those of the evaluation are looked at, where some of these are
missing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``periods``: of the evaluation; ``to_alarm`` of them have to breach."""

    comparison: str
    threshold: float
    periods: int
    to_alarm: int
    missing: Missing


@dataclass(frozen=True, slots=True)
class Verdict:
    """``state`` None: as it was. ``points``: the values that it is from, the newest first."""

    state: State | None
    reason: str
    points: Sequence[float]


def range_start(end: int, period_s: int, rule: Rule) -> int:
    """From when on values are looked at; ``end``: the end of the newest period."""
    return end - (rule.periods + MORE_PERIODS) * period_s


def judged(rule: Rule, newest_first: Sequence[float | None]) -> Verdict:
    """``newest_first``: the value of each period, or None: those of the evaluation, then
    ``MORE_PERIODS`` older ones, which stand in for missing ones."""
    breaches = COMPARISONS[rule.comparison]
    taken = [one for one in newest_first if one is not None][: rule.periods]
    if not taken:
        return _without_values(rule)
    bad = sum(breaches(one, rule.threshold) for one in taken)
    gaps = rule.periods - len(taken)
    told = _told(rule, taken, bad)
    match rule.missing:
        case "breaching":
            state: State | None = "ALARM" if bad + gaps >= rule.to_alarm else "OK"
        case "notBreaching":
            state = "ALARM" if bad >= rule.to_alarm else "OK"
        case _:
            if bad >= rule.to_alarm:
                state = "ALARM"
            elif bad + gaps < rule.to_alarm:
                state = "OK"
            else:  # it depends on what is missing
                state = None if rule.missing == "ignore" else _partly(rule, taken, breaches)
    return Verdict(state, told, taken)


def _partly(rule: Rule, taken: Sequence[float], breaches: Callable[[float, float], bool]) -> State:
    """With too few values to be sure: an alarm if all that are there breach, as AWS does it so that
    a metric that is told now and then can still raise one."""
    return "ALARM" if all(breaches(one, rule.threshold) for one in taken) else "OK"


def _without_values(rule: Rule) -> Verdict:
    text = f"no datapoints were received for {rule.periods} periods"
    match rule.missing:
        case "breaching":
            return Verdict("ALARM", f"Threshold Crossed: {text}; they count as breaching", ())
        case "notBreaching":
            return Verdict("OK", f"Threshold not crossed: {text}; they count as not breaching", ())
        case "ignore":
            return Verdict(None, f"Unchanged: {text}", ())
    return Verdict("INSUFFICIENT_DATA", f"Insufficient Data: {text}", ())


def _told(rule: Rule, taken: Sequence[float], bad: int) -> str:
    shown = ", ".join(f"{one:g}" for one in taken[:10])
    words = {
        "GreaterThanOrEqualToThreshold": "greater than or equal to",
        "GreaterThanThreshold": "greater than",
        "LessThanThreshold": "less than",
        "LessThanOrEqualToThreshold": "less than or equal to",
    }[rule.comparison]
    return (
        f"{bad} of the last {rule.periods} datapoints [{shown}] were {words} the threshold"
        f" ({rule.threshold:g}); {rule.to_alarm} of them raise the alarm."
    )
