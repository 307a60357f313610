"""Every file that the pages for contributors name is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["CONTRIBUTING.md", "docs/architecture.md"]

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


def test_what_is_not_there_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "here.py").touch()
    page = "`node/here.py` `node/` `node/gone.py` `gone/` [a](node/here.py#x) [b](gone.md)"
    assert list(missing(page, tmp_path, tmp_path)) == ["node/gone.py", "gone/", "gone.md"]
