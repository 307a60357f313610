"""A whole cluster of stand-ins: started together, watched, stopped, and cleaned up after."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paceline.errors import ConfigError, Unavailable
from paceline_local import cluster as cluster_module
from paceline_local.cluster import PlannedCluster
from paceline_local.plan import ClusterPlan, make_plan
from paceline_local.starting import Cancelled
from paceline_local.supervisor import ChildFailed
from tests.support.local import fake_programs, free_base_port, gone, ports_free
from tests.support.waiting import wait_until

Make = Callable[..., PlannedCluster]


@pytest.fixture
def plan() -> ClusterPlan:
    return make_plan(nodes=3, base_port=free_base_port())


@pytest.fixture
def make(plan: ClusterPlan) -> Iterator[Make]:
    made: list[PlannedCluster] = []

    def make(data_dir: Path | None = None, **fakes: str) -> PlannedCluster:
        environ = {**os.environ, **{f"FAKE_{name.upper()}": text for name, text in fakes.items()}}
        one = PlannedCluster(plan, data_dir=data_dir, environ=environ, programs=fake_programs())
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()
    assert ports_free(plan), "something is left running"


def test_only_a_dynamodb_that_was_started_with_the_cluster_is_untouched(
    make: Make, plan: ClusterPlan, tmp_path: Path
) -> None:
    with make(tmp_path) as cluster:
        assert (tmp_path / "untouched").is_file()  # no node has taken it away: they are stand-ins
    with make(tmp_path) as cluster:
        assert not (cluster.directory / "untouched").exists()


def test_a_cluster_starts_tells_and_leaves_nothing(make: Make, plan: ClusterPlan) -> None:
    with make() as cluster:
        directory = cluster.directory
        entry = cluster.entry()
        pids = [cluster.child(name).pid for name in ("dynamodb", "discovery", "node-1", "node-3")]
        assert not any(gone(pid) for pid in pids)
        assert (directory / "secret").stat().st_mode & 0o777 == 0o600
    base = plan.ports.base
    assert entry["dax"] == f"dax://127.0.0.1:{base + 111}"
    assert entry["epoch"] == 1
    assert entry["dynamodb"] == {"endpoint": f"http://127.0.0.1:{base}", "pid": pids[0]}
    assert entry["discovery"] == [
        {
            "dax": f"dax://127.0.0.1:{base + 111}",
            "grpc": f"127.0.0.1:{base + 112}",
            "http": f"http://127.0.0.1:{base + 113}",
            "dax_tls": None,
            "grpc_tls": None,
            "https": None,
            "pid": pids[1],
        }
    ]
    assert entry["nodes"][0] == {
        "id": "node-1",
        "zone": "a",
        "role": "primary",
        "dax": f"dax://127.0.0.1:{base + 121}",
        "http": f"http://127.0.0.1:{base + 141}",
        "grpc": f"127.0.0.1:{base + 161}",
        "dax_tls": None,
        "https": None,
        "grpc_tls": None,
        "admin": f"http://127.0.0.1:{base + 201}",
        "pid": pids[2],
    }
    assert [node["role"] for node in entry["nodes"]] == ["primary", "replica", "replica"]
    assert all(gone(pid) for pid in pids)
    assert not directory.exists()
    assert ports_free(plan)


def test_a_port_in_use_stops_everything_before_it_starts(make: Make, plan: ClusterPlan) -> None:
    taken = plan.nodes[2].ports.consensus
    cluster = make()
    with socket.create_server(("127.0.0.1", taken)):
        with pytest.raises(ConfigError, match=rf"port {taken} \(node-3, consensus\) is in use"):
            cluster.start()
        with pytest.raises(RuntimeError, match="not running"):
            cluster.child("dynamodb")


def test_a_child_that_refuses_to_start_is_quoted(make: Make) -> None:
    with pytest.raises(ChildFailed) as caught:
        make(fail_node_2="the data directory is corrupt").start()
    assert str(caught.value) == "node-2: the data directory is corrupt"


def test_a_child_that_crashes_at_start_shows_the_end_of_its_log(make: Make) -> None:
    with pytest.raises(ChildFailed) as caught:
        make(crash_node_3="1").start()
    message = str(caught.value)
    assert "node-3 (pid" in message
    assert "ended with exit code 1 during the start" in message
    assert "RuntimeError: planned crash" in message


@pytest.mark.parametrize("name", ["node_2", "discovery"])
def test_a_child_that_never_gets_ready_is_named_with_the_reason(
    name: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "START_S", 2.5)
    with pytest.raises(ChildFailed) as caught:
        make(**{f"unready_{name}": "1"}).start()
    message = str(caught.value)
    assert message.startswith(f"{name.replace('_', '-')} was not ready within")
    assert "503" in message or "names 0 of 3 nodes" in message


def test_a_stop_request_during_the_start_is_followed(plan: ClusterPlan) -> None:
    cluster = PlannedCluster(plan, programs=fake_programs(), cancelled=lambda: True)
    with pytest.raises(Cancelled):
        cluster.start()
    assert ports_free(plan)


def test_a_stubborn_child_is_killed_and_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "STOP_S", 3.0)
    cluster = make(stubborn_node_2="1")
    cluster.start()
    assert cluster.stop() == ["node-2"]


def test_a_death_is_told_and_does_not_take_the_others_with_it(make: Make) -> None:
    with make() as cluster:
        pid = cluster.child("node-2").pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not cluster.child("node-2").running, "node-2 dies")
        (exit,) = cluster.take_exits()
        assert exit.describe() == f"node-2 (pid {pid}) was killed by SIGKILL"
        assert [node["role"] for node in cluster.entry()["nodes"]] == ["primary", None, "replica"]
        assert all(cluster.child(name).running for name in ("node-1", "node-3", "discovery"))
        cluster.restart("node-2")
        assert cluster.child("node-2").pid != pid
        assert cluster.entry()["nodes"][1]["role"] == "replica"


def test_a_kept_directory_keeps_logs_and_secret(make: Make, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with make(data) as cluster:
        secret = (data / "secret").read_text()
        assert cluster.directory == data
    assert "node-1 stops" in (data / "logs" / "node-1.log").read_text()
    assert {path.name for path in data.iterdir()} >= {"dynamodb", "node-1", "node-2", "node-3"}
    with make(data):
        assert (data / "secret").read_text() == secret


def test_a_directory_in_use_is_refused(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "check_free", lambda *_: None)
    with make(tmp_path), pytest.raises(ConfigError, match=f"in use by pid {os.getpid()}"):
        make(tmp_path).start()


def test_a_directory_of_another_plan_is_refused(tmp_path: Path) -> None:
    made_for = {"format": 1, "base_port": 9000, "nodes": {"node-1": "x", "node-2": "y"}}
    (tmp_path / "plan.json").write_text(json.dumps(made_for))
    plan = make_plan(base_port=free_base_port())
    with pytest.raises(ConfigError, match="--nodes 2 --zones x,y --base-port 9000"):
        PlannedCluster(plan, data_dir=tmp_path, programs=fake_programs()).start()
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ConfigError, match="choose another --data-dir"):
        PlannedCluster(plan, data_dir=tmp_path, programs=fake_programs()).start()


def test_an_unreachable_dynamodb_is_found_first() -> None:
    base = free_base_port()
    plan = make_plan(base_port=base, dynamodb=f"http://127.0.0.1:{base}")
    with pytest.raises(ConfigError, match=r"DynamoDB cannot be reached: .* connection refused"):
        PlannedCluster(plan, programs=fake_programs()).start()


def test_the_demo_table_is_made_before_any_node_runs(plan: ClusterPlan, tmp_path: Path) -> None:
    cluster = PlannedCluster(
        plan, data_dir=tmp_path / "data", demo_table=True, programs=fake_programs()
    )
    with cluster:
        log = (tmp_path / "data" / "logs" / "dynamodb.log").read_text()
    assert "DynamoDB_20120810.CreateTable" in log
    assert log.index("CreateTable") < log.index("BatchWriteItem")
    assert '"TableName": "Users"' in log


# -- chaos ----------------------------------------------------------------------------------


@pytest.fixture
def chaotic(plan: ClusterPlan) -> Iterator[PlannedCluster]:
    with PlannedCluster(plan, chaos=True, programs=fake_programs()) as cluster:
        yield cluster
    assert ports_free(plan), "something is left running"


def test_killed_programs_stay_dead_until_they_are_restarted(chaotic: PlannedCluster) -> None:
    before = {name: chaotic.child(name).pid for name in ("node-2", "discovery")}
    assert chaotic.chaos.kill("node-2", "discovery") == ["node-2", "discovery"]
    assert all(gone(pid) for pid in before.values())
    assert chaotic.take_exits() == []
    assert chaotic.take_chaos_events() == ["killed node-2, discovery"]
    roles = {node["id"]: node["role"] for node in chaotic.entry()["nodes"]}
    assert roles == {"node-1": "primary", "node-2": None, "node-3": "replica"}
    assert chaotic.chaos.restart() == ["node-2", "discovery"]
    assert all(chaotic.running(name) for name in before)
    assert {name: chaotic.child(name).pid for name in before} != before


def test_a_running_program_is_restarted_in_order(chaotic: PlannedCluster) -> None:
    before = chaotic.child("node-3").pid
    assert chaotic.chaos.restart("node-3") == ["node-3"]
    assert chaotic.child("node-3").pid != before
    log = (chaotic.directory / "logs" / "node-3.log").read_text().splitlines()
    assert log == ["node-3 starts", "node-3 stops", "node-3 starts"]
    assert chaotic.take_exits() == []


def test_a_program_that_died_by_itself_is_told_of_even_if_chaos_restarts_it(
    chaotic: PlannedCluster,
) -> None:
    os.kill(chaotic.child("node-2").pid, signal.SIGKILL)
    wait_until(lambda: not chaotic.running("node-2"), "node-2 has gone")
    chaotic.chaos.restart()
    assert [exit.name for exit in chaotic.take_exits()] == ["node-2"]


def test_the_entry_names_the_chaos_address(chaotic: PlannedCluster) -> None:
    entry = chaotic.entry()["chaos"]
    assert entry is not None
    assert entry["url"] == chaotic.chaos.url
    assert entry["pid"] == chaotic.child("chaos").pid
    taken = {port for _, port in chaotic.plan.wanted_ports()}
    assert int(entry["url"].rpartition(":")[2]) not in taken


def test_without_chaos_there_is_none(make: Make) -> None:
    with make() as cluster:
        assert cluster.entry()["chaos"] is None
        with pytest.raises(ConfigError, match="chaos=True"):
            _ = cluster.chaos


def test_the_loss_of_the_proxies_is_told(chaotic: PlannedCluster) -> None:
    os.kill(chaotic.child("chaos").pid, signal.SIGKILL)
    wait_until(lambda: not chaotic.running("chaos"), "the proxies have gone")
    assert [exit.name for exit in chaotic.take_exits()] == ["chaos"]
    with pytest.raises(Unavailable, match="carries the links does not answer"):
        chaotic.chaos.partition("node-1")
