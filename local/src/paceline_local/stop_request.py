"""Notices that this process should stop: by a signal, or by the end of its parent."""

import contextlib
import os
import select
import signal
import threading
from types import FrameType

from paceline.errors import ConfigError
from paceline_local.supervisor import PARENT_FD_VARIABLE


class StopRequest:
    """``requested`` after the first signal, ``urgent`` after the second.

    SIGINT, SIGTERM and SIGHUP count; a SIGHUP that was ignored before (nohup) stays ignored. The
    end of the pipe named by PACELINE_PARENT_FD counts as a first signal. Handlers set flags and
    write to a pipe, which ``wait`` looks at. They take no lock: the code that they interrupt may
    hold it, as ``threading.Event`` does in its own ``wait``, and would never go on.
    """

    def __init__(self) -> None:
        self._requested = False
        self._urgent = False
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def listen(self) -> None:
        """Takes over the signals; call it in the main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            signal.signal(number, self._on_signal)
        parent_fd = os.environ.pop(PARENT_FD_VARIABLE, None)
        if parent_fd is not None:
            self._watch_parent(parent_fd)

    @property
    def requested(self) -> bool:
        return self._requested

    @property
    def urgent(self) -> bool:
        return self._urgent

    def wait(self, timeout_s: float) -> bool:
        """Returns True as soon as a stop is requested, False after ``timeout_s``."""
        if not self._requested:
            select.select([self._woken], [], [], max(timeout_s, 0.0))
        return self._requested

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._urgent = self._requested
        self._request()

    def _request(self) -> None:
        self._requested = True
        with contextlib.suppress(OSError):  # it is full: who waits is woken already
            os.write(self._wake, b"x")

    def _watch_parent(self, text: str) -> None:
        try:
            descriptor = int(text)
            os.fstat(descriptor)
        except (ValueError, OSError) as error:
            raise ConfigError(
                f"{PARENT_FD_VARIABLE}={text!r} is no open file descriptor: unset it"
            ) from error
        # Whatever we start gets a pipe of its own.
        os.set_inheritable(descriptor, False)

        def watch() -> None:
            # Nothing is ever written: this returns when the parent is gone, with no deadline.
            os.read(descriptor, 1)
            self._request()

        threading.Thread(target=watch, name="parent-watch", daemon=True).start()
