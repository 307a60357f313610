"""Kills, pauses and restarts programs of a running cluster."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from paceline import clock
from paceline.errors import ConfigError, Unavailable
from paceline_local.chaos.layout import DISCOVERY, DYNAMODB
from paceline_local.chaos.rules import PRIMARY, Parties
from paceline_local.chaos.timeline import Timeline, check_for
from paceline_local.chaos.verbs import Kill, Pause, Restart, Resume, Selective
from paceline_local.plan import ClusterPlan

READY_S = 30.0
"""The time for a restarted node to be ready. It takes a second or two, unless a fault keeps it from
the others."""
POLL_S = 0.05


class RunningPrograms(Protocol):
    """The running cluster, as far as chaos needs it. Safe to use by several threads."""

    plan: ClusterPlan

    def running(self, name: str) -> bool: ...
    def pid(self, name: str) -> int: ...
    def kill(self, name: str) -> None: ...
    def pause(self, name: str) -> None: ...
    def resume(self, name: str) -> None: ...
    def start_again(self, name: str) -> None: ...
    def why_not_ready(self, name: str) -> str | None: ...
    def roles(self) -> Mapping[str, tuple[str, int]]: ...


class ProgramFaults:
    """Every method may be called by any thread."""

    def __init__(self, programs: RunningPrograms, timeline: Timeline) -> None:
        self._programs = programs
        self._timeline = timeline
        self.parties = Parties(programs.plan, self.primary)
        self._lock = threading.RLock()
        self._paused: set[str] = set()

    @property
    def names(self) -> list[str]:
        return [*self.parties.nodes, DISCOVERY]

    def primary(self) -> str:
        """Returns the primary; of two that claim to be it, the one of the newer epoch."""
        claims = [
            (epoch, name)
            for name, (role, epoch) in self._programs.roles().items()
            if role == PRIMARY
        ]
        if not claims:
            raise Unavailable("no node is primary now: wait for the election, or name a node")
        return max(claims)[1]

    def kill(self, verb: Kill) -> list[str]:
        """Sends SIGKILL. ``for_s``: the program is started again after so long."""
        names = self._named(verb)
        if DYNAMODB in names:
            raise ConfigError(
                "the embedded DynamoDB keeps its tables in memory, so it is not killed: make it "
                "unreachable with 'paceline chaos dynamodb --down'"
            )
        check_for(verb.for_s)
        with self._lock:
            for name in names:
                self._paused.discard(name)
                self._programs.kill(name)
        self._timeline.tell(f"killed {', '.join(names)}", verb.for_s)
        self._timeline.after(verb.for_s, lambda: self._start_dead(names))
        return names

    def pause(self, verb: Pause) -> list[str]:
        """Sends SIGSTOP: the program neither answers nor ends. ``for_s``: it goes on after so
        long."""
        names = self._named(verb)
        check_for(verb.for_s)
        with self._lock:
            for name in names:
                self._check_running(name)
            for name in names:
                self._programs.pause(name)
                self._paused.add(name)
        self._timeline.tell(f"paused {', '.join(names)}", verb.for_s)
        self._timeline.after(verb.for_s, lambda: self._resume_paused(names))
        return names

    def resume(self, verb: Resume) -> list[str]:
        """Sends SIGCONT, to all that are paused if nobody is named."""
        with self._lock:
            names = sorted(self._paused) if verb.names_nobody else self._named(verb)
            for name in names:
                self._check_running(name)
            self._resume_paused(names)
        return names

    def restart(self, verb: Restart) -> list[str]:
        """Starts what is dead, and stops and starts what runs, one after the other."""
        with self._lock:
            dead = [name for name in self.names if not self._programs.running(name)]
        names = dead if verb.names_nobody else self._named(verb)
        if DYNAMODB in names:
            raise ConfigError(
                "the embedded DynamoDB keeps its tables in memory: it is not restarted"
            )
        for name in names:
            with self._lock:
                self._paused.discard(name)
                self._programs.start_again(name)
            self._timeline.tell(f"started {name} again")
            if verb.wait and name not in dead:
                self._await_ready([name])
        if verb.wait:
            self._await_ready(names)
        return names

    def describe(self) -> list[dict[str, Any]]:
        roles = self._programs.roles()
        with self._lock:
            return [
                {
                    "name": name,
                    "zone": self.parties.zone(name) if name != DISCOVERY else None,
                    "state": self.state(name),
                    "role": roles[name][0] if name in roles else None,
                    "pid": self._programs.pid(name),
                }
                for name in self.names
            ]

    def resume_all(self) -> None:
        with self._lock:
            self._resume_paused(sorted(self._paused))

    def state(self, name: str) -> str:
        if not self._programs.running(name):
            return "dead"
        return "paused" if name in self._paused else "running"

    def resolve(self, verb: Selective) -> list[str]:
        words = [*verb.targets, *([PRIMARY] if verb.primary else [])]
        return self.parties.resolve(words, verb.zone)

    def _named(self, verb: Selective) -> list[str]:
        if verb.names_nobody:
            raise ConfigError(f"name whom to {verb.name}: nodes, a zone or the primary")
        return self.resolve(verb)

    def _start_dead(self, names: Sequence[str]) -> None:
        for name in names:
            with self._lock:
                if self._programs.running(name):
                    continue
                self._programs.start_again(name)
            self._timeline.tell(f"started {name} again")

    def _resume_paused(self, names: Sequence[str]) -> None:
        with self._lock:
            for name in names:
                if self._programs.running(name):
                    self._programs.resume(name)
                self._paused.discard(name)
        if names:
            self._timeline.tell(f"resumed {', '.join(names)}")

    def _await_ready(self, names: Sequence[str]) -> None:
        until = clock.now() + READY_S
        for name in names:
            while (reason := self._programs.why_not_ready(name)) is not None:
                if not self._programs.running(name):
                    raise Unavailable(f"{name} has ended again: {reason}")
                if clock.now() >= until:
                    raise Unavailable(
                        f"{name} was started, but is not ready after {READY_S:g} s: {reason}"
                    )
                time.sleep(POLL_S)

    def _check_running(self, name: str) -> None:
        if self._programs.running(name):
            return
        if name == DYNAMODB:
            raise ConfigError(
                "this cluster's DynamoDB is no process of its own: use 'paceline chaos dynamodb'"
            )
        raise ConfigError(f"{name} does not run: 'paceline chaos restart {name}' starts it")
