"""Metric math: against Python's own arithmetic, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from discovery.watch.expression_text import BadExpression, ids_of, read
from discovery.watch.expressions import Grid, Result, World, worked_out
from tests.support.rows import every_row

GRID = Grid(0, 300, 60)
HITS = {0: 9.0, 60: 5.0, 120: 0.0}
MISSES = {0: 1.0, 60: 5.0, 120: 0.0, 180: 4.0}


def world(series: Mapping[str, Result] | None = None) -> World:
    told: dict[str, Result] = {"hits": HITS, "misses": MISSES, "ten": 10.0, **(series or {})}

    def get(name: str) -> Result:
        if name not in told:
            raise BadExpression(f"there is no id {name}")
        return told[name]

    return World(GRID, get, [("hits", "ItemCacheHits"), ("misses", "ItemCacheMisses")])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("100*hits/(hits+misses)", {0: 90.0, 60: 50.0}),
        ("hits - 1", {0: 8.0, 60: 4.0, 120: -1.0}),
        ("-hits", {0: -9.0, 60: -5.0, 120: 0.0}),
        ("2^3^2", 512.0),
        ("-2^2", -4.0),
        ("1+2*3-4/2", 5.0),
        ("hits > misses AND hits < 10", {0: 1.0, 60: 0.0, 120: 0.0}),
        ("SUM(hits)", 14.0),
        ("AVG(misses)", 2.5),
        ("SUM([hits, misses])", {0: 10.0, 60: 10.0, 120: 0.0, 180: 4.0}),
        ("SUM(METRICS())", {0: 10.0, 60: 10.0, 120: 0.0, 180: 4.0}),
        ('SUM(METRICS("Hits"))', HITS),
        ("MAX(METRICS())", {0: 9.0, 60: 5.0, 120: 0.0, 180: 4.0}),
        ("MIN([hits,misses])", {0: 1.0, 60: 5.0, 120: 0.0, 180: 4.0}),
        ("RATE(hits)", {60: -4 / 60, 120: -5 / 60}),
        ("DIFF(hits)", {60: -4.0, 120: -5.0}),
        ("RUNNING_SUM(hits)", {0: 9.0, 60: 14.0, 120: 14.0}),
        ("FILL(hits, 7)", {0: 9.0, 60: 5.0, 120: 0.0, 180: 7.0, 240: 7.0}),
        ("FILL(misses, REPEAT)", {**MISSES, 240: 4.0}),
        ("FILL(gaps, LINEAR)", {0: 0.0, 60: 2.0, 120: 4.0, 180: 6.0}),
        ("IF(hits > misses, hits, misses)", {0: 9.0, 60: 5.0, 120: 0.0}),
        ("IF(hits > 4, 1)", {0: 1.0, 60: 1.0}),
        ("IF(1, hits, 0)", HITS),
        ("PERIOD(hits)", 60.0),
        ("METRIC_COUNT(METRICS())", 2.0),
        ("hits * PERIOD(hits) / ten", {0: 54.0, 60: 30.0, 120: 0.0}),
        ("METRICS() / 2", [{0: 4.5, 60: 2.5, 120: 0.0}, {0: 0.5, 60: 2.5, 120: 0.0, 180: 2.0}]),
        ("ABS(-hits)", HITS),
        ("CEIL(hits/2)", {0: 5.0, 60: 3.0, 120: 0.0}),
        ("TIME_SERIES(1)", dict.fromkeys(range(0, 300, 60), 1.0)),
        (".5 + 1e1", 10.5),
    ],
)
def test_what_expressions_give(text: str, wanted: Result) -> None:
    found = worked_out(text, world({"gaps": {0: 0.0, 180: 6.0}}))
    assert found == pytest.approx(wanted) if not isinstance(wanted, list) else found == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "hits +", "(hits", "hits)", "hits misses", "1 2", "[1, 2]", "SUM()", "SUM(1)"),
        *("NOPE(hits)", "nope", "'text'", "IF(hits)", "IF(METRICS(), 1, 0)", "FILL(hits)"),
        *("FILL(1, 2)", "RATE(1)", "METRICS(1)", "hits $ 1", "((" * 40 + "1", "1+" * 400 + "1"),
        *("hits,misses", "TIME_SERIES(hits)", "1" * 3_000, "METRICS() + [hits]", "[[[[hits]]"),
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(BadExpression):
        worked_out(text, world())


def test_numbers_without_end_are_no_values() -> None:
    assert worked_out("hits / 0", world()) == {}
    assert worked_out("(0 - hits) ^ 0.5", world({})) in ({120: 0.0}, {})
    assert worked_out("hits * 1e308 * 1e308", world()) == {120: 0.0}
    assert worked_out("1e308 ^ hits", world({"hits": {0: 0.0}})) == {0: 1.0}


def test_ids_that_are_named() -> None:
    assert ids_of("FILL(a1, REPEAT) + SUM([b, c]) / PERIOD(d)") == {"a1", "b", "c", "d"}


@every_row("seed", range(60))
def test_arithmetic_is_pythons(seed: int) -> None:
    rng = random.Random(seed)

    def made(depth: int) -> str:
        if depth == 0 or rng.random() < 0.2:
            return rng.choice(["a", "b", str(rng.randrange(1, 9))])
        left, right = made(depth - 1), made(depth - 1)
        sign = rng.choice("+-*")
        text = f"{left} {sign} {right}"
        return f"({text})" if rng.random() < 0.5 else text

    text = made(5)
    series = {name: {at: float(rng.randrange(9)) for at in GRID.times()} for name in "ab"}
    found = worked_out(text, world(series))
    for at in GRID.times():
        names = {name: values[at] for name, values in series.items()}
        wanted = eval(text, {}, names)
        assert (found if isinstance(found, float) else found[at]) == wanted  # type: ignore[call-overload]


@every_row("seed", range(200))
def test_nothing_but_a_refusal_comes_of_nonsense(seed: int) -> None:
    rng = random.Random(seed)
    words = [*"()[],+-*/^<>=&|'\"", "hits", "SUM", "IF", "FILL", "METRICS", "1", ".", " ", "REPEAT"]
    for _ in range(50):
        text = "".join(rng.choice(words) for _ in range(rng.randrange(30)))
        try:
            worked_out(text, world())
            read(text)
        except BadExpression:
            pass
