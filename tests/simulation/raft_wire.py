"""How participants of the log reach each other: letters in order on each link, as over TCP, and
lost when it is cut; and introductions, each answered at most once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from cluster.consensus.beginning import Ask
from cluster.consensus.forwarding import Letter
from cluster.consensus.founding import Answer, Introduction
from cluster.consensus.participant import Participant
from tests.simulation.loop import Owner
from tests.simulation.network import Network

ASK_S = 1.0
"""The patience of one who introduces himself."""


class Process(Protocol):
    owner: Owner
    raft: Participant


class Place(Protocol):
    """A machine, and the process on it, if there is one."""

    @property
    def node(self) -> Process | None: ...


@dataclass
class RaftWire:
    network: Network
    machines: dict[str, Place] = field(default_factory=dict)
    disks: dict[str, str] = field(default_factory=dict)
    """The machine of each disk that ever was, by its name."""
    _last: dict[tuple[str, str], float] = field(default_factory=dict)

    def send(self, letter: Letter) -> None:
        network = self.network
        a, b = self._machine(letter.source), self._machine(letter.target)
        if not network.open(a, b) or network.chance(network.weather.breaks):
            return
        now = network.loop.t
        arrival = max(now + network.delay(a, b), self._last.get((a, b), 0.0))
        self._last[a, b] = arrival
        network.loop.after(arrival - now, self._arrive, a, b, letter)

    def _machine(self, disk: str) -> str:
        """A name that no disk has leads to the machine of that name, if anywhere."""
        return self.disks.get(disk, disk)

    def asking(self, source: str) -> Ask:
        """How the processes of a machine introduce themselves."""

        async def ask(node: str, address: str, mine: Introduction) -> Answer | None:
            answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

            def take(said: Answer) -> None:
                if not answer.done():
                    answer.set_result(said)

            def arrive() -> None:
                raft = self._raft(node)
                if raft is not None:
                    said = raft.introduced(mine)
                    self.network.datagram(node, source, lambda: take(said))

            self.network.datagram(source, node, arrive)
            try:
                async with asyncio.timeout(ASK_S):
                    return await answer
            except TimeoutError:
                return None

        return ask

    def _arrive(self, a: str, b: str, letter: Letter) -> None:
        raft = self._raft(b)
        if raft is None or not raft.is_running or not self.network.open(a, b):
            return
        process = self.machines[b].node
        assert process is not None
        process.owner.call_soon(raft.receive, letter)

    def _raft(self, machine: str) -> Participant | None:
        place = self.machines.get(machine)
        return getattr(place.node, "raft", None) if place is not None else None
