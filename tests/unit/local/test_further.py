"""Further clusters of this machine: what may be asked for, where they are, and what is left."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from paceline.errors import ConfigError
from paceline_local import further_plan
from paceline_local.certificates import TlsFiles
from paceline_local.cluster import PlannedCluster
from paceline_local.further import CLUSTERS, FurtherClusters
from paceline_local.further_plan import (
    FURTHER_MAX,
    NODE_BYTES,
    available_bytes,
    check_memory,
    plan_of,
    spec_of,
)
from paceline_local.launcher import SOCKET_NAME, Launcher
from paceline_local.plan import ClusterPlan, NodePlan, make_plan
from paceline_local.ports import LOOPBACK, free_base_port, is_own_address
from paceline_local.supervisor import ChildFailed, Exit
from tests.unit.local.test_launcher import FakeCluster, ask

LINE: dict[str, Any] = {
    "verb": "start",
    "cluster": "second",
    "id": "0123456789abcdef",
    "nodes": [["node-1", "a"], ["node-2", "b"]],
    "cache_bytes": 2**20,
    "secret": "s" * 43,
}
LET_S = 10.0

needs_addresses = pytest.mark.skipif(
    not is_own_address("127.0.0.2"), reason="this system has one loopback address"
)


class FakeFurther:
    """``let``: a start waits for it. ``fails``: it does not start."""

    def __init__(
        self, plan: ClusterPlan, directory: Path, cancelled: Callable[[], bool], fails: bool
    ) -> None:
        self.plan = plan
        self.directory = directory
        self.can_grow = True
        self.cancelled = cancelled
        self.fails = fails
        self.let = threading.Event()
        self.let.set()
        self.starts = self.stops = 0

    def start(self) -> None:
        self.starts += 1
        while not self.let.wait(0.01):
            if self.cancelled():
                raise ChildFailed("stopped during the start")
        if self.fails:
            raise ChildFailed("node-1 ended with exit code 1")

    def stop(self) -> list[str]:
        self.stops += 1
        return []

    def take_exits(self) -> list[Exit]:
        return [Exit("node-1", 7, -9, self.directory / "x.log")]

    def start_if_ended(self, name: str) -> bool | None:
        return name == "node-1"

    def start_again(self, name: str) -> None: ...

    def stop_node(self, name: str) -> None: ...

    def start_more(self, node: NodePlan) -> None: ...

    def forget(self, name: str) -> None: ...

    def why_not_ready(self, name: str) -> str | None:
        return None

    def statuses(self) -> Mapping[str, Any]:
        return {}


class Machine:
    """A home cluster's further ones. ``made``: each that was begun."""

    def __init__(self, directory: Path) -> None:
        self.home = make_plan(
            base_port=free_base_port(lambda base: [base + offset for offset in range(111, 212)])
        )
        self.directory = directory
        self.made: list[FakeFurther] = []
        self.fails = self.waits = False
        self.further = FurtherClusters(self.home, directory, None, self._make)

    def _make(
        self,
        plan: ClusterPlan,
        directory: Path,
        tls: TlsFiles | None,
        cancelled: Callable[[], bool],
    ) -> FakeFurther:
        one = FakeFurther(plan, directory, cancelled, self.fails)
        if self.waits:
            one.let.clear()
        self.made.append(one)
        return one


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def spec(**more: Any) -> Any:
    return spec_of({**LINE, **more})


@needs_addresses
def test_each_has_an_address_of_its_own_and_the_home_clusters_ports(machine: Machine) -> None:
    second = machine.further.start(spec())
    third = machine.further.start(spec(cluster="third", id="1" * 16))
    assert [one["host"] for one in (second, third)] == ["127.0.0.2", "127.0.0.3"]
    assert {one["port"] for one in (second, third)} == {machine.home.ports.discovery_dax}
    port = machine.home.ports.node(1).consensus
    assert second["seeds"] == [f"127.0.0.2:{port}", f"127.0.0.2:{port + 1}"]
    assert set(machine.further.told()) == {"second", "third"}
    directory = machine.directory / CLUSTERS / "second"
    assert (directory / "secret").read_text() == "s" * 43 + "\n"
    assert stat.S_IMODE((directory / "secret").stat().st_mode) == 0o600
    assert machine.further.start(spec()) == second, "it runs already"
    assert len(machine.made) == 2
    with pytest.raises(ConfigError, match="another cluster second"):
        machine.further.start(spec(id="2" * 16))


