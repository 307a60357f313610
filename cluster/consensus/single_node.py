"""Consensus of one: a log in a file, or in memory."""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import structlog

from cluster.consensus.interface import (
    PROPOSALS_MAX,
    OnApplied,
    OnRestored,
    ProposalRefused,
    ProposalUnknown,
    StateMachine,
)
from cluster.data_dir import damaged, replace_file
from cluster.log.commands import COMMAND_BYTES_MAX
from cluster.log.state import CommandResult
from paceline.errors import ConfigError

_log = structlog.get_logger()

MAGIC = b"paceline-log-1\n"
HEADER = struct.Struct(">IBI")
"""Payload length, kind, and CRC-32 of the payload. ``HEADER_CRC`` follows, then the payload."""

HEADER_CRC = struct.Struct(">I")
"""CRC-32 of the header. Without it a wrong length could make the rest of the file look cut
short."""

PREFIX_BYTES = HEADER.size + HEADER_CRC.size

SNAPSHOT, COMMAND = 0, 1

ENTRIES_MAX = 5_000
"""The most commands in the file before it is rewritten as one snapshot: 20 minutes of lease
renewals."""


class SingleNode:
    """Keeps the log in ``path``, or only in memory when it is None. See ``Consensus``.

    A command is synced to disk before it is applied. The file is one snapshot record, if any,
    and the commands after it; a record cut short at its very end is a command that was never
    acknowledged, and is dropped.
    """

    def __init__(
        self,
        node_id: str,
        machine: StateMachine,
        path: Path | None = None,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._id = node_id
        self._machine = machine
        self._path = path
        self._entries_max = entries_max
        self._entries = 0
        self._file: BinaryIO | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[CommandResult]] = set()
        self._on_applied: OnApplied | None = None
        self._running = False
        self._failed: str | None = None
        self._on_failed: Callable[[str], None] = lambda reason: None

    async def start(self, on_applied: OnApplied, on_restored: OnRestored) -> None:
        self._on_applied = on_applied
        if self._path is not None:
            self._replay(self._path, on_applied, on_restored)
            self._file = self._path.open("ab")
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._running = True

    async def propose(self, command: bytes, timeout_s: float) -> CommandResult:
        if not self._running or self._failed is not None:
            raise ProposalRefused(self._failed or "the log is not running")
        if len(self._under_way) >= PROPOSALS_MAX:
            raise ProposalRefused(f"{PROPOSALS_MAX} proposals are under way already")
        if len(command) > COMMAND_BYTES_MAX:
            raise ProposalRefused(f"a command of {len(command)} bytes is too large")
        task = asyncio.create_task(self._commit(command))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(task)
        except TimeoutError:
            raise ProposalUnknown(f"the disk has not answered within {timeout_s} s") from None

    @property
    def is_leader(self) -> bool:
        return self._running

    @property
    def leader(self) -> str | None:
        return self._id if self._running else None

    @property
    def has_quorum(self) -> bool:
        return self._running and self._failed is None

    @property
    def synced(self) -> bool:
        return self._running

    @property
    def members(self) -> frozenset[str]:
        return frozenset()

    @property
    def trouble(self) -> str | None:
        return self._failed

    def watch_failure(self, on_failed: Callable[[str], None]) -> None:
        self._on_failed = on_failed

    async def transfer_leadership(self, to: str | None) -> bool:
        return False

    def know_peers(self, addresses: Mapping[str, str]) -> None:
        pass

    async def add_peer(self, address: str, timeout_s: float) -> None:
        raise ProposalRefused(
            "a cluster of one cannot grow while it runs; start it with several peers"
        )

    async def remove_peer(self, address: str, timeout_s: float) -> None:
        pass

    def allow_votes(self) -> None:
        pass

    async def stop(self) -> None:
        self._running = False
        if self._under_way:
            # Bounded by PROPOSALS_MAX syncs; abandoned, they would write to a closed file.
            await asyncio.wait(set(self._under_way))
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _done(self, task: asyncio.Task[CommandResult]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: its proposer may have timed out

    async def _commit(self, command: bytes) -> CommandResult:
        async with self._lock:
            if self._failed is not None:
                raise ProposalRefused(self._failed)
            if self._executor is not None:
                loop = asyncio.get_running_loop()
                try:
                    await loop.run_in_executor(self._executor, self._append, command)
                except OSError as error:
                    # What is in the file now is not known: the next start will tell.
                    self._failed = f"cannot write {self._path}: {error.strerror or error}"
                    _log.error("log failed", reason=self._failed)
                    self._on_failed(self._failed)
                    raise ProposalUnknown(self._failed) from error
            result = self._machine.apply(command)
            self._entries += 1
            assert self._on_applied is not None
            self._on_applied(command, result, False)
            if self._executor is not None and self._entries >= self._entries_max:
                await self._compact()
            return result

    def _append(self, command: bytes) -> None:
        assert self._path is not None
        if self._file is None:  # after a rewrite
            self._file = self._path.open("ab")
        self._file.write(encode_record(COMMAND, command))
        self._file.flush()
        os.fsync(self._file.fileno())

    async def _compact(self) -> None:
        assert self._path is not None
        data = MAGIC + encode_record(SNAPSHOT, self._machine.snapshot())
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._rewrite, data)
        except OSError as error:
            _log.warning("log not compacted", file=str(self._path), error=str(error))
        self._entries = 0

    def _rewrite(self, data: bytes) -> None:
        assert self._path is not None
        assert self._file is not None
        # Whether this fails before the new file has the name or after it: what is appended next
        # goes to the one that the next start will read.
        self._file.close()
        self._file = None
        replace_file(self._path, data)

    def _replay(self, path: Path, on_applied: OnApplied, on_restored: OnRestored) -> None:
        try:
            data = path.read_bytes() if path.exists() else b""
            records, end = decode_log(data, path)
            if end == 0:
                replace_file(path, MAGIC)
            elif end < len(data):
                _log.warning("dropped a command cut short", file=str(path), bytes=len(data) - end)
                os.truncate(path, end)
        except OSError as error:
            raise ConfigError(f"cannot use {path}: {error.strerror or error}") from error
        for kind, payload in records:
            if kind == SNAPSHOT:
                try:
                    self._machine.restore(payload)
                except ValueError as error:
                    raise damaged(path, str(error)) from error
                on_restored(payload)
            else:
                on_applied(payload, self._machine.apply(payload), True)
                self._entries += 1


