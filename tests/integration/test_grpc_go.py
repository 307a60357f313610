"""docs/grpc.md for Go and grpcurl, executed: its commands and its code, on a real cluster.

Soak, since compiling gRPC and grpcurl costs two minutes of CPU on a machine that never did it. The
page names versions of what it installs; the rest follows, for Go takes the lowest version that the
named ones ask for. The module proxy has to be reachable, or to have been once.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "grpc.md").read_text()
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
COMPILE_S = 900.0
CALL_S = 60.0


def run(
    words: list[str], directory: Path, environment: dict[str, str], timeout_s: float = CALL_S
) -> str:
    """Both outputs of a command that has to succeed: Go's ``log`` prints to stderr."""
    done = subprocess.run(
        words,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Go, with a directory of its own for what it installs, and protoc."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    binaries = tmp_path_factory.mktemp("bin")
    protoc = binaries / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    environment = {
        **os.environ,
        "GOBIN": str(binaries),
        "GOFLAGS": "",
        "GOWORK": "off",
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }
    pinned = re.findall(r"google\.golang\.org/grpc@v[\d.]+", PAGE)[0]
    fetched = subprocess.run(
        ["go", "mod", "download", pinned],
        cwd=binaries,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMPILE_S,
        check=False,
    )
    if fetched.returncode:
        pytest.skip(f"Go modules cannot be fetched here: {fetched.stderr.strip()[-200:]}")
    return environment


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=1) as cluster:
        cluster.create_table("Users", "id")
        yield cluster


def test_go(cluster: LocalCluster, environment: dict[str, str], tmp_path: Path) -> None:
    section = PAGE.partition("\n## Go\n")[2].partition("\n## ")[0]
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    (code,) = re.findall(r"```go\n(.*?)```", section, re.DOTALL)
    *preparing, running = [shlex.split(line) for line in commands.splitlines()]
    assert running == ["go", "run", "."]
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    (tmp_path / "main.go").write_text(code.replace("127.0.0.1:8161", cluster.plan.nodes[0].grpc))
    for words in preparing:
        run(words, tmp_path, environment, COMPILE_S)
    assert run(["gofmt", "-l", "main.go"], tmp_path, environment) == ""
    run(["go", "vet", "."], tmp_path, environment, COMPILE_S)
    first = run(running, tmp_path, environment, COMPILE_S).splitlines()
    again = run(running, tmp_path, environment, COMPILE_S).splitlines()
    # Go's protobuf spaces texts at random, so that nobody parses them. A put fills the cache.
    found = r'map\[id:s: *"7"\] \[(hit|miss)\]$'
    assert len(first) == 1, first
    assert re.search(found, first[0]), first
    assert len(again) == 2, again
    assert again[0].endswith("it was there already")
    assert re.search(found, again[1]), again


def test_grpcurl(cluster: LocalCluster, environment: dict[str, str], tmp_path: Path) -> None:
    (install,) = re.findall(rf"`(go install {re.escape(GRPCURL)}@v[\d.]+)`", PAGE)
    run(shlex.split(install), tmp_path, environment, COMPILE_S)
    (block,) = re.findall(r"```sh\n(grpcurl .*?)```", PAGE, re.DOTALL)
    outputs = {}
    for line in block.splitlines():
        words = shlex.split(line.replace("127.0.0.1:8161", cluster.plan.nodes[0].grpc))
        outputs[words[-1]] = run(words, tmp_path, environment)
    grace = {"id": {"s": "7"}, "born": {"n": "1906"}}
    assert "rpc TransactWriteItems" in outputs["paceline.v1.Data"]
    assert json.loads(outputs["paceline.v1.Data/PutItem"]) == {}
    get = outputs["paceline.v1.Data/GetItem"]
    assert "\nx-paceline-cache: " in get
    answer = get.partition("Response contents:\n")[2].partition("\nResponse trailers")[0]
    assert json.loads(answer) == {"item": {"attributes": grace}}
    queried = json.loads(outputs["paceline.v1.Data/Query"])
    assert queried == {"items": [{"attributes": grace}], "count": 1, "scanned_count": 1}
    assert json.loads(outputs["grpc.health.v1.Health/Check"]) == {"status": "SERVING"}