@needs_addresses
def test_an_address_with_a_port_in_use_is_passed_over(machine: Machine) -> None:
    with socket.create_server(("127.0.0.2", machine.home.ports.node(2).http)):
        machine.further.check(spec())
        assert machine.further.start(spec())["host"] == "127.0.0.3"


@needs_addresses
def test_without_an_address_it_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further_plan, "LAST_HOST", 2)
    with socket.create_server(("127.0.0.2", machine.home.ports.node(2).http)):
        with pytest.raises(ConfigError, match=r"of 127.0.0.2 .* is in use"):
            machine.further.check(spec())
        with pytest.raises(ConfigError, match="is in use"):
            machine.further.start(spec())
    assert machine.further.told() == {}


def test_where_there_is_one_address_it_has_ports_of_its_own(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further_plan, "is_own_address", lambda host: host == LOOPBACK)
    told = machine.further.start(spec())
    assert told["host"] == LOOPBACK
    assert told["port"] != machine.home.ports.discovery_dax


def test_what_fails_to_start_leaves_nothing(machine: Machine) -> None:
    machine.fails = True
    with pytest.raises(ChildFailed, match="exit code 1"):
        machine.further.start(spec())
    assert machine.made[0].stops == 1
    assert machine.further.told() == {}
    assert not (machine.directory / CLUSTERS / "second").exists()
    machine.fails = False
    assert machine.further.start(spec())["ready"]


def test_an_end_removes_it_and_there_may_be_none(machine: Machine) -> None:
    machine.further.end("second")
    machine.further.start(spec())
    machine.further.end("second")
    assert machine.made[0].stops == 1
    assert not (machine.directory / CLUSTERS / "second").exists()
    with pytest.raises(ConfigError, match="no cluster second"), machine.further.nodes("second"):
        pass


def test_it_comes_back_where_it_was_and_another_life_does_not(machine: Machine) -> None:
    told = machine.further.start(spec())
    kept = machine.directory / CLUSTERS / "second" / "kept"
    kept.touch()
    machine.further.close()
    again = FurtherClusters(machine.home, machine.directory, None, machine._make)
    assert again.start(spec()) == told
    assert kept.exists()
    again.close()
    other = FurtherClusters(machine.home, machine.directory, None, machine._make)
    other.start(spec(id="2" * 16))
    assert not kept.exists()


def test_a_close_gives_up_starts_and_stops_the_rest(machine: Machine) -> None:
    machine.further.start(spec())
    machine.waits = True
    said: list[str] = []

    def start() -> None:
        try:
            machine.further.start(spec(cluster="third", id="1" * 16))
        except ChildFailed as error:
            said.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    while "third" not in machine.further.told():
        thread.join(0.01)
    assert machine.further.told()["third"]["ready"] is False
    assert machine.further.close() == []
    thread.join(LET_S)
    assert said == ["stopped during the start"]
    assert [one.stops >= 1 for one in machine.made] == [True, True]
    with pytest.raises(ConfigError, match="being stopped"):
        machine.further.start(spec())


def test_ends_are_named_by_their_cluster(machine: Machine) -> None:
    machine.further.start(spec())
    assert [one.name for one in machine.further.take_exits()] == ["second/node-1"]


def test_a_cluster_that_another_thread_has_stopped_has_no_ends_to_tell_of() -> None:
    assert PlannedCluster(make_plan(nodes=1)).take_exits() == []


