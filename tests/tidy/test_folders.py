"""Every folder says what its files are for, one line each."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [
    *(ROOT / "node", ROOT / "cluster", ROOT / "discovery"),
    *(ROOT / "client/src/paceline/access", ROOT / "client/src/paceline/dax"),
]
FOLDERS = [
    folder
    for package in PACKAGES
    for folder in [package, *sorted(path.parent for path in package.glob("*/__init__.py"))]
]


def named(docstring: str) -> set[str]:
    """The names that begin a line of it, or stand further on in one as ``name``."""
    return set(re.findall(r"``(\w+)``", docstring))


def parts(folder: Path) -> set[str]:
    files = {path.stem for path in folder.glob("*.py")}
    folders = {path.parent.name for path in folder.glob("*/__init__.py")}
    return (files | folders) - {"__init__"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_names_all_that_is_in_it(folder: Path) -> None:
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    missing = parts(folder) - named(docstring)
    assert not missing, f"{folder.name}/__init__.py says nothing of {sorted(missing)}"


def test_what_is_missing_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").touch()
    assert parts(tmp_path) - named("``one``  the first\n") == {"two"}
