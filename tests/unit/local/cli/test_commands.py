"""What each command prints and how it ends, on a cluster of stand-ins."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline.dax.errors import encode_error
from paceline.errors import Unavailable
from paceline_local import programs
from paceline_local.cli import main as cli
from paceline_local.cluster import PlannedCluster
from paceline_local.plan import make_plan
from paceline_local.probes import get_json
from tests.support.local import fake_programs, free_base_port


@pytest.fixture(scope="module")
def cluster() -> Iterator[PlannedCluster]:
    plan = make_plan(nodes=3, base_port=free_base_port())
    with PlannedCluster(plan, programs=fake_programs()) as one:
        yield one


def base_option(cluster: PlannedCluster) -> str:
    return f"--base-port={cluster.plan.ports.base}"


def test_status_as_json_is_the_ready_file_with_details(
    cluster: PlannedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", "--output", "json", base_option(cluster)]) == 0
    printed = json.loads(capsys.readouterr().out)
    ready = cluster.entry()
    assert set(printed) == set(ready)
    assert printed["epoch"] == 1
    for shown, node in zip(printed["nodes"], ready["nodes"], strict=True):
        for name in ("id", "role", "grpc", "admin", "pid"):
            assert shown[name] == node[name]
        assert shown["alive"] is True
        assert shown["cache"]["hits"] == 30
        assert shown["replication"]["position"] == [1, 7]


def test_status_from_any_node_finds_all_members(
    cluster: PlannedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = cluster.plan.nodes[2].admin
    assert cli.run(["status", "-o", "json", "--admin", admin]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [node["id"] for node in printed["nodes"]] == ["node-1", "node-2", "node-3"]
    assert [node["role"] for node in printed["nodes"]] == ["primary", "replica", "replica"]


def test_status_as_a_table(cluster: PlannedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", base_option(cluster)]) == 0
    out = capsys.readouterr().out
    assert "epoch 1" in out
    row = next(line for line in out.splitlines() if line.strip().startswith("node-1"))
    for cell in ("primary", "serving", "75.0 %", "4.0 KiB", "0.8 s"):
        assert cell in row


def test_flush_reaches_every_node(
    cluster: PlannedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["flush", "--table", "My Table", base_option(cluster)]) == 0
    assert "table My Table flushed on 3 of 3 nodes" in capsys.readouterr().out
    for node in cluster.plan.nodes:
        log = cluster.child(node.id).log_path.read_text()
        assert f"POST /flush?table=My%20Table None Bearer {'ab' * 32}" in log


def test_flush_of_nodes_whose_token_is_not_for_this_user(
    cluster: PlannedCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = get_json(f"{cluster.plan.nodes[1].admin}/status")
    token = Path(status["admin_token_file"])
    kept = token.rename(tmp_path / "kept")
    try:
        assert cli.run(["flush", base_option(cluster)]) == 1
    finally:
        kept.rename(token)
    said = capsys.readouterr()
    assert "flushed on 2 of 3 nodes" in said.out
    assert "PACELINE_ADMIN_TOKEN_FILE" in said.err


def test_a_page_that_answers_a_flush_has_flushed_nothing(
    cluster: PlannedCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = lambda *_, **__: (200, b"<html>Sign in</html>")  # noqa: E731
    monkeypatch.setattr("paceline_local.admin_commands.http_request", page)
    assert cli.run(["flush", base_option(cluster)]) == 1
    said = capsys.readouterr()
    assert "flushed on 0 of 3 nodes" in said.out
    assert "not as a node does" in said.err


@pytest.mark.parametrize("answer", [{}, {"members": None}, {"id": "x", "epoch": 3}])
def test_another_programs_json_is_no_status(
    answer: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paceline_local.status.get_json", lambda *_: answer)
    assert cli.run(["status", "--admin", "http://127.0.0.1:1"]) == 1
    assert "answers as no Paceline node does" in capsys.readouterr().err


def test_health_of_what_is_well(cluster: PlannedCluster) -> None:
    node = cluster.plan.nodes[0]
    assert cli.run(["health", f"{node.admin}/readyz", "--dax", cluster.plan.discovery_dax]) == 0


def test_health_of_what_is_not(cluster: PlannedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    node = cluster.plan.nodes[0]
    port = free_base_port(span=1)
    assert cli.run(["health", f"{node.admin}/nothing"]) == 1
    assert "answers 404" in capsys.readouterr().err
    assert cli.run(["health", f"http://127.0.0.1:{port}/readyz"]) == 1
    assert "connection refused" in capsys.readouterr().err
    assert cli.run(["health", "--dax", f"127.0.0.1:{port}"]) == 1
    assert cli.run(["health", "--grpc", f"127.0.0.1:{port}"]) == 1


def test_a_page_of_another_program_is_no_sign_of_health(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = b"<html>ready</html>"
    monkeypatch.setattr("paceline_local.probes.http_request", lambda *_, **__: (200, body))
    assert cli.run(["health", "http://127.0.0.1:1/readyz"]) == 1
    assert "not as a node or discovery does" in capsys.readouterr().err
    for body in (b"[]", b'{"services":{"s3":"running"}}', b'{"services":3}', b"[" * 100_000):  # noqa: B007
        assert cli.run(["health", "http://127.0.0.1:1/readyz"]) == 1
    for body in (  # noqa: B007
        b"ready\n",
        b"ok\n",
        b"healthy: dynamodb.eu-west-1.amazonaws.com ",
        b'{"services":{"dynamodb":"available"}}',
    ):
        assert cli.run(["health", "http://127.0.0.1:1/readyz"]) == 0


def test_a_dax_door_that_answers_with_an_error_is_not_healthy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(encode_error(Unavailable("no node is reached yet")))

        thread = threading.Thread(target=answer)
        thread.start()
        assert cli.run(["health", "--dax", f"127.0.0.1:{listener.getsockname()[1]}"]) == 1
        thread.join()
    error = capsys.readouterr().err
    assert "gives no roster: " in error
    assert "no node is reached yet" in error


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["up", "--nodes", "three"], 2, "Invalid value for '--nodes'"),
        (["up", "--nodes", "0"], 2, "choose 1 to 11"),
        (["up", "--nodes", "2", "--zones", "a,b,c"], 2, "3 zones do not fit 2 nodes"),
        (["up", "--zones", "a,,b"], 2, "is no zone name"),
        (["up", "--dynamodb", "nonsense"], 2, "neither 'embedded', 'aws' nor a URL"),
        (
            ["up", "--base-port", str(free_base_port()), "--ready-file", "/nonexistent/ready.json"],
            2,
            "is no directory",
        ),
        (["up", "--base-port", "65000"], 2, "out of range"),
        (["up", "--frobnicate"], 2, "No such option"),
        (["frobnicate"], 2, "No such command"),
        (["health"], 2, "name what to check"),
        (["health", "ftp://x"], 2, "is no http or https URL"),
        (["health", "--dax", "nonsense"], 2, "write it as host:port"),
        (["status", "--base-port", "20"], 1, "no cluster runs at base port 20"),
        (["flush", "--base-port", "20"], 1, "no cluster runs at base port 20"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(
    argv: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The commands under test stop before they would take over this process's signals for long.
    monkeypatch.setattr("paceline_local.stop_request.StopRequest.listen", lambda self: None)
    assert cli.run(argv) == code
    err = capsys.readouterr().err
    assert err.startswith("paceline: error: ")
    assert err.count("\n") == 1
    assert says in err


def test_servers_that_are_not_installed_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    assert cli.run(["node", "--help"]) == 2
    assert "pip install paceline-server" in capsys.readouterr().err


def test_the_command_line_itself_loads_no_commands_libraries() -> None:
    code = (
        "import sys\n"
        "from paceline_local.cli.main import run\n"
        "run(['--version'])\n"
        "heavy = {'rich.console', 'http.client', 'ssl', 'paceline.dax.connection'}\n"
        "heavy |= {'yaml', 'botocore', 'paceline_local.stacks'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_health_check_imports_no_server_and_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from paceline_local.cli.main import run\n"
        "run(['health', 'http://127.0.0.1:1/x'])\n"
        "heavy = {'grpc', 'cluster', 'node', 'discovery', 'paceline_server', 'asyncio'}\n"
        "heavy |= {'rich.console', 'paceline.dax.connection'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