def test_what_has_ended_is_started_again_unless_somebody_is_at_it(machine: Machine) -> None:
    assert machine.further.start_if_ended("second", "node-1") is False
    machine.further.start(spec())
    assert machine.further.start_if_ended("second", "node-1") is True
    assert machine.further.start_if_ended("second", "node-2") is False
    with machine.further.nodes("second"):
        assert machine.further.start_if_ended("second", "node-1") is None
    machine.further.end("second")
    assert machine.further.start_if_ended("second", "node-1") is False


def test_there_are_only_so_many(machine: Machine) -> None:
    for number in range(FURTHER_MAX):
        machine.further.start(spec(cluster=f"c{number}", id=f"{number:016x}"))
    with pytest.raises(ConfigError, match="the most"):
        machine.further.check(spec())


def test_memory_that_is_not_there(tmp_path: Path) -> None:
    check_memory(spec(), None)
    needed = 3 * NODE_BYTES + 2 * 2**20
    check_memory(spec(), needed)
    with pytest.raises(ConfigError, match="smaller node type"):
        check_memory(spec(), needed - 1)
    table = tmp_path / "meminfo"
    assert available_bytes(table) is None
    table.write_text("MemTotal: 9 kB\nMemAvailable:    5 kB\n")
    assert available_bytes(table) == 5 * 1024
    table.write_text("MemAvailable: x")
    assert available_bytes(table) is None


def test_a_plan_is_the_home_clusters_but_for_what_is_its_own(machine: Machine) -> None:
    made = plan_of(machine.home, spec(), further_plan.Place("127.0.0.2", machine.home.ports.base))
    assert made.dynamodb.endpoint == machine.home.dynamodb.endpoint
    assert made.dynamodb.kind == "url", "nobody starts it a second time"
    assert made.nodes[1].http.startswith("http://127.0.0.2:")
    assert made.discovery_dax.startswith("dax://127.0.0.2:")
    assert "discovery, HTTP" not in dict(made.wanted_ports())


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"cluster": "../x"}, "cluster"),
        ({"cluster": "a" * 21}, "cluster"),
        ({"cluster": "A"}, "cluster"),
        ({"cluster": 3}, "cluster"),
        ({"id": "../../etc/passwd"}, "id"),
        ({"nodes": []}, "1 to 11"),
        ({"nodes": "node-1"}, "1 to 11"),
        ({"nodes": [["node-1"]]}, "its zone"),
        ({"nodes": [["node-1", "a", "b"]]}, "its zone"),
        ({"nodes": [["node-1", "a\n"]]}, "its zone"),
        ({"nodes": [["node-0", "a"]]}, "node-11"),
        ({"nodes": [["node-12", "a"]]}, "node-11"),
        ({"nodes": [["../node-1", "a"]]}, "node-11"),
        ({"nodes": [["node-1", "a"], ["node-1", "b"]]}, "twice"),
        ({"nodes": [[f"node-{n}", "a"] for n in range(1, 13)]}, "1 to 11"),
        ({"cache_bytes": 0}, "cache_bytes"),
        ({"cache_bytes": True}, "cache_bytes"),
        ({"cache_bytes": 2**60}, "cache_bytes"),
        ({"secret": "s"}, "secret has not"),
        ({"secret": "s" * 42 + "\n"}, "secret has not"),
        ({"verb": "end", "cluster": "../x"}, "cluster"),
        ({"verb": "end", "cluster": None}, "cluster"),
        ({"verb": "restart", "node": "node-1", "cluster": "none"}, "no cluster none"),
        ({"verb": "restart", "node": "node-1", "cluster": ["x"]}, "cluster"),
    ],
)
def test_what_nobody_may_ask_for(tmp_path: Path, more: dict[str, Any], why: str) -> None:
    machine = Machine(tmp_path)
    launcher = Launcher(FakeCluster(tmp_path), tmp_path / SOCKET_NAME, machine.further)
    try:
        line = {**LINE, **more}
        for asked in (line, {"verb": "check", "acts": [line]}):
            told = ask(launcher, json.dumps(asked).encode())
            assert why in str(told["error"])
            assert "s" * 43 not in str(told["error"])
    finally:
        launcher.close()
    assert machine.made == []
    assert [one.name for one in tmp_path.iterdir()] == []
