"""Operators change who takes part, with the command line and node processes."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from paceline_local.probes import http_ok
from tests.support.consensus_clusters import free_ports
from tests.support.waiting import wait_until

START_S = 30.0
COMMAND_S = 60.0


@dataclass
class Nodes:
    """Node processes that share a secret. Without another one, their DynamoDB is not there."""

    path: Path
    dynamodb: str = "http://127.0.0.1:1"
    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    ports: dict[str, list[int]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def address(self, node: str) -> str:
        """Where members reach it."""
        if node not in self.ports:
            self.ports[node] = free_ports(5)
        return f"127.0.0.1:{self.ports[node][0]}"

    def admin(self, node: str) -> str:
        return f"http://127.0.0.1:{self.ports[node][1]}"

    def start(self, node: str, peers: list[str]) -> None:
        _, admin, grpc, dax, http = (self.address(node), *self.ports[node][1:])
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PACELINE_")},
            "PACELINE_NODE_ID": node,
            "PACELINE_SECRET": self.secret,
            "PACELINE_PEERS": json.dumps({peer: self.address(peer) for peer in peers}),
            "PACELINE_MEMBERS_BIND": self.address(node),
            "PACELINE_ADMIN_BIND": f"127.0.0.1:{admin}",
            "PACELINE_GRPC_BIND": f"127.0.0.1:{grpc}",
            "PACELINE_LISTENERS": json.dumps([{"bind": f"127.0.0.1:{dax}"}]),
            "PACELINE_HTTP_BIND": f"127.0.0.1:{http}",
            "PACELINE_DATA_DIR": str(self.path / node),
            "PACELINE_DYNAMODB__ENDPOINT": self.dynamodb,
            "PACELINE_DYNAMODB__REGION": "us-east-1",
            "PACELINE_DYNAMODB__CREDENTIALS": "dummy",
        }
        with (self.path / f"{node}.log").open("ab") as log:
            self.running[node] = subprocess.Popen(
                [sys.executable, "-P", "-m", "paceline_server", "node"],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def kill(self, node: str) -> None:
        process = self.running.pop(node)
        process.kill()
        process.wait()

    def ready(self, node: str) -> None:
        wait_until(
            lambda: http_ok(f"{self.admin(node)}/readyz") is None,
            f"{node} is ready",
            START_S,
        )

    def member(self, *arguments: str, code: int = 0) -> str:
        """Output of ``paceline member``, both streams."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("paceline")), "member", *arguments],
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    def parts(self, node: str) -> dict[str, str]:
        log = json.loads(self.member("list", "--admin", self.admin(node), "-o", "json"))
        return {one: member["part"] for one, member in log["members"].items()}


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    try:
        yield made
    finally:
        for node in list(made.running):
            made.kill(node)
        for log in sorted(tmp_path.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-3000:]}")


@pytest.mark.full
def test_a_cluster_of_one_grows_shrinks_and_survives_the_loss_of_a_majority(nodes: Nodes) -> None:
    nodes.start("n1", ["n1"])
    nodes.ready("n1")
    admin = ["--admin", nodes.admin("n1")]
    assert nodes.parts("n1") == {"n1": "voter"}

    said = nodes.member("promote", "n2", *admin, code=1)
    assert "not a member; add it first" in said
    said = nodes.member("add", "n2", "nowhere", *admin, code=1)
    assert "HOST:PORT" in said
    said = nodes.member("add", "n2", nodes.address("n2"), *admin)
    assert "waits for its disk" in said
    nodes.start("n2", ["n1", "n2"])
    said = nodes.member("promote", "n2", *admin)
    assert "voter" in said
    nodes.ready("n2")
    assert nodes.parts("n2") == {"n1": "voter", "n2": "voter"}

    nodes.member("add", "n3", nodes.address("n3"), *admin)
    nodes.start("n3", ["n1", "n2", "n3"])
    nodes.member("promote", "n3", *admin)
    nodes.ready("n3")
    nodes.member("remove", "n1", "--admin", nodes.admin("n2"))
    assert nodes.parts("n2") == {"n2": "voter", "n3": "voter"}
    nodes.kill("n1")

    nodes.kill("n3")
    said = nodes.member("remove", "n3", "--admin", nodes.admin("n2"), code=1)
    assert "no leader" in said
    said = nodes.member("remove", "n3", "--unsafe-recover", code=2)
    assert "--data-dir" in said
    directory = ["--unsafe-recover", "--data-dir", str(nodes.path / "n2")]
    said = nodes.member("remove", "n3", *directory, code=2)
    assert "in use" in said
    nodes.kill("n2")
    said = nodes.member("remove", "n1", "n3", *directory, code=2)
    assert "name all of them, and none else" in said
    said = nodes.member("remove", "n3", *directory)
    assert "n3 must never run again" in said
    nodes.start("n2", ["n1", "n2", "n3"])
    nodes.ready("n2")
    assert nodes.parts("n2") == {"n2": "voter"}
