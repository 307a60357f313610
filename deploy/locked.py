"""Prints the named packages' entries of a requirements file, with their hashes.

The image build takes its build backend from the development lock this way, without installing
everything else that is locked there. Standard library only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

_ENTRY = re.compile(r"(?m)^([A-Za-z0-9._-]+)==.*(?:\n[ \t]+.*)*")


def normalised(name: str) -> str:
    """PyPI's rule for names that are the same project."""
    return re.sub(r"[-_.]+", "-", name).lower()


def select(lock: str, names: Iterable[str]) -> str:
    """The entries of ``names``, in their order; LookupError names the ones that are not locked."""
    entries = {normalised(match[1]): match[0] for match in _ENTRY.finditer(lock)}
    wanted = [normalised(name) for name in names]
    if missing := [name for name in wanted if name not in entries]:
        raise LookupError(f"not locked: {', '.join(missing)}")
    return "".join(f"{entries[name]}\n" for name in wanted)


if __name__ == "__main__":
    try:
        sys.stdout.write(select(Path(sys.argv[1]).read_text(), sys.argv[2:]))
    except LookupError as error:
        raise SystemExit(f"{sys.argv[1]}: {error}") from None
