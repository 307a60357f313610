"""CPU time and memory of a running process, as Linux tells them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SCHEDULED = 2
"""Which of a process's clocks (``CPUCLOCK_SCHED``): the time on a processor, to the nanosecond."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds since the process began, all threads together, those included that have ended.

    ``total`` is exact. ``user`` and ``system`` are counted by ticks of some 10 ms, so only their
    shares of a longer time mean something.
    """

    total: float
    user: float
    system: float

    def since(self, before: Cpu) -> Cpu:
        """What was used meanwhile; ``user`` and ``system`` are made to add up to ``total``."""
        total = self.total - before.total
        user, system = self.user - before.user, self.system - before.system
        share = user / (user + system) if user + system > 0 else 1.0
        return Cpu(total, total * share, total * (1 - share))

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.total + other.total, self.user + other.user, self.system + other.system)


NOTHING = Cpu(0.0, 0.0, 0.0)


def cpu(pid: int) -> Cpu:
    """OSError if there is no such process."""
    # The clock's number as clock_getcpuclockid(3) makes it.
    total = time.clock_gettime((~pid << 3) | _SCHEDULED)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Cpu(total, int(fields[11]) / _TICKS_PER_S, int(fields[12]) / _TICKS_PER_S)


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
