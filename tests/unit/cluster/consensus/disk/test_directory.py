"""Real files, and the thread that writes them."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from cluster.consensus.core.messages import Append, Entry, HardState, Kind
from cluster.consensus.disk import disk as disk_module
from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.errors import DiskFailed
from cluster.consensus.disk.thread import DiskThread
from paceline.errors import ConfigError
from tests.support.memory_directory import MemoryDirectory
from tests.unit.cluster.consensus.disk.model import BEGIN, NAME, written


class TestFiles:
    def test_space_is_taken_as_zeros(self, tmp_path: Path) -> None:
        file = OsDirectory(tmp_path).create("f")
        file.write(0, b"abc")
        file.extend(100_000)
        assert file.size() == 100_000
        assert file.read(0, 200_000) == b"abc".ljust(100_000, b"\0")
        if hasattr(os, "posix_fallocate"):
            assert (tmp_path / "f").stat().st_blocks * 512 >= 100_000
        file.truncate(2)
        assert file.read(0, 10) == b"ab"
        file.sync()
        file.close()
        file.close()

    def test_zeros_are_written_where_no_space_can_be_reserved(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(fd: int, offset: int, length: int) -> None:
            raise OSError(errno.EOPNOTSUPP, "not supported")

        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
        file = OsDirectory(tmp_path).create("f")
        file.write(0, b"abc")
        file.extend(150_000)
        assert file.read(0, 200_000) == b"abc".ljust(150_000, b"\0")
        assert (tmp_path / "f").stat().st_blocks * 512 >= 150_000
        file.close()

    def test_a_file_that_cannot_grow_has_not_grown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.posix_fallocate

        def full(fd: int, offset: int, length: int) -> None:
            real(fd, offset, length // 2)
            raise OSError(errno.ENOSPC, "no space")

        monkeypatch.setattr(os, "posix_fallocate", full)
        file = OsDirectory(tmp_path).create("f")
        file.write(0, b"abc")
        with pytest.raises(OSError, match="no space"):
            file.extend(100_000)
        assert file.size() == 3
        file.close()

    def test_short_reads_and_writes_go_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, write = os.pread, os.pwrite
        monkeypatch.setattr(os, "pread", lambda fd, n, at: read(fd, min(n, 3), at))
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:2], at))
        file = OsDirectory(tmp_path).create("f")
        file.write(1, b"abcdefg")
        assert file.read(0, 8) == b"\0abcdefg"
        assert file.read(2, 100) == b"bcdefg"
        file.close()

    def test_names(self, tmp_path: Path) -> None:
        directory = OsDirectory(tmp_path)
        directory.create("a").close()
        directory.create("b").close()
        directory.rename("a", "b")
        directory.sync()
        assert directory.names() == ["b"]
        assert (tmp_path / "b").stat().st_mode & 0o077 == 0
        directory.remove("b")
        assert directory.names() == []


class TestThread:
    async def test_batches_are_carried_out_in_order_by_one_thread(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads = set()
        write = disk_module.Disk.write

        def watched(self: disk_module.Disk, writes: object) -> None:
            threads.add(threading.current_thread().name)
            write(self, writes)  # type: ignore[arg-type]

        monkeypatch.setattr(disk_module.Disk, "write", watched)
        disk = DiskThread(OsDirectory(tmp_path), NAME)
        assert await disk.open(BEGIN) == (1, BEGIN)
        with pytest.raises(RuntimeError, match="recovered already"):
            await disk.open(BEGIN)
        batches = [[HardState(1)]]
        batches += [[Append((Entry(index, 1, Kind.NOOP),))] for index in range(1, 20)]  # type: ignore[list-item]
        await asyncio.gather(*(disk.write(batch) for batch in batches))
        await disk.close()
        assert len(threads) == 1
        assert threads != {threading.current_thread().name}
        again = DiskThread(OsDirectory(tmp_path), NAME)
        boot, durable = await again.open(None)
        await again.close()
        assert durable == written(BEGIN, [write for batch in batches for write in batch])
        assert boot == 2

    async def test_what_a_caller_abandons_is_carried_out(self, tmp_path: Path) -> None:
        disk = DiskThread(OsDirectory(tmp_path), NAME)
        await disk.open(BEGIN)
        abandoned = asyncio.create_task(disk.write([HardState(1)]))
        await asyncio.sleep(0)
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        await disk.write([Append((Entry(1, 1, Kind.NOOP),))])
        await disk.close()
        again = DiskThread(OsDirectory(tmp_path), NAME)
        _, durable = await again.open(None)
        await again.close()
        assert (durable.hard, len(durable.entries)) == (HardState(1), 1)

    async def test_a_failed_sync_reaches_the_caller(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = DiskThread(OsDirectory(tmp_path), NAME)
        await disk.open(BEGIN)

        def fail(fd: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patched:
            for name in ("fsync", "fdatasync"):
                patched.setattr(os, name, fail, raising=False)
            with pytest.raises(DiskFailed, match="Input/output error"):
                await disk.write([HardState(1)])
        with pytest.raises(DiskFailed, match="Input/output error"):
            await disk.write([HardState(1)])
        await disk.close()

    async def test_a_refusal_leaves_no_thread(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError):
            await DiskThread(OsDirectory(tmp_path), NAME).open(None)
        with pytest.raises(ConfigError, match="No such file or directory"):
            await DiskThread(OsDirectory(tmp_path / "gone"), NAME).open(None)
        for thread in threading.enumerate():
            if thread.name.startswith("disk"):
                await asyncio.to_thread(thread.join, 10)
                assert not thread.is_alive()

    async def test_an_opening_that_is_abandoned_is_closed(self) -> None:
        directory, begun, go_on = MemoryDirectory(), threading.Event(), threading.Event()

        def step(operation: str, name: str) -> None:
            begun.set()
            assert go_on.wait(10)

        directory.step = step
        opening = asyncio.create_task(DiskThread(directory, NAME).open(BEGIN))
        await asyncio.to_thread(begun.wait, 10)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        go_on.set()
        for thread in threading.enumerate():
            if thread.name.startswith("disk"):
                await asyncio.to_thread(thread.join, 10)
        assert directory.open_files == 0
        assert "consensus.log" in directory.durable
