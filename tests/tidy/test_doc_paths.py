"""Every file that the pages for contributors and sources name is there; links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["CONTRIBUTING.md", "docs/architecture.md"]

SOURCES = ["cluster", "node", "discovery", "client/src/paceline", "local/src/paceline_local"]

_SOURCE_PATH = re.compile(r"``((?:[\w-]+/)+[\w-]+\.(?:py|md|proto))``")
_PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def missing(page: str, folder: Path, root: Path) -> Iterator[str]:
    """The paths in ``code`` are from the root, those of links from the page's folder."""
    for path in _PATH.findall(page):
        if not (root / path).exists():
            yield path
    for link in _LINK.findall(page):
        if not (folder / link).exists():
            yield link


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_names_is_there(name: str) -> None:
    page = (ROOT / name).read_text()
    assert len(_PATH.findall(page)) > 20
    assert list(missing(page, (ROOT / name).parent, ROOT)) == []


def anchors(page: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {text.replace(" ", "-") for text in plain}


def dead(page: str, folder: Path) -> Iterator[str]:
    """Links to files, or to headings in them, that are not there."""
    for path, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", page):
        target = folder / path
        if path and not target.exists():
            yield path
        elif anchor and anchor not in anchors(target.read_text() if path else page):
            yield f"{path}#{anchor}"


def test_links_of_all_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert len(pages) > 40
    assert {
        page.name: found for page in pages if (found := list(dead(page.read_text(), page.parent)))
    } == {}


def test_files_that_sources_name_are_there() -> None:
    sources = [each for name in SOURCES for each in (ROOT / name).rglob("*.py")]
    assert len(sources) > 500
    for source in sources:
        for path in _SOURCE_PATH.findall(source.read_text()):
            places = [ROOT / root / path for root in ("", "client/src", "local/src")]
            assert any(place.exists() for place in places), f"{source}: {path}"


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# What `it` is, and why?\n")
    page = "## Here\n[1](a.md#what-it-is-and-why) [2](#here) [3](a.md#gone) [4](#gone) [5](b.md) [6](https://x)"
    assert list(dead(page, tmp_path)) == ["a.md#gone", "#gone", "b.md"]


def test_what_is_not_there_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "here.py").touch()
    page = "`node/here.py` `node/` `node/gone.py` `gone/` [a](node/here.py#x) [b](gone.md)"
    assert list(missing(page, tmp_path, tmp_path)) == ["node/gone.py", "gone/", "gone.md"]
