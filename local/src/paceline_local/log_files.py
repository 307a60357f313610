"""Log files that do not grow for ever, of programs that write to their standard output."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

LOG_BYTES_MAX = 16 * 1024 * 1024
LOGS_KEPT = 3
"""The number of old logs: ``NAME.log.1``, the youngest, to ``NAME.log.3``."""
CHECK_S = 1.0
"""The interval of checks. A program that writes all the time adds some megabytes a second."""


def rotate(path: Path, bytes_max: int = LOG_BYTES_MAX, kept: int = LOGS_KEPT) -> bool:
    """Whether ``path`` was over its size; it is empty then, and its content in ``path.1``.

    Its writer has it open for appending and goes on at the new end. What it writes in the moment
    between copy and cut is lost. Where there is no room for a copy there is none.
    """
    try:
        if path.stat().st_size <= bytes_max:
            return False
    except OSError:
        return False
    numbered = [path.with_name(f"{path.name}.{number}") for number in range(1, kept + 1)]
    with contextlib.suppress(OSError):
        for older, newer in zip(numbered[::-1], numbered[-2::-1], strict=False):
            if newer.exists():
                newer.replace(older)
        try:
            shutil.copyfile(path, numbered[0])
        except OSError:
            numbered[0].unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        os.truncate(path, 0)
    return True


class LogRotation:
    """Looks after log files on a thread of its own, from ``start`` to ``close``."""

    def __init__(self, paths: Callable[[], Iterable[Path]]) -> None:
        self._paths = paths
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-rotation", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._over.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(CHECK_S):
            for path in self._paths():
                rotate(path)
