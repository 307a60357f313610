"""What the machine says of itself: traffic of its network interfaces, and memory.

It is read at a scrape, and costs requests nothing. Elsewhere than on Linux there is none of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

NETWORK = Path("/proc/self/net/dev")
CGROUP_MAX = Path("/sys/fs/cgroup/memory.max")
_RECEIVED, _SENT = 0, 8
"""Where a line's numbers begin: bytes, then packets."""

Traffic = Iterable[tuple[tuple[str, ...], float]]


def network_bytes() -> Traffic:
    return _traffic(0)


def network_packets() -> Traffic:
    return _traffic(1)


def _traffic(offset: int) -> Iterator[tuple[tuple[str, ...], float]]:
    """By direction, of all interfaces that this process sees: those of its container, or of its
    machine."""
    try:
        lines = NETWORK.read_text().splitlines()[2:]
        numbers = [[int(one) for one in line.partition(":")[2].split()] for line in lines]
        yield ("in",), sum(line[_RECEIVED + offset] for line in numbers)
        yield ("out",), sum(line[_SENT + offset] for line in numbers)
    except (OSError, ValueError, IndexError):
        return


def memory_bytes_max() -> float:
    """What this process may use at most: its container's limit, or the machine's memory."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0.0
    try:
        return min(machine, int(CGROUP_MAX.read_text()))
    except (OSError, ValueError):  # there is no limit, or no cgroup
        return machine
