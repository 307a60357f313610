"""What a disk asks of a file system: one directory, and files in it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Protocol

ZEROS = bytes(64 * 1024)

_NOT_OFFERED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


class File(Protocol):
    """Open for reading and writing. All methods raise OSError."""

    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """Less only at the end of the file."""

    def write(self, offset: int, data: bytes) -> None:
        """All of it; if it fails, any part of it may have been written."""

    def extend(self, size: int) -> None:
        """The file grows to ``size`` by zeros, for which space is taken: writing over them needs
        none. If that fails, it has not grown."""

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None:
        """What was written is durable, and so is the size; not the file's name."""

    def close(self) -> None: ...


class Directory(Protocol):
    """All methods but ``path`` raise OSError."""

    @property
    def path(self) -> Path:
        """For messages."""

    def names(self) -> list[str]: ...

    def open(self, name: str) -> File: ...

    def create(self, name: str) -> File:
        """Empty; whatever had that name has gone."""

    def rename(self, old: str, new: str) -> None:
        """At once: ``new`` is the old or the new file, whenever it is looked at."""

    def remove(self, name: str) -> None: ...

    def sync(self) -> None:
        """What names stand for is durable."""


class OsFile:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        if len(data) == length or not data:
            return data
        parts, offset = [data], offset + len(data)
        while (missing := length - sum(map(len, parts))) > 0:
            data = os.pread(self._fd, missing, offset)
            if not data:
                break
            parts.append(data)
            offset += len(data)
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            offset += written
            view = view[written:]

    def extend(self, size: int) -> None:
        before = self.size()
        try:
            self._take(before, size)
        except OSError:
            os.ftruncate(self._fd, before)
            raise

    def _take(self, before: int, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._fd, before, size - before)
                return
            except OSError as error:
                if error.errno not in _NOT_OFFERED:
                    raise
        for offset in range(before, size, len(ZEROS)):
            self.write(offset, ZEROS[: size - offset])

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        _sync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class OsDirectory:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        return self._path

    def names(self) -> list[str]:
        return os.listdir(self._path)

    def open(self, name: str) -> OsFile:
        return OsFile(os.open(self._path / name, os.O_RDWR | os.O_CLOEXEC))

    def create(self, name: str) -> OsFile:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return OsFile(os.open(self._path / name, flags, 0o600))

    def rename(self, old: str, new: str) -> None:
        os.replace(self._path / old, self._path / new)

    def remove(self, name: str) -> None:
        os.unlink(self._path / name)

    def sync(self) -> None:
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _sync(fd: int) -> None:
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's own cache there
    else:
        os.fdatasync(fd)  # with the size, which is needed to read it; without times
