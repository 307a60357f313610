"""``paceline up`` with the real programs: a new user's first minutes, and how it ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest
from amazondax import AmazonDaxClient

from paceline_local import demo
from paceline_local.plan import make_plan
from tests.support.cluster import skip_unless_startable
from tests.support.embedded import boto3_client
from tests.support.local import free_base_port, gone, ports_free
from tests.support.waiting import wait_until

READY_MAX_S = 10.0
"""The promise: from the command to 'ready' on two cores."""
START_DEADLINE_S = 40.0
STOP_DEADLINE_S = 15.0
IDLE_BYTES_MAX = 120 * 1024 * 1024


class Up:
    """``paceline up`` as a child, in a directory of its own."""

    def __init__(self, directory: Path, *options: str, base: int | None = None) -> None:
        self.base = free_base_port() if base is None else base
        self.directory = directory
        self.ready_file = directory / "ready.json"
        self.output = directory / "output.txt"
        self.begun = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command("up", "--base-port", str(self.base), "--ready-file", self.ready_file)
                + list(options),
                env={**os.environ, "TMPDIR": str(directory)},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> dict[str, Any]:
        wait_until(
            lambda: self.ready_file.exists() or self.process.poll() is not None,
            "the ready file",
            START_DEADLINE_S,
        )
        assert self.process.poll() is None, self.output.read_text()
        self.started_in_s = time.monotonic() - self.begun
        entry: dict[str, Any] = json.loads(self.ready_file.read_text())
        return entry

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_DEADLINE_S)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "paceline_local.cli.main", *map(str, words)]


def paceline(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=START_DEADLINE_S, check=False
    )


@contextlib.contextmanager
def running(directory: Path, *options: str, base: int | None = None) -> Iterator[Up]:
    skip_unless_startable()
    up = Up(directory, *options, base=base)
    try:
        yield up
    except BaseException:
        print(up.output.read_text())
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            up.process.terminate()
        try:
            up.process.wait(STOP_DEADLINE_S)
        finally:
            up.process.kill()
            up.process.wait()


@contextlib.contextmanager
def resource(entry: dict[str, Any]) -> Iterator[Any]:
    with AmazonDaxClient.resource(
        endpoint_url=entry["dax"],
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    ) as dax:
        yield dax


def pids_of(entry: dict[str, Any]) -> list[int]:
    servers: Sequence[dict[str, Any]] = [*entry["nodes"], *entry["discovery"], entry["dynamodb"]]
    return [server["pid"] for server in servers]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running(tmp_path_factory.mktemp("up")) as one:
        one.wait_ready()
        yield one


@pytest.fixture
def entry(up: Up) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(up.ready_file.read_text())
    return found


def test_it_is_ready_in_time_and_prints_every_endpoint(up: Up, entry: dict[str, Any]) -> None:
    print(f"ready after {up.started_in_s:.1f} s; the promise is {READY_MAX_S:g} s on idle cores")
    assert up.started_in_s <= 2 * READY_MAX_S
    wait_until(lambda: "ready in" in up.output.read_text(), "the ready line")
    printed = up.output.read_text()
    for server in (*entry["nodes"], *entry["discovery"]):
        assert server["dax"] in printed
        assert server["grpc"] in printed
        assert server["http"] is None or server["http"] in printed
    assert entry["dynamodb"]["endpoint"] in printed
    assert [node["zone"] for node in entry["nodes"]] == ["a", "b", "c"]
    assert sorted(node["role"] for node in entry["nodes"]) == ["primary", "replica", "replica"]
    assert entry["epoch"] == 1
    assert entry["chaos"] is None


def test_the_ten_lines_of_the_readme_work(entry: dict[str, Any]) -> None:
    with resource(entry) as dax:
        table = dax.Table("Users")
        table.put_item(Item={"id": "1", "name": "Ada"})
        for _ in range(2):
            assert table.get_item(Key={"id": "1"})["Item"] == {"id": "1", "name": "Ada"}
    plain = boto3_client(entry["dynamodb"]["endpoint"])
    stored = plain.get_item(TableName="Users", Key={"id": {"S": "1"}}, ConsistentRead=True)
    assert stored["Item"]["name"] == {"S": "Ada"}


def test_the_demo_table_has_its_items(entry: dict[str, Any]) -> None:
    plain = boto3_client(entry["dynamodb"]["endpoint"])
    found = plain.scan(TableName=demo.TABLE)["Items"]
    assert all(user in found for user in demo.USERS)


def test_status_tells_what_the_ready_file_tells(up: Up, entry: dict[str, Any]) -> None:
    done = paceline("status", "--output", "json", "--base-port", up.base)
    # The registry of running clusters lies in the temporary directory of `up`, so discovery and
    # DynamoDB are unknown here; the nodes tell the rest.
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert set(status) == set(entry)
    for told, ready in zip(status["nodes"], entry["nodes"], strict=True):
        assert {name: told[name] for name in ready} == ready
        assert told["alive"] is True
        assert told["cache"]["items"] >= 0
        assert told["replication"]["lag_messages"] >= 0


def test_the_most_read_keys_of_all_nodes_are_told(up: Up, entry: dict[str, Any]) -> None:
    with resource(entry) as dax:
        for read in range(200):
            dax.Table("Users").get_item(Key={"id": "alan" if read % 4 == 0 else "ada"})
    done = paceline("hotkeys", "--show", "-o", "json", "--base-port", up.base)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["keys"][0]["key"] == {"id": {"S": "ada"}}, told
    assert told["keys"][0]["reads_min"] <= told["reads"]
    hashed = paceline("hotkeys", "--base-port", up.base).stdout
    assert told["keys"][0]["hash"] in hashed
    assert "ada" not in hashed


def test_the_request_logs_of_all_nodes_are_one(up: Up, entry: dict[str, Any]) -> None:
    with resource(entry) as dax:
        users = dax.Table("Users")
        users.get_item(Key={"id": "nobody-else-reads-this"}, ProjectionExpression="id")
        users.get_item(Key={"id": "ada"}, ConsistentRead=True)
    done = paceline("log", "--table", "Users", "--miss", "-o", "json", "--base-port", up.base)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    found = {(line["protocol"], line["cache"], line.get("why")) for line in lines}
    assert {("dax", "miss", None), ("dax", "bypass", "consistent")} <= found
    assert {line["address"] for line in lines} == {"127.0.0.1"}
    assert "nobody-else-reads-this" not in done.stdout
    told = paceline("log", "--table", "Users", "--miss", "--base-port", up.base).stdout
    assert " bypass (consistent) " in told


def test_flush_empties_every_cache(up: Up, entry: dict[str, Any]) -> None:
    with resource(entry) as dax:
        dax.Table("Users").get_item(Key={"id": "ada"})
    done = paceline("flush", "--table", "Users", "--base-port", up.base)
    assert (done.returncode, done.stderr) == (0, "")
    assert "table Users flushed on 3 of 3 nodes" in done.stdout
    status = json.loads(paceline("status", "-o", "json", "--base-port", up.base).stdout)
    assert [node["cache"]["items"] for node in status["nodes"]] == [0, 0, 0]


@pytest.mark.parametrize("front", ["http", "dax", "grpc"])
def test_health_checks_see_each_front(front: str, entry: dict[str, Any]) -> None:
    node, discovery = entry["nodes"][0], entry["discovery"][0]
    checks = {
        "http": [[f"{node['admin']}/readyz"], [f"{node['admin']}/healthz"]],
        "dax": [["--dax", node["dax"]], ["--dax", discovery["dax"]]],
        "grpc": [["--grpc", node["grpc"]], ["--grpc", discovery["grpc"]]],
    }
    for check in checks[front]:
        done = paceline("health", *check)
        assert (done.returncode, done.stderr) == (0, ""), check


def test_an_idle_node_is_small(entry: dict[str, Any]) -> None:
    for node in entry["nodes"]:
        assert psutil.Process(node["pid"]).memory_info().rss <= IDLE_BYTES_MAX


def test_everything_listens_on_loopback_only(entry: dict[str, Any]) -> None:
    for pid in pids_of(entry):
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        # gRPC binds IPv4 through IPv6 sockets.
        assert all(ip_address(ip.removeprefix("::ffff:")).is_loopback for ip in listening)


def test_a_second_cluster_on_the_same_ports_is_refused_and_harms_nothing(
    up: Up, entry: dict[str, Any]
) -> None:
    done = paceline("up", "--base-port", up.base, "--ready-file", up.ready_file)
    assert done.returncode == 2
    assert done.stderr.startswith(f"paceline: error: port {up.base} (embedded DynamoDB) is in use")
    assert "--base-port" in done.stderr
    assert json.loads(up.ready_file.read_text()) == entry
    assert not any(gone(pid) for pid in pids_of(entry))


@pytest.mark.parametrize(
    # test_up_command.py shows with stand-ins that each signal does the same.
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full(minutes=0.5))],
)
def test_a_signal_stops_every_child_and_the_data_is_kept(
    number: signal.Signals, tmp_path: Path
) -> None:
    options = ("--data-dir", str(tmp_path / "data"), "--nodes", "1")
    with running(tmp_path, *options) as up:
        entry = up.wait_ready()
        with resource(entry) as dax:
            dax.Table("Users").put_item(Item={"id": "kept", "n": 1})
        assert up.stop(number) == 0
        assert all(gone(pid) for pid in pids_of(entry))
        assert not up.ready_file.exists()
        assert ports_free(make_plan(nodes=1, base_port=up.base))
    if number == signal.SIGTERM:
        return  # one start more tells enough of the data
    with running(tmp_path, *options, base=up.base) as again, resource(again.wait_ready()) as dax:
        assert dax.Table("Users").get_item(Key={"id": "kept"})["Item"]["n"] == 1


def test_the_death_of_up_ends_every_child_even_a_paused_one(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        entry = up.wait_ready()
        os.kill(entry["nodes"][1]["pid"], signal.SIGSTOP)
        up.process.kill()
        wait_until(lambda: all(gone(pid) for pid in pids_of(entry)), "every child ends", 20)
    left = [p for p in tmp_path.glob("paceline-*") if p.name != f"paceline-{os.getuid()}"]
    wait_until(lambda: not any(p.exists() for p in left), "the temporary directory is removed")


def test_a_port_in_use_leaves_nothing_running(tmp_path: Path) -> None:
    base = free_base_port()
    plan = make_plan(base_port=base)
    with socket.create_server(("127.0.0.1", plan.nodes[1].ports.grpc)) as listener:
        done = paceline("up", "--base-port", base, "--ready-file", tmp_path / "ready.json")
        assert done.returncode == 2
        assert f"port {listener.getsockname()[1]} (node-2, gRPC) is in use by" in done.stderr
        assert f"(pid {os.getpid()})" in done.stderr
    assert ports_free(plan)


def test_an_unreachable_dynamodb_is_named() -> None:
    base = free_base_port()
    done = paceline("up", "--base-port", base, "--dynamodb", f"http://127.0.0.1:{base + 5}")
    assert done.returncode == 2
    assert f"http://127.0.0.1:{base + 5}/ does not answer: connection refused" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_data_directory_is_named_and_kept(tmp_path: Path) -> None:
    skip_unless_startable()
    data = tmp_path / "data"
    base = free_base_port()
    (data / "node-1").mkdir(parents=True)
    (data / "node-1" / "identity.json").write_text("{ torn")
    done = paceline("up", "--nodes", "1", "--base-port", base, "--data-dir", data)
    assert done.returncode == 1
    assert "node-1: " in done.stderr
    assert "is damaged" in done.stderr
    assert (data / "node-1" / "identity.json").read_text() == "{ torn"
    assert ports_free(make_plan(nodes=1, base_port=base))


def test_with_chaos_a_killed_node_stays_dead_until_it_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where `up` leaves word of itself for other commands.
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def chaos(*words: str) -> str:
        done = paceline("chaos", *words, "--base-port", up.base)
        assert (done.returncode, done.stderr) == (0, ""), words
        return done.stdout

    with running(tmp_path, "--chaos", "--nodes", "1", "--restart") as up:
        entry = up.wait_ready()
        assert chaos("kill", "node-1") == "killed node-1\n"
        assert gone(entry["nodes"][0]["pid"])
        wait_until(
            lambda: json.loads(up.ready_file.read_text())["nodes"][0]["role"] is None,
            "the ready file knows",
        )
        assert "dead" in chaos("status")
        assert chaos("restart") == "restarted node-1\n"
        with resource(entry) as dax:
            dax.Table("Users").put_item(Item={"id": "back"})
        assert "chaos: killed node-1" in up.output.read_text()
        proxies = entry["chaos"]["pid"]
        assert up.stop() == 0
        assert gone(proxies)
