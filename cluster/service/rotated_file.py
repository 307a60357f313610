"""A file that lines are appended to, and that is renamed when it is full."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MODE = 0o600


class RotatedFile:
    """``PATH`` and up to ``files_max - 1`` older ones: ``PATH.1``, the youngest, and so on. It may
    be renamed by others, too: what comes then goes to a new one.

    ``append`` raises OSError if not all of the lines are in the file; then none are, as far as the
    file can be cut again, and it may be called again with others.
    """

    def __init__(self, path: Path, bytes_max: int, files_max: int) -> None:
        """OSError."""
        self._path = path
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._descriptor = -1
        self._torn = False
        """The file ends with a part of a line."""
        self._open()

    def append(self, lines: bytes) -> None:
        if self._descriptor < 0 or not self._is_there():
            self._open()
        size = os.fstat(self._descriptor).st_size
        if size and size + len(lines) > self._bytes_max and self._is_file():
            self._rotate()
            size = 0
        data = b"\n" + lines if self._torn else lines
        done = 0
        try:
            while done < len(data):
                done += os.write(self._descriptor, data[done:])
        except OSError:
            if done:
                self._torn = True
                os.ftruncate(self._descriptor, size)
                self._torn = False
            raise
        self._torn = False

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self) -> None:
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, MODE)
        if self._is_file():
            os.fchmod(self._descriptor, MODE)  # it may have been there, readable for others

    def _is_there(self) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def _is_file(self) -> bool:
        return stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def _rotate(self) -> None:
        """Each of the older ones gets the next number; the last one goes."""
        names = [
            self._path,
            *(
                self._path.with_name(f"{self._path.name}.{number}")
                for number in range(1, self._files_max)
            ),
        ]
        for older, newer in zip(names[::-1], names[-2::-1], strict=False):
            if newer.exists():
                newer.replace(older)
        if len(names) == 1:
            os.ftruncate(self._descriptor, 0)
        self._open()
