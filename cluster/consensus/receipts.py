"""When the entries of the log that are not applied yet came to this participant. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.consensus.core.messages import Append, Write


class Receipts:
    """Of each entry the time at which it was taken into the log here, later than it was proposed.

    There is one entry at most of an index and a term anywhere. One that takes another's place in
    the log is noted anew, so the time is that of the one that is applied.
    """

    def __init__(self) -> None:
        self._times: dict[int, float] = {}

    def note(self, writes: Sequence[Write], now: float) -> None:
        """Notes the entries among these writes."""
        for write in writes:
            if isinstance(write, Append):
                for entry in write.entries:
                    self._times[entry.index] = now

    def age_s(self, index: int, now: float) -> float:
        """Returns how long ago the entry that is applied now came; 0 if it was there before this
        process. Forgets it."""
        return now - self._times.pop(index, now)

    def forget(self) -> None:
        """Forgets all: a snapshot has taken their place."""
        self._times.clear()
