"""Every metric has a place in the documentation."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from cluster.service import metrics

ROOT = Path(__file__).parents[2]
KINDS = {
    kind.__name__: "_total" if "Counter" in kind.__name__ else ""
    for kind in metrics.Series.__args__
}


def named(source: str) -> Iterator[str]:
    """The metrics that are made in ``source``, without the prefix, as a scrape shows them."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=str(name)), *_]):
                if kind in KINDS:
                    yield name + KINDS[kind]


def undocumented(source: str, pages: str) -> list[str]:
    return [name for name in named(source) if not re.search(rf"(?<![a-z]){name}(?![a-z_])", pages)]


def test_every_metric_is_documented() -> None:
    pages = "".join(page.read_text() for page in ROOT.glob("docs/*.md")).replace("paceline_", "")
    folders = ("node", "cluster", "discovery")
    sources = {one: one.read_text() for name in folders for one in (ROOT / name).rglob("*.py")}
    assert sum(len(list(named(source))) for source in sources.values()) > 40
    found = {str(path): undocumented(source, pages) for path, source in sources.items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_one_without_a_place_is_found() -> None:
    source = "Gauge('shown', 'x', f); Counter('shown', 'x', f); LabelledGauge('hidden', 'x', (), f)"
    assert undocumented(source, "`shown` and `hidden_more`") == ["shown_total", "hidden"]
