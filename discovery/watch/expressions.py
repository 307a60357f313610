"""Metric math: expressions over series of values, as GetMetricData and alarms have them. Pure.

A series has a value at some of the times of one grid; a value that cannot be told, as that of a
division by zero, is not there. What an expression gives is a number, a series, or several series.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from discovery.watch.expression_text import BadExpression, Name, Node, Text, read

Series = Mapping[int, float]
"""By time, in seconds since the epoch."""
Result = float | dict[int, float] | list[dict[int, float]]


@dataclass(frozen=True, slots=True)
class Grid:
    """The times from ``start`` on, ``period_s`` apart, before ``end``."""

    start: int
    end: float
    period_s: int

    def times(self) -> range:
        return range(self.start, math.ceil(self.end), self.period_s)


@dataclass(frozen=True, slots=True)
class World:
    """``get``: the result under an id. ``metrics``: the ids of series that are no expressions, in
    order, with what ``METRICS("text")`` looks for its text in."""

    grid: Grid
    get: Callable[[str], Result]
    metrics: Sequence[tuple[str, str]]


def worked_out(text: str, world: World) -> Result:
    """BadExpression."""
    try:
        return _value(read(text), world)
    except OverflowError:
        raise BadExpression("a number is too large") from None


def _value(node: Node, world: World) -> Result:
    if isinstance(node, float):
        return node
    if isinstance(node, Name):
        return world.get(node.id)
    if isinstance(node, Text):
        raise BadExpression("a text stands where there has to be a value")
    name, parts = node.name, node.parts
    if name in _OPERATORS:
        left, right = (_value(one, world) for one in parts)
        return _combined(_OPERATORS[name], left, right)
    if name == "[]":
        return _flat([_value(one, world) for one in parts])
    if name == "METRICS":
        return _metrics(parts, world)
    if name == "FILL":
        _arity(name, parts, 2, 2)
        return _filled(_value(parts[0], world), parts[1], world)
    values = [_value(one, world) for one in parts]
    if name == "IF":
        _arity(name, parts, 2, 3)
        return _chosen(values, world)
    if name in _AGGREGATES:
        return _aggregated(name, values)
    if name in _OF_ONE:
        _arity(name, parts, 1, 1)
        return _each(values[0], lambda one: _OF_ONE[name](one, world.grid))
    if name in _ROUNDED:
        _arity(name, parts, 1, 1)
        if isinstance(values[0], float):
            return float(_ROUNDED[name](values[0]))
        return _each(values[0], lambda one: {at: _ROUNDED[name](v) for at, v in one.items()})
    match name:
        case "PERIOD":
            _arity(name, parts, 1, 1)
            return float(world.grid.period_s)
        case "METRIC_COUNT":
            _arity(name, parts, 1, 1)
            return float(len(values[0])) if isinstance(values[0], list) else 1.0
        case "TIME_SERIES":
            _arity(name, parts, 1, 1)
            if not isinstance(values[0], float):
                raise BadExpression("TIME_SERIES takes a number")
            return dict.fromkeys(world.grid.times(), values[0])
    raise BadExpression(f"there is no function {name} here")


def _arity(name: str, parts: Sequence[object], least: int, most: int) -> None:
    if not least <= len(parts) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise BadExpression(f"{name} takes {wanted} arguments")


def _divided(left: float, right: float) -> float:
    return left / right if right else math.nan


def _power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except ValueError:
        return math.nan


def _truth(decide: Callable[[float, float], bool]) -> Callable[[float, float], float]:
    return lambda left, right: float(decide(left, right))


_OPERATORS: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "^": _power,
    "==": _truth(operator.eq),
    "!=": _truth(operator.ne),
    "<": _truth(operator.lt),
    "<=": _truth(operator.le),
    ">": _truth(operator.gt),
    ">=": _truth(operator.ge),
    "&&": _truth(lambda left, right: bool(left and right)),
    "||": _truth(lambda left, right: bool(left or right)),
}


def _combined(do: Callable[[float, float], float], left: Result, right: Result) -> Result:
    if isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            raise BadExpression("two lists of series have different lengths")
        return [_pairwise(do, one, other) for one, other in zip(left, right, strict=True)]
    if isinstance(left, list):
        assert not isinstance(right, list)
        return [_pairwise(do, one, right) for one in left]
    if isinstance(right, list):
        return [_pairwise(do, left, one) for one in right]
    if isinstance(left, float) and isinstance(right, float):
        return do(left, right)
    return _pairwise(do, left, right)


def _pairwise(
    do: Callable[[float, float], float],
    left: float | dict[int, float],
    right: float | dict[int, float],
) -> dict[int, float]:
    if isinstance(left, dict):
        if isinstance(right, dict):
            return _finite({at: do(v, right[at]) for at, v in left.items() if at in right})
        return _finite({at: do(v, right) for at, v in left.items()})
    assert isinstance(right, dict)
    return _finite({at: do(left, v) for at, v in right.items()})


def _finite(series: Series) -> dict[int, float]:
    return {at: value for at, value in series.items() if math.isfinite(value)}


def _flat(values: Sequence[Result]) -> list[dict[int, float]]:
    found: list[dict[int, float]] = []
    for one in values:
        if isinstance(one, float):
            raise BadExpression("a list has series, no numbers")
        found += one if isinstance(one, list) else [one]
    return found


def _each(value: Result, do: Callable[[dict[int, float]], dict[int, float]]) -> Result:
    if isinstance(value, float):
        raise BadExpression("a number stands where there has to be a series")
    return [do(one) for one in value] if isinstance(value, list) else do(value)


def _metrics(parts: Sequence[Node], world: World) -> Result:
    if not parts:
        wanted = ""
    elif len(parts) == 1 and isinstance(parts[0], Text):
        wanted = parts[0].text
    else:
        raise BadExpression("METRICS takes a text, or nothing")
    found = [world.get(one) for one, label in world.metrics if wanted in one or wanted in label]
    return _flat(found)


def _filled(value: Result, fill: Node, world: World) -> Result:
    if isinstance(fill, Name) and fill.id in ("REPEAT", "LINEAR"):
        how = _repeated if fill.id == "REPEAT" else _linear
        return _each(value, lambda one: how(one, world.grid))
    other = _value(fill, world)
    if isinstance(other, list):
        raise BadExpression("FILL takes a number or a series to fill in")

    def filled(one: dict[int, float]) -> dict[int, float]:
        more = dict.fromkeys(world.grid.times(), other) if isinstance(other, float) else other
        return dict(sorted({**more, **one}.items()))

    return _each(value, filled)


def _repeated(series: Series, grid: Grid) -> dict[int, float]:
    found: dict[int, float] = {}
    last: float | None = None
    for at in grid.times():
        last = series.get(at, last)
        if last is not None:
            found[at] = last
    return found


def _linear(series: Series, grid: Grid) -> dict[int, float]:
    found = dict(series)
    known = sorted(series)
    for first, second in pairwise(known):
        slope = (series[second] - series[first]) / (second - first)
        for at in range(first + grid.period_s, second, grid.period_s):
            found[at] = series[first] + slope * (at - first)
    return dict(sorted(found.items()))


def _chosen(values: Sequence[Result], world: World) -> Result:
    condition, yes = values[0], values[1]
    no: Result = values[2] if len(values) > 2 else {}
    if isinstance(condition, list) or isinstance(yes, list) or isinstance(no, list):
        raise BadExpression("IF takes numbers and single series")
    if isinstance(condition, float) and isinstance(yes, float) and isinstance(no, float):
        return yes if condition else no
    if isinstance(condition, float):
        times: Sequence[int] = sorted({*(yes if isinstance(yes, dict) else ()), *_times(no)})
        condition = dict.fromkeys(times, condition)
    found = {}
    for at, holds in condition.items():
        chosen = yes if holds else no
        value = chosen if isinstance(chosen, float) else chosen.get(at)
        if value is not None:
            found[at] = value
    return found


def _times(value: float | dict[int, float]) -> Sequence[int]:
    return [] if isinstance(value, float) else list(value)


_AGGREGATES: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "SUM": math.fsum,
    "AVG": statistics.fmean,
    "MIN": min,
    "MAX": max,
    "STDDEV": statistics.pstdev,
}


def _aggregated(name: str, values: Sequence[Result]) -> Result:
    """Of one series a number; of several a series."""
    do = _AGGREGATES[name]
    if len(values) == 1 and isinstance(values[0], dict):
        return float(do([*values[0].values()])) if values[0] else math.nan
    if not values:
        raise BadExpression(f"{name} takes a series, or several")
    at_times: dict[int, list[float]] = {}
    for one in _flat(values):
        for at, value in one.items():
            at_times.setdefault(at, []).append(value)
    return {at: float(do(at_times[at])) for at in sorted(at_times)}


def _changes(series: Series, grid: Grid) -> dict[int, float]:
    known = sorted(series)
    pairs = pairwise(known)
    return {after: series[after] - series[before] for before, after in pairs}


def _rates(series: Series, grid: Grid) -> dict[int, float]:
    known = sorted(series)
    pairs = pairwise(known)
    return {after: (series[after] - series[before]) / (after - before) for before, after in pairs}


def _running(series: Series, grid: Grid) -> dict[int, float]:
    total = 0.0
    found = {}
    for at in sorted(series):
        total += series[at]
        found[at] = total
    return found


_OF_ONE: Final[Mapping[str, Callable[[dict[int, float], Grid], dict[int, float]]]] = {
    "RATE": _rates,
    "DIFF": _changes,
    "RUNNING_SUM": _running,
}
_ROUNDED: Final[Mapping[str, Callable[[float], float]]] = {
    "ABS": abs,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
}
