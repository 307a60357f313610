"""A stream to discovery that tells of something once, and again when it has changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

SAID_S: Final = 1.0
"""Something is said at least so often: an empty message, if nothing has changed."""


Watch = Callable[[Callable[[], None]], None]
"""Takes what is to be called whenever something may have changed."""


class Notice:
    """Wakes who waits for something to be another than before."""

    def __init__(self, what: Callable[[], object], watch: Watch) -> None:
        self._what = what
        self._seen = what()
        self._changed = asyncio.Event()
        watch(self._look)

    def _look(self) -> None:
        now = self._what()
        if now != self._seen:
            self._seen = now
            self._changed.set()
            self._changed = asyncio.Event()  # those who wait have the one before

    @property
    def next(self) -> asyncio.Event:
        """Set with the next change from now on."""
        return self._changed


async def looked_at(changed: Callable[[], Sequence[bytes]], notice: Notice) -> AsyncIterator[bytes]:
    """What ``changed`` gives each time that it is asked: at first, and whenever ``notice`` tells,
    or nothing was to be said for ``SAID_S``; until it is closed."""
    while True:
        following = notice.next
        for message in changed() or (b"",):
            yield message
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SAID_S):
                await following.wait()
