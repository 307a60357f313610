"""The launcher's socket: what it does, to which nodes, and who may ask."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from paceline.errors import Unavailable
from paceline_local import node_acts as module
from paceline_local.further import FurtherClusters, Started
from paceline_local.launcher import SOCKET_NAME, Launcher, launcher_of
from paceline_local.plan import NodePlan, make_plan
from paceline_local.ports import free_base_port
from paceline_local.status import Status

ANSWER_S = 10.0


class FakeCluster:
    """``said``: what happened, in order."""

    def __init__(self, directory: Path) -> None:
        base = free_base_port(lambda base: [base + offset for offset in range(120, 212)])
        self.plan = make_plan(base_port=base)
        self.directory = directory
        self.can_grow = True
        self.said: list[str] = []

    def start_again(self, name: str) -> None:
        self.said.append(f"restart {name}")

    def stop_node(self, name: str) -> None:
        self.said.append(f"stop {name}")

    def start_more(self, node: NodePlan) -> None:
        self.said.append(f"start {node.id} in {node.zone}")
        self.plan = replace(self.plan, nodes=(*self.plan.nodes, node))

    def forget(self, name: str) -> None:
        self.said.append(f"forget {name}")
        self.plan = replace(
            self.plan, nodes=tuple(one for one in self.plan.nodes if one.id != name)
        )

    def why_not_ready(self, name: str) -> str | None:
        return None

    def statuses(self) -> Mapping[str, Status | Unavailable]:
        return {one.admin: {"id": one.id} for one in self.plan.nodes}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    made = FakeCluster(tmp_path)

    def send(admin: str, status: Status, target: str, **_: object) -> tuple[int, bytes]:
        made.said.append(f"{target} at {status['id']}")
        return 200, b"{}"

    monkeypatch.setattr(module, "send_command", send)
    monkeypatch.setattr(module, "DRAIN_S", 0.0)
    return made


def further_of(cluster: FakeCluster) -> FurtherClusters:
    """Starts none."""

    def make(*_: object) -> Started:
        raise AssertionError("nothing is started")

    return FurtherClusters(cluster.plan, cluster.directory, None, make)


@pytest.fixture
def launcher(cluster: FakeCluster) -> Iterator[Launcher]:
    made = launcher_of(cluster, further_of(cluster))
    assert made is not None
    yield made
    made.close()


def ask(launcher: Launcher, line: bytes) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(str(launcher.path))
        connection.sendall(line + b"\n")
        with connection.makefile("rb") as answer:
            told: dict[str, object] = json.loads(answer.readline())
    return told


def act(launcher: Launcher, verb: str, node: str, zone: str = "") -> dict[str, object]:
    return ask(launcher, json.dumps({"verb": verb, "node": node, "zone": zone}).encode())


def test_a_node_is_restarted(cluster: FakeCluster, launcher: Launcher) -> None:
    assert act(launcher, "restart", "node-2") == {"ok": True}
    assert cluster.said == ["members/drain?id=node-2 at node-2", "restart node-2"]


def test_a_node_is_a_member_before_it_starts_and_votes_before_it_is_done(
    cluster: FakeCluster, launcher: Launcher
) -> None:
    left = cluster.directory / "node-4"
    left.mkdir()
    assert act(launcher, "add", "node-4", "b") == {"ok": True}
    port = cluster.plan.ports.node(4).consensus
    assert cluster.said == [
        f"members/add?id=node-4&address=127.0.0.1%3A{port} at node-1",
        "start node-4 in b",
        "members/promote?id=node-4 at node-1",
    ]
    assert not left.exists(), "the disk of a member that was removed is none of a new one's"


def test_a_node_drains_before_it_is_removed_and_the_last_but_one_after(
    cluster: FakeCluster, launcher: Launcher
) -> None:
    assert act(launcher, "remove", "node-1") == {"ok": True}
    assert cluster.said == [
        "members/drain?id=node-1 at node-1",
        "stop node-1",
        "members/remove?id=node-1 at node-2",
        "stop node-1",
        "forget node-1",
    ]
    cluster.said.clear()
    assert act(launcher, "remove", "node-3") == {"ok": True}
    assert cluster.said[:2] == [
        "members/drain?id=node-3 at node-3",
        "members/remove?id=node-3 at node-2",
    ]
    assert "none of several" in str(act(launcher, "remove", "node-2")["error"])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "Expecting value"),
        (b"[]", "object"),
        (b'{"verb": "stop", "node": "node-1"}', "no 'stop'"),
        (b'{"verb": "restart", "node": "../x"}', "none of the nodes"),
        (b'{"verb": "add", "node": "../x", "zone": "a"}', "node-1 to node-11"),
        (b'{"verb": "add", "node": "node-12", "zone": "a"}', "node-1 to node-11"),
        (b'{"verb": "add", "node": "node-04", "zone": "a"}', "node-1 to node-11"),
        (b'{"verb": "add", "node": "node-4", "zone": "a\\nb"}', "no zone's name"),
        (b'{"verb": "add", "node": 4, "zone": "a"}', "are texts"),
        (b"[" * 60_000, "recursion"),
        (b'{"verb": "check"}', "1 to 32"),
        (b'{"verb": "check", "acts": [3]}', "JSON object"),
        (b'{"verb": "add", "node": "node-1", "zone": "a"}', "already"),
        (b'{"verb": "remove", "node": "node-9"}', "none of several"),
    ],
)
def test_it_is_refused(cluster: FakeCluster, launcher: Launcher, line: bytes, why: str) -> None:
    assert why in str(ask(launcher, line)["error"])
    assert cluster.said == []


def test_a_directory_that_is_kept_keeps_its_nodes(cluster: FakeCluster, launcher: Launcher) -> None:
    cluster.can_grow = False
    for verb in ("add", "remove"):
        assert "--data-dir" in str(act(launcher, verb, "node-3", "a")["error"])
    assert act(launcher, "restart", "node-3") == {"ok": True}


def test_what_could_be_done_is_told_and_not_done(cluster: FakeCluster, launcher: Launcher) -> None:
    def check(*acts: tuple[str, str, str]) -> dict[str, object]:
        lines = [{"verb": verb, "node": node, "zone": zone} for verb, node, zone in acts]
        return ask(launcher, json.dumps({"verb": "check", "acts": lines}).encode())

    assert check(("add", "node-4", "a"), ("add", "node-5", "b")) == {"ok": True}
    assert "already" in str(check(("add", "node-4", "a"), ("add", "node-4", "b"))["error"])
    assert check(("remove", "node-1", ""), ("remove", "node-2", "")) == {"ok": True}
    assert "several" in str(check(*(("remove", f"node-{n}", "") for n in (1, 2, 3)))["error"])
    cluster.can_grow = False
    assert "--data-dir" in str(check(("add", "node-4", "a"))["error"])
    with socket.create_server(("127.0.0.1", cluster.plan.ports.node(4).http)):
        cluster.can_grow = True
        assert "in use" in str(check(("add", "node-4", "a"))["error"])
    assert cluster.said == []


def test_only_this_user_asks(launcher: Launcher) -> None:
    assert launcher.path.name == SOCKET_NAME
    assert stat.S_IMODE(launcher.path.stat().st_mode) == 0o600


def test_a_path_that_is_too_long_has_no_socket(cluster: FakeCluster) -> None:
    cluster.directory = cluster.directory / ("x" * 100)
    assert launcher_of(cluster, further_of(cluster)) is None
