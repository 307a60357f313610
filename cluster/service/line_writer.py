"""Lines for a file or stdout, which a thread writes: who has one to tell never waits for a disk.

What waits is bounded. What finds no room, or cannot be written, is counted and told in the next
line that is written.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import structlog

from cluster.service.rotated_file import RotatedFile
from paceline.clock import now
from paceline.errors import ConfigError

T = TypeVar("T")

QUEUE_MAX = 10_000
"""Lines that wait to be written."""
BATCH_MAX = 256
"""Lines written at once."""
TELL_S = 60.0
"""The pause between two lines in the program's log about what cannot be written."""
STOP_S = 2.0

STDOUT = "stdout"
_STDOUT_DESCRIPTOR = 1

_log = structlog.get_logger()

Made = Callable[[list[T], Mapping[str, int]], bytes]
"""Whole lines of a batch; before them one about those that were lost, by why, if there are any."""


class Lines(Protocol):
    def append(self, lines: bytes) -> None:
        """Appends whole lines. OSError."""

    def close(self) -> None: ...


class _Stdout:
    _torn = False

    def append(self, lines: bytes) -> None:
        data = b"\n" + lines if self._torn else lines
        while data:
            data = data[os.write(_STDOUT_DESCRIPTOR, data) :]
            self._torn = bool(data)

    def close(self) -> None:
        """It is the program's."""


def lines_at(path: Path, bytes_max: int, files_max: int, setting: str) -> Lines:
    """``stdout`` is no file. ConfigError: it cannot be written."""
    if str(path) == STDOUT:
        return _Stdout()
    try:
        return RotatedFile(path, bytes_max, files_max)
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({setting}): {error.strerror}") from error


class LineWriter(Generic[T]):
    """``put`` and ``lose`` are for any thread. ``counts``: lines by what became of them:
    ``written``; ``failed``, since they could not be written; and what ``lose`` was told."""

    def __init__(
        self,
        name: str,
        lines: Lines,
        made: Made[T],
        clock: Callable[[], float] = now,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        """``name``: of the log, as a text has it."""
        self._name = name
        self._lines = lines
        self._made = made
        self._clock = clock
        self._queue_max = queue_max
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        """Of the counts; nobody waits for a disk while he has it."""
        self._lost: Counter[str] = Counter()
        """Since the last line that was written."""
        self._told_at = float("-inf")
        self.counts: Counter[str] = Counter()
        self.trouble: str | None = None
        """Why lines cannot be written now."""

    @property
    def is_full(self) -> bool:
        return self._queue.qsize() >= self._queue_max

    def put(self, one: T) -> None:
        """Also where it is full: that is for the caller to look at."""
        self._queue.put(one)

    def lose(self, why: str, count: int = 1) -> None:
        with self._lock:
            self.counts[why] += count
            self._lost[why] += count

    def start(self) -> None:
        name = self._name.replace(" ", "-")
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Writes what waits, as far as that takes no longer than ``STOP_S``."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join, STOP_S)

    def as_dict(self) -> dict[str, Any]:
        return {**dict(sorted(self.counts.items())), "trouble": self.trouble}

    def items(self) -> list[tuple[tuple[str], float]]:
        return [((what,), float(count)) for what, count in sorted(self.counts.items())]

    def _run(self) -> None:
        while True:
            # Without a deadline: there may be nothing to tell for days. ``stop`` ends it.
            batch = [self._queue.get()]
            while len(batch) < BATCH_MAX and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            self._write([one for one in batch if one is not None])
            if batch[-1] is None:
                self._lines.close()
                return

    def _write(self, batch: list[T]) -> None:
        if not batch:
            return
        with self._lock:
            lost, self._lost = self._lost, Counter()
        try:
            self._lines.append(self._made(batch, lost))
        except OSError as error:
            with self._lock:
                self._lost += lost
            self.lose("failed", len(batch))
            self._complain(error.strerror or str(error))
            return
        self.counts["written"] += len(batch)
        if self.trouble is not None:
            self.trouble = None
            _log.info(f"the {self._name} is written again", failed=self.counts["failed"])

    def _complain(self, why: str) -> None:
        self.trouble = why
        at = self._clock()
        if at - self._told_at >= TELL_S:
            self._told_at = at
            failed = self.counts["failed"]
            _log.error(f"the {self._name} cannot be written", reason=why, failed=failed)
