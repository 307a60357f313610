"""The clusters that the control plane has started beside the home cluster, on the same machine."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from paceline.errors import ConfigError
from paceline_local.certificates import NAMES, TlsFiles, development_files
from paceline_local.further_plan import (
    FURTHER_MAX,
    FurtherSpec,
    Place,
    available_bytes,
    check_memory,
    keep_place,
    kept_place,
    place_for,
    plan_of,
)
from paceline_local.node_acts import Launched, NodeActs
from paceline_local.plan import ClusterPlan
from paceline_local.ports import LOOPBACK, check_free
from paceline_local.supervisor import Exit

CLUSTERS = "clusters"
"""The folder of their directories, in that of the home cluster."""

Told = Mapping[str, Any]
"""``id``, ``ready``, and where it is: ``host``, ``port`` and ``tls_port`` (0: none) of its
discovery, and ``seeds``, the members' addresses of its nodes."""


class Started(Launched, Protocol):
    def start(self) -> None: ...

    def stop(self) -> list[str]: ...

    def take_exits(self) -> list[Exit]: ...

    def start_if_ended(self, name: str) -> bool | None: ...


Make = Callable[[ClusterPlan, Path, TlsFiles | None, Callable[[], bool]], Started]
"""A cluster that was not started yet: its plan, directory and certificate, and what says that its
start is to be given up."""


