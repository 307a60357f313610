"""A chaos server for programs that only take notes."""

import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.errors import Unavailable
from paceline_local.chaos.client import Chaos
from paceline_local.chaos.controller import Controller
from paceline_local.chaos.faults import HEALTHY, Faults
from paceline_local.chaos.layout import DISCOVERY
from paceline_local.chaos.rules import Flow
from paceline_local.chaos.server import ChaosServer
from paceline_local.chaos.token import ChaosToken
from paceline_local.plan import ClusterPlan, make_plan

PLAN = make_plan(nodes=4, zones=["a", "b"])
"""node-1 and node-3 are in zone a, node-2 and node-4 in zone b."""


class Cluster:
    """The programs of PLAN, as far as a controller sees them."""

    def __init__(self) -> None:
        self.plan: ClusterPlan = PLAN
        self.dead: set[str] = set()
        self.signals: list[tuple[str, int]] = []
        self.starts: list[str] = []
        self.claims: dict[str, tuple[str, int]] = {
            "node-1": ("primary", 3),
            "node-2": ("primary", 4),
            "node-3": ("replica", 4),
        }

    def running(self, name: str) -> bool:
        return name not in self.dead

    def pid(self, name: str) -> int:
        return 100 + len(name)

    def kill(self, name: str) -> None:
        self.dead.add(name)

    def pause(self, name: str) -> None:
        self.signals.append((name, signal.SIGSTOP))

    def resume(self, name: str) -> None:
        self.signals.append((name, signal.SIGCONT))

    def start_again(self, name: str) -> None:
        self.starts.append(name)
        self.dead.discard(name)

    def why_not_ready(self, name: str) -> str | None:
        return None if name in self.starts else "it was never started"

    def roles(self) -> Mapping[str, tuple[str, int]]:
        return self.claims


class Links:
    def __init__(self) -> None:
        self.faults: dict[Flow, Faults] = {}
        self.gone = False

    def apply(self, faults: Mapping[Flow, Faults]) -> None:
        if self.gone:
            raise Unavailable("the proxies have gone")
        self.faults = dict(faults)

    def describe(self) -> list[dict[str, Any]]:
        return []

    def with_mode(self, mode: str, channel: str = "") -> set[tuple[str, str]]:
        """``channel`` empty: between nodes replication, between discovery and nodes the roster."""
        return {
            (flow[0], flow[1])
            for flow, faults in self.faults.items()
            if faults.mode == mode and flow[2] == (channel or _general(flow[0], flow[1]))
        }

    def of(self, sender: str, receiver: str, channel: str = "") -> Faults:
        flow = (sender, receiver, channel or _general(sender, receiver))
        return self.faults.get(flow, HEALTHY)


def _general(sender: str, receiver: str) -> str:
    return "roster" if DISCOVERY in (sender, receiver) else "replication"


class Bench:
    def __init__(self) -> None:
        self.cluster = Cluster()
        self.links = Links()
        self.controller = Controller(self.cluster, self.links)
        self._directory = tempfile.TemporaryDirectory()
        self.token = ChaosToken.new(Path(self._directory.name))
        self.server = ChaosServer(self.controller, self.token)
        self.chaos = Chaos(self.server.url)

    def close(self) -> None:
        self.server.close()
        self.controller.close()
        self._directory.cleanup()
