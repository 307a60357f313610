"""Links between nodes, and between a node and DynamoDB: delays, losses, partitions.

Names are those of machines, which outlive processes. A link has a direction; what travels on a
closed one is lost if it is a datagram, and waits, as under TCP, if it belongs to a stream.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.simulation.loop import Owner, VirtualLoop

DYNAMODB = "dynamodb"


@dataclass(frozen=True)
class LinkWeather:
    """How links behave when nothing is cut."""

    delay_s: float = 0.001
    """Median of one way."""
    slow: float = 0.0
    """Part of all messages that take long."""
    slow_s: float = 0.5
    """How long those take at most."""
    breaks: float = 0.0
    """Part of all messages whose loss breaks their stream."""
    dropped: float = 0.0
    """Part of the messages of a stream that vanish without a trace, which TCP would not allow:
    for what the protocol finds by itself."""
    doubled: float = 0.0
    reordered: float = 0.0
    keepalive_s: float = 2.0
    """After so long without a way through a stream is found dead, at each end for itself."""


class Stream(Protocol):
    """What wants to know of links that close and open."""

    @property
    def ends(self) -> tuple[str, str]: ...
    def link_closed(self) -> None: ...
    def link_opened(self) -> None: ...


class Network:
    def __init__(self, loop: VirtualLoop, rng: random.Random, weather: LinkWeather) -> None:
        self.loop = loop
        self.rng = rng
        self.weather = weather
        self.faulty = True
        """False: healed. Links only have delays."""
        self._closed: set[tuple[str, str]] = set()
        self._slow: dict[tuple[str, str], float] = {}
        self._streams: dict[int, Stream] = {}
        self.processes: dict[str, Owner] = {}
        """Machine to the process that runs on it now, if one does."""

    # -- shape ------------------------------------------------------------------------------

    def open(self, source: str, target: str) -> bool:
        return (source, target) not in self._closed

    def both_ways(self, a: str, b: str) -> bool:
        return (a, b) not in self._closed and (b, a) not in self._closed

    def close_link(self, source: str, target: str) -> None:
        if (source, target) not in self._closed:
            self._closed.add((source, target))
            for stream in self._between(source, target):
                stream.link_closed()

    def open_link(self, source: str, target: str) -> None:
        if (source, target) in self._closed:
            self._closed.discard((source, target))
            for stream in self._between(source, target):
                stream.link_opened()

    def slow_down(self, source: str, target: str, delay_s: float) -> None:
        """Everything on this link takes up to ``delay_s`` longer; 0: as before."""
        if delay_s:
            self._slow[source, target] = delay_s
        else:
            self._slow.pop((source, target), None)

    @property
    def cuts(self) -> list[tuple[str, str]]:
        return sorted(self._closed)

    def heal(self) -> None:
        self.faulty = False
        self._slow.clear()
        for source, target in self.cuts:
            self.open_link(source, target)

    def _between(self, a: str, b: str) -> list[Stream]:
        return [s for s in self._streams.values() if s.ends in ((a, b), (b, a))]

    @property
    def streams(self) -> list[Stream]:
        return list(self._streams.values())

    def register(self, number: int, stream: Stream) -> None:
        self._streams[number] = stream

    def unregister(self, number: int) -> None:
        self._streams.pop(number, None)

    # -- traffic ----------------------------------------------------------------------------

    def delay(self, source: str, target: str) -> float:
        rng, weather = self.rng, self.weather
        delay = weather.delay_s * (0.5 + rng.random())
        if self.faulty:
            if weather.slow and rng.random() < weather.slow:
                delay += rng.random() * weather.slow_s
            extra = self._slow.get((source, target))
            if extra:
                delay += rng.random() * extra
        return delay

    def chance(self, probability: float) -> bool:
        return self.faulty and probability > 0 and self.rng.random() < probability

    def datagram(self, source: str, target: str, deliver: Callable[[], object]) -> None:
        """``deliver`` runs in the process that is on ``target`` when it arrives, if it does."""
        if not self.open(source, target) or self.chance(self.weather.breaks):
            return
        self.loop.after(self.delay(source, target), self._arrive, source, target, deliver)

    def _arrive(self, source: str, target: str, deliver: Callable[[], object]) -> None:
        process = self.processes.get(target)
        if process is not None and self.open(source, target):
            process.call_soon(deliver)
