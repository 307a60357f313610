"""Runs ministack and stops it when the parent process is gone. Standard library only: it is run
by the interpreter of ministack's own environment, not imported."""

import importlib
import os
import signal
import sys
import tempfile
import threading
import time

SAVE_TIMEOUT_S = 10.0
"""How long a stop may take to save the tables before the process ends without it."""


def stop_with_parent(fd: int) -> None:
    # Nobody ever writes: a read returns when every copy of the other end is closed.
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVE_TIMEOUT_S)
    os._exit(1)


def main() -> None:
    parent_fd = os.environ.pop("PACELINE_PARENT_FD", "")
    if parent_fd:
        threading.Thread(target=stop_with_parent, args=(int(parent_fd),), daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="paceline-embedded-") as scratch:
        # It writes a pid file into the temporary directory, whoever else's may be there.
        tempfile.tempdir = scratch
        sys.argv = ["ministack"]
        importlib.import_module("ministack.app").main()


if __name__ == "__main__":
    main()
