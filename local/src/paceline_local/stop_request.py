"""Notices that this process should stop: by a signal, or by the end of its parent."""

import os
import signal
import threading
from types import FrameType

from paceline.errors import ConfigError
from paceline_local.supervisor import PARENT_FD_VARIABLE


class StopRequest:
    """``requested`` after the first signal, ``urgent`` after the second.

    SIGINT, SIGTERM and SIGHUP count; a SIGHUP that was ignored before (nohup) stays ignored. The
    end of the pipe named by PACELINE_PARENT_FD counts as a first signal. Handlers only set
    flags, so they interrupt nothing half-way.
    """

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._urgent = False

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
        return self._requested.is_set()

    @property
    def urgent(self) -> bool:
        return self._urgent

    def wait(self, timeout_s: float) -> bool:
        """Returns True as soon as a stop is requested, False after ``timeout_s``."""
        return self._requested.wait(timeout_s)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._urgent = self._requested.is_set()
        self._requested.set()

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
            self._requested.set()

        threading.Thread(target=watch, name="parent-watch", daemon=True).start()
