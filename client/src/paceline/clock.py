"""The one place that reads a clock.

Leases compare durations between processes, so the clock must go on while the machine is
suspended: CLOCK_BOOTTIME on Linux; on macOS CLOCK_MONOTONIC already does.
"""

import time
from datetime import UTC, datetime

_CLOCK_ID: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds on a clock that never steps back and counts suspended time; no epoch."""
    return time.clock_gettime(_CLOCK_ID)


def wall_time() -> float:
    """Seconds since 1970, for what people and protocols are told; it may step. Decides nothing."""
    return time.time()


def utc_now() -> datetime:
    """Returns ``wall_time`` as a date, with its zone."""
    return datetime.fromtimestamp(wall_time(), UTC)