@dataclass(slots=True)
class _One:
    """``cluster``: None while there is no such process. ``gone``: it is ended, whoever waits for
    it to be ready."""

    id: str = ""
    place: Place | None = None
    cluster: Started | None = None
    ready: bool = False
    gone: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class FurtherClusters:
    """What is done to one of them is done by one thread at a time; several may be under way."""

    def __init__(
        self, home: ClusterPlan, directory: Path, tls: TlsFiles | None, make: Make
    ) -> None:
        """``directory``, ``tls``: the home cluster's."""
        self._home = home
        self._directory = directory / CLUSTERS
        self._tls = tls
        self._make = make
        self._all: dict[str, _One] = {}
        self._lock = threading.Lock()
        """Of ``_all`` and of places."""
        self._closing = False

    def told(self) -> Mapping[str, Told]:
        with self._lock:
            found = dict(self._all)
        return {name: _told(one) for name, one in found.items() if one.cluster is not None}

    def check(self, spec: FurtherSpec) -> None:
        """ConfigError: it cannot be started now."""
        with self._lock:
            running = [one for one in self._all.values() if one.place is not None]
            known = self._all.get(spec.name)
            if known is not None and known.cluster is not None:
                if known.id != spec.id:
                    raise ConfigError(f"another cluster {spec.name} runs here")
                return
            if len(running) >= FURTHER_MAX:
                raise ConfigError(f"{FURTHER_MAX} further clusters run here, which is the most")
            check_memory(spec, available_bytes())
            self._place(spec, known)

    def start(self, spec: FurtherSpec) -> Told:
        """Returns once it is ready for clients. One that runs already is left as it is.
        PacelineError; then nothing of it is left running."""
        with self._one(spec.name) as one:
            if one.cluster is not None:
                if one.id != spec.id:
                    raise ConfigError(f"another cluster {spec.name} runs here")
                return _told(one)
            check_memory(spec, available_bytes())
            with self._lock:
                place = self._place(spec, one)
                one.id, one.place, one.ready = spec.id, place, False
            try:
                self._start(one, spec, place)
            except BaseException:
                with self._lock:
                    one.cluster = one.place = None
                raise
            return _told(one)

    def end(self, name: str) -> None:
        """Stops it and removes its directory; there may be none."""
        with self._one(name) as one:
            if one.cluster is not None:
                one.cluster.stop()
            with self._lock:
                one.cluster = one.place = None
            shutil.rmtree(self._directory / name, ignore_errors=True)

    @contextlib.contextmanager
    def nodes(self, name: str) -> Iterator[NodeActs]:
        """ConfigError: it does not run."""
        with self._one(name) as one:
            yield NodeActs(_running(name, one))

    def unlocked_nodes(self, name: str) -> NodeActs:
        """To look, while something else may be under way. ConfigError."""
        with self._lock:
            return NodeActs(_running(name, self._all.get(name)))

    def take_exits(self) -> list[Exit]:
        """Named ``CLUSTER/NODE``."""
        with self._lock:
            found = [(name, one.cluster) for name, one in self._all.items() if one.ready]
        return [
            replace(exit, name=f"{name}/{exit.name}")
            for name, cluster in found
            if cluster is not None
            for exit in cluster.take_exits()
        ]

    def start_if_ended(self, name: str, program: str) -> bool | None:
        """As that of a cluster. None: something is being done to it."""
        with self._lock:
            one = self._all.get(name)
        if one is None or not one.lock.acquire(blocking=False):
            return None if one is not None else False
        try:
            if one.cluster is None or not one.ready or self._closing:
                return False
            return one.cluster.start_if_ended(program)
        finally:
            one.lock.release()

    def close(self) -> list[str]:
        """Stops all of them at once; starts are given up. The names of what had to be killed."""
        with self._lock:
            self._closing = True
            names = list(self._all)
        if not names:
            return []

        def stop(name: str) -> list[str]:
            with self._one(name, closing=True) as one:
                cluster, one.cluster = one.cluster, None
                killed = [] if cluster is None else cluster.stop()
                return [f"{name}/{child}" for child in killed]

        with ThreadPoolExecutor(len(names)) as pool:
            return [child for killed in pool.map(stop, names) for child in killed]

    @contextlib.contextmanager
    def _one(self, name: str, *, closing: bool = False) -> Iterator[_One]:
        """Held by this thread alone."""
        with self._lock:
            one = self._all.setdefault(name, _One())
        with one.lock:
            if self._closing and not closing:
                raise ConfigError("the clusters of this machine are being stopped")
            yield one

    def _place(self, spec: FurtherSpec, one: _One | None) -> Place:
        """Where it was, or a new one. ConfigError: its ports are in use."""
        kept = kept_place(self._directory / spec.name / "place.json", spec.id)
        if kept is not None:
            check_free(plan_of(self._home, spec, kept).wanted_ports(), kept.host)
            return kept
        taken = [
            other.place
            for other in self._all.values()
            if other.place is not None and other is not one
        ]
        return place_for(self._home, spec, taken)

    def _start(self, one: _One, spec: FurtherSpec, place: Place) -> None:
        directory = self._directory / spec.name
        file = directory / "place.json"
        new = kept_place(file, spec.id) is None
        if new:
            # Of one that had this name before, whose end nobody saw.
            shutil.rmtree(directory, ignore_errors=True)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_secret(directory / "secret", spec.secret)
            plan = plan_of(self._home, spec, place)
            cluster = self._make(
                plan, directory, self._certificate(directory, place), lambda: self._closing
            )
            with self._lock:
                one.cluster = cluster
            cluster.start()
            keep_place(file, spec.id, place)
        except BaseException:
            if one.cluster is not None:
                one.cluster.stop()
            if new:
                shutil.rmtree(directory, ignore_errors=True)
            raise
        with self._lock:
            one.ready = True

    def _certificate(self, directory: Path, place: Place) -> TlsFiles | None:
        """Of its own address, by the home cluster's authority; one that was given is for all."""
        home = self._tls
        if home is None or home.ca is None or place.host == LOOPBACK:
            return home
        own = directory / "tls"
        own.mkdir(mode=0o700, exist_ok=True)
        for file in (home.ca, home.ca.with_name("ca.key")):
            shutil.copy2(file, own / file.name)
        return development_files(own, (*NAMES, place.host))


def _running(name: str, one: _One | None) -> Started:
    if one is None or one.cluster is None or not one.ready:
        raise ConfigError(f"no cluster {name} runs here")
    return one.cluster


def _told(one: _One) -> Told:
    cluster = one.cluster
    if cluster is None:
        return {"id": one.id, "ready": False}
    plan = cluster.plan
    return {
        "id": one.id,
        "ready": one.ready,
        "host": plan.host,
        "port": plan.ports.discovery_dax,
        "tls_port": plan.ports.discovery_dax_tls if plan.tls else 0,
        "seeds": [node.consensus for node in plan.nodes],
    }


def _write_secret(path: Path, secret: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
