"""Clients: random operations at random nodes by random doors, each checked when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from tests.simulation.calling import Scene, chosen
from tests.simulation.node import SimulatedNode
from tests.simulation.options import MIX, WRITES
from tests.simulation.reading import Reads
from tests.simulation.writing import Writes


class Client(Reads, Writes):
    def __init__(self, scene: Scene, number: int, seed: int) -> None:
        super().__init__(scene, number, seed)
        mix = scene.options.mix
        self._kinds = list(mix)
        self._weights = list(accumulate(mix[kind] for kind in self._kinds))
        self._acts: dict[str, Callable[[SimulatedNode], Any]] = {
            kind: getattr(self, "_" + kind.replace(" ", "_")) for kind in MIX
        }

    async def run(self) -> None:
        try:
            while self.scene.take_turn():
                nodes = self.scene.serving()
                if nodes:
                    kind = chosen(self.rng, self._kinds, self._weights)
                    if self.scene.quiet() and kind in WRITES:
                        kind = "get"
                    await self.act(kind, self.rng.choice(nodes))
                await asyncio.sleep(self.rng.expovariate(1 / self.scene.options.think_s))
        except Exception as error:
            self.scene.loop.fail(error)

    async def act(self, kind: str, node: SimulatedNode) -> bool:
        """One operation; whether it succeeded."""
        good = await self._acts[kind](node)
        self.scene.count(f"{kind}, {'done' if good else 'not done'}")
        return bool(good)
