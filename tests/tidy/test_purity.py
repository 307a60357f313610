"""What says that it is pure is so, through everything that it imports from this repository."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.tidy import purity
from tests.tidy.test_sources import ROOT, product_files


def sources() -> dict[str, str]:
    return dict(_read())


@cache
def _read() -> dict[str, str]:
    found = {}
    for name in product_files():
        parts = Path(name.partition("/src/")[2] or name).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[module] = (ROOT / name).read_text(encoding="utf-8")
    return found


def test_what_says_that_it_is_pure_is_so() -> None:
    modules = sources()
    pure = [module for module, source in modules.items() if purity.says_pure(source)]
    assert len(pure) > 30, "the modules were not found"
    assert [way for module in pure for way in purity.impure(module, modules)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import asyncio",
        "import os.path",
        "from socket import socket",
        "def late():\n    import time",
        "import paceline.clock",
        "from paceline import clock",
        "from paceline.clock import now",
        "from cluster.agent import Agent",
    ],
)
def test_a_planted_import_is_found(line: str) -> None:
    modules = sources()
    modules["cluster.log.primary_lease"] += f"\n{line}\n"
    assert list(purity.impure("cluster.log.primary_lease", modules))
    assert list(
        purity.impure("planted", {**modules, "planted": "import cluster.log.primary_lease"})
    )


@pytest.mark.parametrize(
    "line",
    [
        "import json",
        "from cluster.log.view import Member",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio",
    ],
)
def test_other_imports_are_allowed(line: str) -> None:
    modules = sources()
    modules["cluster.log.primary_lease"] += f"\n{line}\n"
    assert not list(purity.impure("cluster.log.primary_lease", modules))


def test_the_docstring_says_it() -> None:
    assert purity.says_pure('"""Tables. Pure, given a date."""')
    assert purity.says_pure('"""Tables; pure."""')
    assert not purity.says_pure('"""In pure Python."""')
    assert not purity.says_pure('"""Purely for show."""\nPure = 1')
