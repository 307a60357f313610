"""When a log is compacted, and what if its state has grown too large for that."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from cluster.consensus.core.messages import SNAPSHOT_BYTES_MAX

_log = structlog.get_logger()


class Compacting:
    """``entries``: the number of applied entries after which the log is compacted."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._put_off_at = 0
        """The index up to which the log was applied when its state was too large."""

    def snapshot_if_due(
        self, applied: int, base: int, snapshot: Callable[[], bytes]
    ) -> bytes | None:
        """Returns the state for a compaction; None: it is not due, or cannot be.

        A state that no disk and no peer takes as a snapshot is no reason to end: the log goes on
        with the snapshot before it, and this is tried again after as many entries.
        """
        if applied - max(base, self._put_off_at) < self._entries:
            return None
        data = snapshot()
        if len(data) <= SNAPSHOT_BYTES_MAX:
            return data
        self._put_off_at = applied
        _log.error(
            "the state is too large for a snapshot; the log grows until it is smaller",
            bytes=len(data),
            most=SNAPSHOT_BYTES_MAX,
        )
        return None
