"""CPU per request as multiples of redis-server's GET: bars with ranges, as an SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks.suite.figures import Row, Spread

WIDTH, LEFT, RIGHT, TOP, LINE = 960, 360, 90, 64, 22
COLOURS = ("#1f6feb", "#2e8540", "#7a4bb7", "#8a6d00", "#d1481f")
FONT = "font-family='sans-serif' font-size='13'"


def bars(title: str, rows: Sequence[Row]) -> str:
    """The text of an SVG, on a logarithmic scale; rows without a ratio are left out."""
    drawn = [(row, row.of_redis) for row in rows if row.of_redis and row.of_redis.least > 0]
    setups = list(dict.fromkeys(row.setup for row, _ in drawn))
    height = TOP + LINE * (len(drawn) + 2)
    most = max((spread.most for _, spread in drawn), default=1.0)
    least = min((spread.least for _, spread in drawn), default=1.0)
    low, high = math.floor(math.log10(min(least, 1.0))), math.ceil(math.log10(max(most, 1.001)))

    def x(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' "
        f"width='{WIDTH}' height='{height}' role='img' aria-label='{escape(title)}'>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        f"<text x='12' y='24' {FONT} font-weight='bold' fill='#222222'>{escape(title)}</text>",
    ]
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(
            f"<line x1='{at}' y1='{TOP - 8}' x2='{at}' y2='{height - LINE}' "
            f"stroke='{'#555555' if power == 0 else '#dddddd'}'/>"
            f"<text x='{at}' y='{TOP - 14}' {FONT} fill='#555555' "
            f"text-anchor='middle'>{10.0**power:g}</text>"
        )
    for number, (row, spread) in enumerate(drawn):
        colour = COLOURS[setups.index(row.setup) % len(COLOURS)]
        parts += _bar(row, spread, TOP + LINE * number, colour, x(1.0), x)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(row: Row, spread: Spread, y: int, colour: str, one: float, x: object) -> list[str]:
    assert callable(x)
    end, first, last = x(spread.median), x(spread.least), x(spread.most)
    left, middle = min(one, end), y + LINE / 2 - 3
    return [
        f"<text x='{LEFT - 10}' y='{y + 12}' {FONT} fill='#222222' "
        f"text-anchor='end'>{escape(f'{row.setup}: {row.name}')}</text>",
        f"<rect x='{left}' y='{y}' width='{max(abs(end - one), 1):.1f}' height='{LINE - 6}' "
        f"fill='{colour}' fill-opacity='0.75'/>",
        f"<line x1='{first}' y1='{middle}' x2='{last}' y2='{middle}' stroke='#222222'/>",
        f"<text x='{max(last, end, one) + 6}' y='{y + 12}' {FONT} "
        f"fill='#222222'>{spread.median:.3g}</text>",
    ]
