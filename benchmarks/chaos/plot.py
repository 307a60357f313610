"""Distributions as an SVG, drawn without any library: how many trials were over by then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 56
COLOURS = ("#1f6feb", "#d1481f", "#2e8540", "#7a4bb7", "#8a6d00")
FONT = "font-family='sans-serif' font-size='13'"
TICKS_MAX = 8
SHARES = (0, 25, 50, 75, 100)


@dataclass(frozen=True)
class Series:
    name: str
    values: Sequence[float]
    """Seconds."""


def distributions(title: str, unit: str, series: Sequence[Series]) -> str:
    """The text of an SVG with one step line per series; there has to be a value in each."""
    longest = max(max(one.values) for one in series)
    step = _step(longest)
    end = step * math.ceil(longest / step)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"width='{WIDTH}' height='{HEIGHT}' role='img' aria-label='{escape(title)}'>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        f"<text x='{LEFT}' y='24' {FONT} font-weight='bold' fill='#222222'>{escape(title)}</text>",
        *_axes(end, step, unit),
    ]
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(_line(one, end, colour))
        parts.append(_legend(one, number, colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(value: float, end: float) -> float:
    return round(LEFT + value / end * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share / 100 * (HEIGHT - TOP - BOTTOM), 1)


def _step(longest: float) -> float:
    """A round distance between ticks, of which there are at most ``TICKS_MAX``."""
    least = max(longest, 1e-3) / TICKS_MAX
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


def _axes(end: float, step: float, unit: str) -> list[str]:
    parts = []
    for share in SHARES:
        y = _y(share)
        parts.append(
            f"<line x1='{LEFT}' y1='{y}' x2='{WIDTH - RIGHT}' y2='{y}' stroke='#dddddd'/>"
            f"<text x='{LEFT - 8}' y='{y + 4}' {FONT} fill='#555555' "
            f"text-anchor='end'>{share} %</text>"
        )
    for number in range(round(end / step) + 1):
        x = _x(number * step, end)
        parts.append(
            f"<line x1='{x}' y1='{_y(0)}' x2='{x}' y2='{_y(0) + 5}' stroke='#555555'/>"
            f"<text x='{x}' y='{_y(0) + 20}' {FONT} fill='#555555' "
            f"text-anchor='middle'>{number * step:g}</text>"
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f"<line x1='{LEFT}' y1='{_y(0)}' x2='{WIDTH - RIGHT}' y2='{_y(0)}' stroke='#555555'/>"
        f"<text x='{middle}' y='{HEIGHT - 12}' {FONT} fill='#555555' "
        f"text-anchor='middle'>{escape(unit)}</text>"
    )
    return parts


def _line(one: Series, end: float, colour: str) -> str:
    ordered = sorted(one.values)
    points = [(0.0, 0.0)]
    for number, value in enumerate(ordered, 1):
        points.append((value, points[-1][1]))
        points.append((value, 100 * number / len(ordered)))
    points.append((end, 100.0))
    text = " ".join(f"{_x(value, end)},{_y(share)}" for value, share in points)
    return f"<polyline points='{text}' fill='none' stroke='{colour}' stroke-width='2'/>"


def _legend(one: Series, number: int, colour: str) -> str:
    y = _y(0) - 14 - 20 * number
    right = WIDTH - RIGHT - 10
    label = f"{one.name} ({len(one.values)})"
    return (
        f"<line x1='{right - 24}' y1='{y - 4}' x2='{right}' y2='{y - 4}' stroke='{colour}' "
        f"stroke-width='3'/><text x='{right - 32}' y='{y}' {FONT} fill='#222222' "
        f"text-anchor='end'>{escape(label)}</text>"
    )
