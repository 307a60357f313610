"""One change to the production code that some test should notice: a patch, or a planted bug."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.simulation.planting import Change, DoesNotApply, Plant, find, source_of

GIT_S = 60.0


class Mutant(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def plant(self) -> str | None:
        """By its name; None: whoever simulates finds the change in the tree."""

    def touched(self) -> list[str]:
        """Paths in the tree, of what it changes. DoesNotApply."""

    def apply(self, tree: Path) -> None:
        """DoesNotApply."""


@dataclass(frozen=True)
class PatchMutant:
    """A unified diff, as ``git diff`` writes it."""

    path: Path
    plant: None = None

    @property
    def name(self) -> str:
        return self.path.stem

    def touched(self) -> list[str]:
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if line.startswith("+++ ") and not line.startswith("+++ /dev/null"):
                found.append(line[4:].split("\t")[0].strip().partition("/")[2])
        if not found:
            raise DoesNotApply(f"{self.path.name} is no unified diff")
        return found

    def apply(self, tree: Path) -> None:
        done = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", str(self.path.resolve())],
            cwd=tree,
            # Else git would take the tree for a part of a repository around it.
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=GIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise DoesNotApply(done.stderr.strip().splitlines()[0] if done.stderr else "git apply")


@dataclass(frozen=True)
class PlantMutant:
    bug: Plant
    root: Path

    @property
    def name(self) -> str:
        return self.bug.name

    @property
    def plant(self) -> str | None:
        return self.bug.name

    def touched(self) -> list[str]:
        return list(dict.fromkeys(_path(change, self.root) for change in self.bug.changes))

    def apply(self, tree: Path) -> None:
        # The last one of a file first: a change may have more lines than what it replaces.
        for change in sorted(self.bug.changes, key=_line, reverse=True):
            function, _ = find(change.where)
            path = tree / _path(change, self.root)
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            start = function.__code__.co_firstlineno - 1
            count = source_of(function).count("\n")
            text = "".join(lines[start : start + count])
            margin = text[: len(text) - len(text.lstrip())]
            old, new = (part.replace("\n", "\n" + margin) for part in (change.old, change.new))
            if text.count(old) != 1:
                raise DoesNotApply(f"{change.where} has {change.old!r} {text.count(old)} times")
            lines[start : start + count] = [text.replace(old, new)]
            path.write_text("".join(lines), encoding="utf-8")


def _line(change: Change) -> int:
    return find(change.where)[0].__code__.co_firstlineno


def _path(change: Change, root: Path) -> str:
    function, _ = find(change.where)
    return str(Path(function.__code__.co_filename).resolve().relative_to(root.resolve()))


def copy_tree(root: Path, target: Path) -> Path:
    """What git knows of ``root``, as it is in the work tree, and links to what it leaves out."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        timeout=GIT_S,
        check=True,
    )
    for name in filter(None, done.stdout.decode().split("\0")):
        source, copy = root / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    return target


def patches(folder: Path) -> Sequence[PatchMutant]:
    return [PatchMutant(path) for path in sorted(folder.glob("*.patch"))]
