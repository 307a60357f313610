"""What a request holds beside itself: answers of DynamoDB and cached ones, as Python's objects.

A front end opens a charge for each request; who makes objects of an answer asks for room before.
Tasks that a request has made count for it.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from cluster.transport.memory import MemoryBudget
from paceline.errors import ServiceError

WRITE_WAITS_S = 15.0
"""The answer to a write waits for room so long, since others' requests end within that. Then it is
taken all the same: it was done, and that must be told."""
LOOK_S = 0.05

NO_ROOM = "the node has no memory for so large an answer now: try again"


class ReadRefused(ServiceError):
    """There is no room for what was read; nothing was done."""

    def __init__(self) -> None:
        super().__init__("ThrottlingException", NO_ROOM)


class Charge:
    """Of one request."""

    __slots__ = ("_ended", "_held", "_memory")

    def __init__(self, memory: MemoryBudget) -> None:
        self._memory = memory
        self._held = 0
        self._ended = False

    def more(self, wanted: int) -> bool:
        """Counts so many bytes until the request ends; False if there is no room for them."""
        memory = self._memory
        if self._ended:
            return True  # nobody would give it back
        if memory.has_room(wanted):
            self.count(wanted)
            return True
        return memory.take_in(self, wanted)

    def count(self, wanted: int) -> None:
        """Whether there is room or not."""
        if not self._ended:
            self._memory.change(0, wanted)
            self._held += wanted

    def end(self) -> None:
        self._ended = True
        self._memory.change(self._held, 0)
        self._memory.leave(self)


_current: ContextVar[Charge | None] = ContextVar("charge", default=None)


class charged:
    """While one request is served."""

    __slots__ = ("_charge", "_token")

    def __init__(self, memory: MemoryBudget) -> None:
        self._charge = Charge(memory)

    def __enter__(self) -> None:
        self._token = _current.set(self._charge)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
        self._charge.end()


def admit_read(wanted: int) -> None:
    """Counts what the answer to a read will take; ReadRefused without room."""
    charge = _current.get()
    if charge is not None and not charge.more(wanted):
        raise ReadRefused


async def admit_write(wanted: int) -> None:
    """Counts what the answer to a write will take. Returns when there is room, or when it has
    waited for long."""
    charge = _current.get()
    if charge is None:
        return
    now = asyncio.get_running_loop().time
    until = now() + WRITE_WAITS_S
    while not charge.more(wanted):
        if now() >= until:
            charge.count(wanted)
            return
        await asyncio.sleep(LOOK_S)
