"""A module whose docstring says "Pure" decides: it neither waits, nor reads clocks, nor draws
random numbers, nor opens files or sockets; nor does whatever it imports from this repository."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

FORBIDDEN = frozenset(
    {
        *("asyncio", "concurrent", "multiprocessing", "selectors", "signal", "threading", "uvloop"),
        *("grpc", "httptools", "socket", "ssl", "subprocess"),
        *("aiobotocore", "aiohttp", "boto3", "botocore"),
        *("os", "shutil", "tempfile"),
        *("random", "secrets", "time", "uuid"),
    }
)

_PURE = re.compile(r"\bpure\b(?! Python)", re.IGNORECASE)

Sources = Mapping[str, str]
"""Source text by dotted module name; a package has the name of its folder."""


@lru_cache(None)
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def says_pure(source: str) -> bool:
    return bool(_PURE.search(ast.get_docstring(_parsed(source)) or ""))


def impure(module: str, sources: Sources) -> Iterator[str]:
    """The ways from ``module`` to what is forbidden, one for each forbidden name."""
    found: set[str] = set()
    seen = {module}
    ways = [(module,)]
    for way in ways:
        for name in _imports(way[-1], sources):
            top = name.partition(".")[0]
            if name in sources:
                if name not in seen:
                    seen.add(name)
                    ways.append((*way, name))
            elif top in FORBIDDEN and top not in found:
                found.add(top)
                yield " -> ".join((*way, name))


def _imports(module: str, sources: Sources) -> Iterator[str]:
    """Modules that are imported when ``module`` runs. Packages above it are passed over: whoever
    imports one of their modules runs their ``__init__`` anyway."""
    for node in _statements(sources[module]):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        else:
            assert node.module is not None, f"{module}: imports are absolute"
            for one in node.names:
                whole = f"{node.module}.{one.name}"
                yield whole if whole in sources else node.module


@lru_cache(None)
def _statements(source: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    found = _running(_parsed(source))
    return tuple(node for node in found if isinstance(node, ast.Import | ast.ImportFrom))


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements but those that only a type checker looks at."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _running(node)
