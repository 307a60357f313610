"""One direction of a proxied connection: bytes in order, as late, slow or stuck as faults say."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from paceline_local.chaos.faults import HEALTHY, Faults

QUEUE_BYTES_MAX = 256 * 1024
"""The most bytes kept for one direction of one connection. Beyond it the source is not read, and
the kernel tells the sender to wait. At 50 ms of latency it still lets 5 MB/s through."""
PIECE_S = 0.02
"""On a slow link bytes leave in pieces of about this duration."""
PIECE_BYTES_MIN = 128
SETTLE_S = 0.002
"""After a blackhole, the source is listened to this long before held bytes go on: if it reset the
connection meanwhile, its kernel would not have sent them again."""


class End(Enum):
    """How a direction ends: the sender is done, has closed, or has reset the connection."""

    DONE = "done"
    CLOSED = "closed"
    RESET = "reset"


class Sink(Protocol):
    def write(self, data: bytes) -> None: ...
    def finish(self, end: End) -> None: ...


class Direction:
    """The faults of all bytes from one party to another on one channel, and what they share."""

    def __init__(self, rng: random.Random) -> None:
        self.faults: Faults = HEALTHY
        self.pipes: set[Pipe] = set()
        self.rng = rng
        self.bytes_passed = 0
        self.resets = 0
        self.requests_answered = 0
        self._free_at = 0.0

    def set(self, faults: Faults) -> None:
        """Sets the faults. They apply at once, also to what is under way."""
        if faults == self.faults:
            return
        self.faults = faults
        self._free_at = 0.0
        for pipe in tuple(self.pipes):
            pipe.retime()

    @property
    def stalled(self) -> bool:
        return self.faults.mode == "blackhole"

    def drawn(self, share: float) -> bool:
        return share > 0 and self.rng.random() < share

    def due(self, now: float, size: int) -> float:
        """The time when a piece that arrives now has got through. Connections share the
        bandwidth."""
        leaves = now
        if self.faults.bytes_per_s is not None:
            leaves = max(now, self._free_at) + size / self.faults.bytes_per_s
            self._free_at = leaves
        jitter = self.faults.jitter_s * self.rng.uniform(-1.0, 1.0)
        return leaves + max(0.0, self.faults.latency_s + jitter)

    @property
    def piece_bytes(self) -> int | None:
        if self.faults.bytes_per_s is None:
            return None
        return max(PIECE_BYTES_MIN, int(self.faults.bytes_per_s * PIECE_S))


class Pipe:
    """Bounded: beyond ``QUEUE_BYTES_MAX`` (and one read) the source is told to wait.

    ``set_reading`` starts and stops the source; ``reset`` ends the whole connection.
    """

    def __init__(
        self,
        direction: Direction,
        *,
        set_reading: Callable[[bool], None],
        reset: Callable[[], None],
    ) -> None:
        self._direction = direction
        self._set_reading = set_reading
        self._reset = reset
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes | End]] = deque()
        self._queued = 0
        self._sink: Sink | None = None
        self._sink_full = False
        self._closed = False
        self._stalled = direction.stalled
        self._settling = False
        self._timer: asyncio.TimerHandle | None = None
        direction.pipes.add(self)

    @property
    def queued_bytes(self) -> int:
        return self._queued

    # -- the source's side ------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        if self._closed:
            return
        direction = self._direction
        if direction.drawn(direction.faults.drop):
            direction.resets += 1
            self._reset()
            return
        if self._idle and not direction.faults.shaped:
            self._deliver(data)
        else:
            self._enqueue(data)
            self._pump()
        self._regulate()

    def end(self, end: End) -> None:
        """The source will send no more."""
        if self._closed:
            return
        if end is End.RESET and (self._stalled or self._settling):
            self._queue.clear()
            self._queued = 0
        due = self._direction.due(self._loop.time(), 0)
        self._queue.append((self._in_order(due), end))
        self._pump()

    # -- the sink's side --------------------------------------------------------------------

    def open(self, sink: Sink) -> None:
        self._sink = sink
        self._pump()
        self._regulate()

    def set_sink_full(self, full: bool) -> None:
        self._sink_full = full
        self._pump()
        self._regulate()

    def close(self) -> None:
        """Stops the pipe; what is held is dropped."""
        self._closed = True
        self._direction.pipes.discard(self)
        self._queue.clear()
        self._queued = 0
        self._cancel_timer()

    # -- faults -----------------------------------------------------------------------------

    def retime(self) -> None:
        """Follows a change of the direction's faults."""
        now = self._loop.time()
        held, self._queue = self._queue, deque()
        for _, item in held:
            size = len(item) if isinstance(item, bytes) else 0
            self._queue.append((self._in_order(self._direction.due(now, size)), item))
        stalled = self._direction.stalled
        if self._stalled and not stalled:
            self._settling = True
            self._regulate()
            self._cancel_timer()
            self._timer = self._loop.call_later(SETTLE_S, self._settle)
        self._stalled = stalled
        self._pump()
        self._regulate()

    def _settle(self) -> None:
        # In the turn of a timer that is late, timers may come before what has arrived.
        self._timer = self._loop.call_later(0, self._settled)

    def _settled(self) -> None:
        self._settling = False
        self._timer = None
        self._pump()
        self._regulate()

    # -- within -----------------------------------------------------------------------------

    @property
    def _blocked(self) -> bool:
        return self._stalled or self._settling or self._sink is None or self._sink_full

    @property
    def _idle(self) -> bool:
        return not self._queue and not self._blocked

    def _enqueue(self, data: bytes) -> None:
        now = self._loop.time()
        step = self._direction.piece_bytes or len(data)
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            due = self._direction.due(now, len(piece))
            self._queue.append((self._in_order(due), piece))
        self._queued += len(data)

    def _in_order(self, due: float) -> float:
        return max(due, self._queue[-1][0]) if self._queue else due

    def _pump(self) -> None:
        while self._queue and not self._blocked and not self._closed:
            due, item = self._queue[0]
            now = self._loop.time()
            if due > now:
                self._cancel_timer()
                self._timer = self._loop.call_at(due, self._wake)
                return
            self._queue.popleft()
            if isinstance(item, bytes):
                self._queued -= len(item)
                self._deliver(item)
            elif self._sink is not None:
                self._sink.finish(item)

    def _wake(self) -> None:
        self._timer = None
        self._pump()
        self._regulate()

    def _deliver(self, data: bytes) -> None:
        assert self._sink is not None
        self._direction.bytes_passed += len(data)
        self._sink.write(data)

    def _regulate(self) -> None:
        if self._closed:
            return
        # Before there is a sink, a source that gives up has to be noticed.
        held_up = (self._stalled or self._sink_full) and self._sink is not None
        self._set_reading(not held_up and self._queued < self._limit)

    @property
    def _limit(self) -> int:
        rate = self._direction.faults.bytes_per_s
        # Half a second's worth: a longer queue would make a slow link a late one.
        return QUEUE_BYTES_MAX if rate is None else min(QUEUE_BYTES_MAX, int(rate / 2) + 1)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
