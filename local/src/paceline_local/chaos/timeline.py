"""Records what was done to a cluster, for a person to read, and ends faults in time."""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable

from paceline import clock
from paceline.errors import ConfigError, PacelineError

EVENTS_MAX = 1000
"""The most events kept until somebody takes them; the oldest go first."""
FOR_S_MAX = 24 * 3600.0


class Timeline:
    """Actions are called once, at their time, on a thread of its own; none after ``close``."""

    def __init__(self) -> None:
        self._events: deque[str] = deque(maxlen=EVENTS_MAX)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="chaos-timeline", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def tell(self, text: str, for_s: float | None = None) -> None:
        self._events.append(text if for_s is None else f"{text}, for {seconds(for_s)}")

    def take_events(self) -> list[str]:
        """Returns what was told since the last call."""
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def after(self, for_s: float | None, action: Callable[[], None]) -> None:
        """Has the action called after so many seconds; None: never."""
        if for_s is None:
            return
        with self._changed:
            heapq.heappush(self._due, (clock.now() + for_s, next(self._numbers), action))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._ripe():
                    # Without anything due this waits for the next ``after`` or ``close``.
                    self._changed.wait(self._left_s())
                if self._closed:
                    return
                _, _, action = heapq.heappop(self._due)
            try:
                action()
            except (PacelineError, RuntimeError) as error:
                # RuntimeError: the cluster is stopping.
                self.tell(f"could not be ended: {error}")

    def _ripe(self) -> bool:
        return bool(self._due) and self._due[0][0] <= clock.now()

    def _left_s(self) -> float | None:
        return max(0.0, self._due[0][0] - clock.now()) if self._due else None


def check_for(for_s: float | None) -> None:
    if for_s is not None and not 0 < for_s <= FOR_S_MAX:
        raise ConfigError(f"a duration must be more than 0 and at most a day, not {for_s:g} s")


def seconds(value: float) -> str:
    return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"