def encode_record(kind: int, payload: bytes) -> bytes:
    header = HEADER.pack(len(payload), kind, zlib.crc32(payload))
    return header + HEADER_CRC.pack(zlib.crc32(header)) + payload


def decode_log(data: bytes, file: Path) -> tuple[list[tuple[int, bytes]], int]:
    """Returns the records as (kind, payload), and the offset at which the last complete one ends, 0
    for an empty file. Raises ConfigError when anything but the very end is damaged."""
    if len(data) < len(MAGIC) and MAGIC.startswith(data):
        return [], 0
    if not data.startswith(MAGIC):
        raise damaged(file, "it does not begin like a log")
    records = []
    position = len(MAGIC)
    while position + PREFIX_BYTES <= len(data):
        header = data[position : position + HEADER.size]
        length, kind, crc = HEADER.unpack(header)
        (header_crc,) = HEADER_CRC.unpack_from(data, position + HEADER.size)
        if header_crc != zlib.crc32(header) or kind not in (SNAPSHOT, COMMAND):
            if not any(data[position:]):
                break  # a file system may give a file its length before its content
            raise damaged(file, f"no record at byte {position}")
        end = position + PREFIX_BYTES + length
        if end > len(data):
            break
        payload = data[position + PREFIX_BYTES : end]
        if zlib.crc32(payload) != crc:
            if end == len(data):
                break
            raise damaged(file, f"wrong checksum at byte {position}")
        records.append((kind, payload))
        position = end
    return records, position
