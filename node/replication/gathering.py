"""Lets messages gather for one frame while more of them are being made.

A frame costs both ends much more than a message in it. So who is about to send one, and knows that
others are at work on what will need one, too, lets the event loop have some turns before. There is
no timer in it: a lone message is not held up at all, and an idle loop's turn takes microseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

QUIET_TURNS = 2
"""So many turns in a row without a further message end the wait."""

GATHER_S = 0.02
"""The wait ends after so long in any case. The turns of a busy loop take milliseconds."""


async def gathered(count: Callable[[], int]) -> None:
    """Returns when no more messages come with every turn. ``count``: those that there are."""
    now = asyncio.get_running_loop().time
    until = now() + GATHER_S
    before = -1
    while count() != before and now() < until:
        before = count()
        for _ in range(QUIET_TURNS):
            await asyncio.sleep(0)
