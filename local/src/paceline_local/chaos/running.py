"""Holds what a running cluster with chaos has besides its programs: proxies, controller, server."""

from pathlib import Path

from paceline.errors import PacelineError
from paceline_local.chaos.client import Chaos
from paceline_local.chaos.controller import Controller
from paceline_local.chaos.layout import Detours
from paceline_local.chaos.programs import RunningPrograms
from paceline_local.chaos.remote import ProxyProcess
from paceline_local.chaos.server import ChaosServer
from paceline_local.chaos.token import ChaosToken

CHAOS = "chaos"
"""The name of the proxy process among the cluster's children."""


class RunningChaos:
    """Made before any server starts; serves commands from ``serve`` to ``close``."""

    def __init__(self, programs: RunningPrograms, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._process = ProxyProcess(programs.plan, directory)
        self._controller: Controller | None = None
        self._server: ChaosServer | None = None
        self._detours: Detours | None = None

    def arguments(self) -> list[str]:
        """The arguments of the proxy process, which is to be started next."""
        return self._process.prepare()

    def why_not_ready(self) -> str | None:
        self._detours = self._process.detours()
        return "its ports are not bound" if self._detours is None else None

    @property
    def detours(self) -> Detours:
        if self._detours is None:
            raise RuntimeError("the proxy process is not ready")
        return self._detours

    def serve(self) -> None:
        self._controller = Controller(self._programs, self._process)
        self._server = ChaosServer(
            self._controller, ChaosToken.new(self._directory), self._process.taken
        )

    @property
    def client(self) -> Chaos:
        if self._server is None:
            raise RuntimeError("the cluster is not running")
        return Chaos(self._server.url)

    def take_events(self) -> list[str]:
        return [] if self._controller is None else self._controller.take_events()

    def close(self) -> None:
        """Takes no more commands, and heals all links, so that programs can stop in order."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        if self._controller is not None:
            self._controller.close()
            try:
                self._process.apply({})
            except PacelineError:
                pass  # the proxies have gone, and the links with them
        self._process.close()
