"""Outlives the process that started it by a moment, to end what that one left running.

Run as a program by its path, standard library only; its argument is a number of seconds. It
reads lines from stdin: ``+N`` (a process group was started), ``-N`` (it is gone), ``!PATH`` (a
directory to remove at the end). When stdin ends, the listed groups have those seconds to notice
by themselves and end gracefully; what is left then is told to stop, killed if it does not, and the
directory is removed: so nothing stays behind when the parent is killed with SIGKILL, not even a
child that knows nothing of its parent or one that was paused.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

OWN_STOP_S = 4.0
"""The time for children to notice their parent's death, longer than a node's own grace. A SIGTERM
earlier would be their second request to stop, on which they end at once."""
TERM_S = 1.0
"""The time for the others between SIGTERM and SIGKILL."""
_POLL_S = 0.05


def watch() -> tuple[set[int], list[str]]:
    """Reads until stdin ends, and returns what is left: process groups and directories."""
    groups: set[int] = set()
    directories: list[str] = []
    # One line per start and stop of a child; the wait for the next has no deadline by purpose.
    for line in sys.stdin:
        mark, rest = line[:1], line[1:].rstrip("\n")
        if mark == "+":
            groups.add(int(rest))
        elif mark == "-":
            groups.discard(int(rest))
        elif mark == "!":
            directories.append(rest)
    return groups, directories


def signal_group(group: int, number: signal.Signals) -> bool:
    """Signals the group; False if it no longer exists."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS says so for a group of which only unreaped processes are left.
        return False
    return True


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def wait_gone(groups: set[int], timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while any(alive(group) for group in groups) and time.monotonic() < until:
        time.sleep(_POLL_S)


def end(groups: set[int], own_stop_s: float) -> None:
    for group in groups:
        # A paused process notices nothing until it runs again.
        signal_group(group, signal.SIGCONT)
    wait_gone(groups, own_stop_s)
    for group in groups:
        signal_group(group, signal.SIGTERM)
    wait_gone(groups, TERM_S)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def main() -> None:
    # The guard's own group is not the terminal's; a stray signal must not leave children alone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups, directories = watch()
    end(groups, float(sys.argv[1]))
    for directory in directories:
        with contextlib.suppress(OSError):
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
