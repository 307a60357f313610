"""Keeps how far a run has come in a file, so that another one can go on from there."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline.errors import ConfigError
from paceline.types import Item

VERSION = 1


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Everything before it is done.

    ``records``: of the source, from its start. For sources that are read in pages, ``start`` is
    where the present page begins, and ``skip`` how many of its records are done.
    """

    records: int = 0
    start: Item | None = None
    skip: int = 0


def load(path: Path, run: dict[str, Any]) -> SourcePosition | None:
    """Reads the position; None if there is no file. ConfigError if it is of another run than
    ``run``, or no state."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as the state of a run: {error}") from error
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ConfigError(f"{path} is no state of a run: choose another name")
    if found.get("run") != run:
        raise ConfigError(
            f"{path} is the state of another run ({json.dumps(found.get('run'))}): repeat that "
            "one's options, or remove the file to begin anew"
        )
    return SourcePosition(found["records"], _from_json(found["start"]), found["skip"])


def save(path: Path, run: dict[str, Any], position: SourcePosition) -> None:
    """Replaces the file in one step. ConfigError if it cannot be written."""
    text = json.dumps(
        {
            "version": VERSION,
            "run": run,
            "records": position.records,
            "start": _to_json(position.start),
            "skip": position.skip,
        }
    )
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _to_json(key: Item | None) -> Any:
    return key and {
        name: {
            kind: base64.b64encode(content).decode() if kind == "B" else content
            for kind, content in value.items()
        }
        for name, value in key.items()
    }


def _from_json(key: Any) -> Item | None:
    return key and {
        name: {
            kind: base64.b64decode(content) if kind == "B" else content
            for kind, content in value.items()
        }
        for name, value in key.items()
    }
