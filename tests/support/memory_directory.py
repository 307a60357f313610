"""A file system in memory that can lose power, run full, fail a sync, and check what it is asked.

What is written is seen at once, as through a page cache, and is durable after a sync. A power loss
keeps of what was not synced anything: each write, part of it, or nothing; each name old or new.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

SECTOR_BYTES = 16
"""Small, so that what a test writes has several."""


class PowerCut(BaseException):
    """Nothing catches this by mistake."""


class Unordered(AssertionError):
    """A name was given to what is not durable."""


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


class Inode:
    def __init__(self, name: str) -> None:
        self.name = name
        self.data = bytearray()
        self.durable = bytearray()
        self.unsynced: list[tuple[int, bytes | None]] = []
        """Writes at an offset; None: the file got this size."""

    def write(self, offset: int, data: bytes | None) -> None:
        _apply(self.data, offset, data)
        self.unsynced.append((offset, data))

    def sync(self) -> None:
        """Of what a failed sync has taken for written, nothing becomes durable."""
        for offset, data in self.unsynced:
            _apply(self.durable, offset, data)
        self.unsynced.clear()

    def fail_to_sync(self) -> None:
        """Pages are taken for written, as a kernel may do; two thirds of each write have been."""
        for offset, data in self.unsynced:
            if data is not None:
                _apply(self.durable, offset, data[: len(data) * 2 // 3])
        self.unsynced.clear()

    def lose_power(self, rng: random.Random) -> None:
        mode = rng.random()
        for offset, data in self.unsynced:
            if mode < 0.2 or (mode < 0.8 and rng.random() < 0.5):
                continue
            if data is None or mode > 0.9:
                _apply(self.durable, offset, data)
                continue
            for begin in range(0, len(data), SECTOR_BYTES):
                if rng.random() < 0.6:
                    _apply(self.durable, offset + begin, data[begin : begin + SECTOR_BYTES])
        self.data = bytearray(self.durable)
        self.unsynced.clear()


def _apply(target: bytearray, offset: int, data: bytes | None) -> None:
    end = offset if data is None else offset + len(data)
    if end > len(target):
        target.extend(bytes(end - len(target)))
    if data is None:
        del target[offset:]
    else:
        target[offset:end] = data


class MemoryDirectory:
    """``step`` is called before each operation that changes something, with its name and that of
    the file; it may raise. ``space``: bytes that files may still grow by."""

    def __init__(self, path: Path = Path("/disk")) -> None:
        self.path = path
        self.inodes: dict[str, Inode] = {}
        self.durable: dict[str, Inode] = {}
        self.space = 1 << 40
        self.step: Callable[[str, str], None] = lambda operation, name: None
        self.syncs = 0
        self.largest_read = 0
        self.open_files = 0

    def names(self) -> list[str]:
        return sorted(self.inodes)

    def open(self, name: str) -> MemoryFile:
        if name not in self.inodes:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return MemoryFile(self, self.inodes[name])

    def create(self, name: str) -> MemoryFile:
        self.step("create", name)
        self.inodes[name] = Inode(name)
        return self.open(name)

    def rename(self, old: str, new: str) -> None:
        self.step("rename", old)
        if self.inodes[old].unsynced:
            raise Unordered(f"{old} is renamed, and not synced")
        self.inodes[new] = self.inodes.pop(old)
        self.inodes[new].name = new

    def remove(self, name: str) -> None:
        self.step("remove", name)
        self.space += len(self.inodes.pop(name).data)

    def sync(self) -> None:
        self.step("sync", ".")
        self.syncs += 1
        self.durable = dict(self.inodes)

    # What happens to it

    def lose_power(self, rng: random.Random) -> None:
        for name in sorted(self.inodes.keys() | self.durable.keys()):
            new = self.inodes.get(name)
            if new is self.durable.get(name) or rng.random() < 0.5:
                continue
            if new is None:
                del self.durable[name]
            else:
                self.durable[name] = new
        self.inodes = dict(self.durable)
        for inode in self.inodes.values():
            inode.lose_power(rng)

    def copy(self) -> MemoryDirectory:
        """As after an orderly end."""
        copied = MemoryDirectory(self.path)
        for name, inode in self.inodes.items():
            copied.put(name, bytes(inode.data))
        return copied

    def put(self, name: str, data: bytes) -> None:
        inode = self.inodes[name] = self.durable[name] = Inode(name)
        inode.write(0, data)
        inode.sync()

    def get(self, name: str) -> bytes:
        return bytes(self.inodes[name].data)

    def flip(self, name: str, offset: int, bit: int) -> None:
        for data in (self.inodes[name].data, self.inodes[name].durable):
            data[offset] ^= 1 << bit

    def cut(self, name: str, size: int) -> None:
        for data in (self.inodes[name].data, self.inodes[name].durable):
            del data[size:]


class MemoryFile:
    def __init__(self, directory: MemoryDirectory, inode: Inode) -> None:
        self._directory = directory
        self._inode = inode
        self._closed = False
        directory.open_files += 1

    def size(self) -> int:
        return len(self._inode.data)

    def read(self, offset: int, length: int) -> bytes:
        assert not self._closed
        self._directory.largest_read = max(self._directory.largest_read, length)
        return bytes(self._inode.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        assert not self._closed
        growth = max(offset + len(data) - self.size(), 0)
        if growth > self._directory.space:
            fits = len(data) - growth + self._directory.space
            self._directory.space = 0
            self._inode.write(offset, data[: max(fits, 0)])
            raise full()
        try:
            self._directory.step("write", self._inode.name)
        except BaseException:
            self._inode.write(offset, data[: len(data) * 2 // 3])
            raise
        self._directory.space -= growth
        self._inode.write(offset, data)

    def extend(self, size: int) -> None:
        assert not self._closed
        self._directory.step("extend", self._inode.name)
        growth = size - self.size()
        assert growth > 0
        if growth > self._directory.space:
            raise full()
        self._directory.space -= growth
        self._inode.write(size, None)

    def truncate(self, size: int) -> None:
        assert not self._closed
        self._directory.step("truncate", self._inode.name)
        self._directory.space += self.size() - size
        self._inode.write(size, None)

    def sync(self) -> None:
        assert not self._closed
        try:
            self._directory.step("sync", self._inode.name)
        except OSError:
            self._inode.fail_to_sync()
            raise
        self._directory.syncs += 1
        self._inode.sync()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._directory.open_files -= 1
