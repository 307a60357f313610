"""A stream to discovery that tells of something once, and again when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

SAID_S: Final = 1.0
"""Something is said at least so often: an empty message, if nothing has changed."""


async def looked_at(changed: Callable[[], Sequence[bytes]], look_s: float) -> AsyncIterator[bytes]:
    """What ``changed`` gives each time that it is asked, every ``look_s``; until it is closed."""
    quiet_s = 0.0
    while True:
        messages = changed()
        for message in messages:
            yield message
        if messages:
            quiet_s = 0.0
        elif quiet_s >= SAID_S:
            yield b""
            quiet_s = 0.0
        quiet_s += look_s
        await asyncio.sleep(look_s)
