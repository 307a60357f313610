"""Results of long runs, a line of JSON each: a run may end at any moment, and be gone on with.

Every line names the commit that it was made at: results of different code are not added up, unless
that is asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GIT_S = 60.0
DIGEST_CHARACTERS = 8


class Refused(Exception):
    """The file is in use, or has results of something else. What to do is in the text."""


class Records:
    """One file, held by one process at a time. ``lines`` are those of before and of now."""

    def __init__(self, path: Path, descriptor: int, commit: str) -> None:
        self._path = path
        self._descriptor = descriptor
        self._commit = commit
        self.lines: list[dict[str, Any]] = []

    def add(self, line: Mapping[str, Any]) -> None:
        """It is in the file when this returns, whatever becomes of the process."""
        full = {**line, "commit": self._commit}
        data = (json.dumps(full, ensure_ascii=False) + "\n").encode()
        os.write(self._descriptor, data)
        self.lines.append(full)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["kind"] == kind]

    @property
    def commits(self) -> list[str]:
        return sorted({line["commit"] for line in self.lines})

    def _read(self) -> None:
        # Through the same descriptor: closing another one of the file would end the lock.
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            # The process was killed while it wrote: that result is made again.
            os.ftruncate(self._descriptor, len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                found = json.loads(line)
                ok = isinstance(found, dict) and "kind" in found and "commit" in found
            except ValueError:
                ok = False
            if not ok:
                raise Refused(f"{self._path}: line {number} is no result; name another file")
            self.lines.append(found)


@contextmanager
def records(path: Path, *, commit: str, mixed: bool) -> Iterator[Records]:
    """Opens or makes the file. Refused: it is in use, is something else, or has results of another
    commit and ``mixed`` is False."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        try:
            # Not flock: processes that this one forks would hold that on after its death.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(f"{path} is in use by another run") from None
        found = Records(path, descriptor, commit)
        found._read()
        others = [other for other in found.commits if other != commit]
        if others and not mixed:
            raise Refused(
                f"{path} has results of {', '.join(others)}, and this is {commit}: name another"
                " file, or say --mixed to add them up all the same"
            )
        yield found
    finally:
        os.close(descriptor)


def commit_of(root: Path) -> str:
    """Of the checkout; changes that are not committed count, by a digest of theirs."""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD").strip()
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
        if changes:
            changed = _git(root, "diff", "HEAD", "--binary")
            commit += "+" + hashlib.sha256(changed.encode()).hexdigest()[:DIGEST_CHARACTERS]
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=GIT_S,
        check=True,
    )
    return done.stdout.decode(errors="replace")


def only(lines: Sequence[Mapping[str, Any]], name: str, value: object, path: Path) -> None:
    """Refused unless every line has ``value`` there: figures of different runs are not added up."""
    others = {line[name] for line in lines} - {value}
    if others:
        told = ", ".join(map(str, sorted(others, key=str)))
        raise Refused(f"{path} was made with {name} {told}, not {value}; name another file")
