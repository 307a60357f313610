"""Asks the members of the old epochs what they remember, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cluster.coherence.memory import Memory
from cluster.coherence.takeover import Decision, Takeover
from paceline.errors import PacelineError


async def collect(
    takeover: Takeover, ask: Callable[[str], Awaitable[Memory]], clock: Callable[[], float]
) -> Decision:
    """Ends by ``takeover``'s own deadline. ``ask`` raises PacelineError for a node that does not
    answer."""
    asking = {asyncio.ensure_future(ask(node_id)): node_id for node_id in sorted(takeover.asked)}
    waiting = dict(asking)
    try:
        while (decision := takeover.decide(clock())) is None:
            left_s = max(takeover.next_deadline() - clock(), 0.0)
            done, _ = await asyncio.wait(
                waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            for answer in [each for each in waiting if each in done]:
                node_id = waiting.pop(answer)
                try:
                    takeover.answered(node_id, answer.result())
                except PacelineError:
                    takeover.failed(node_id)
        return decision
    finally:
        for answer in waiting:
            answer.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
