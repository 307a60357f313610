"""What benchmarks and tests import of the product exists, also where no test imports the file.

mypy looks at the product alone, and most benchmarks run by hand: a name that was changed there
would be missed by whoever runs one next.
"""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("cluster", "discovery", "node", "paceline", "paceline_local", "paceline_server")


def imported(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of every ``from MODULE import NAME`` of the product."""
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PRODUCT:
            yield from ((str(node.module), alias.name) for alias in node.names)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Without the expressions in them, which are most of all nodes."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.expr):
            yield node
            yield from statements(node)


@cache
def exists(module: str, name: str) -> bool:
    try:
        if hasattr(importlib.import_module(module), name):
            return True
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


def test_a_name_that_is_gone_is_found() -> None:
    source = "from node.main import main, gone\nfrom node.gone import main\nfrom json import x\n"
    assert [pair for pair in imported(source) if not exists(*pair)] == [
        ("node.main", "gone"),
        ("node.gone", "main"),
    ]


def test_every_imported_name_exists() -> None:
    files = [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("tests/**/*.py")]
    assert len(files) > 300
    assert [
        f"{path.relative_to(ROOT)}: {module} has no {name}"
        for path in files
        for module, name in imported(path.read_text())
        if not exists(module, name)
    ] == []
