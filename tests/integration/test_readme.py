"""README's commands and code do what it says, and the examples of docs/clients.md, on one cluster.
Ports are replaced, so that tests can run at once."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cluster import Cluster
from tests.support.java_client import INSTALLED, JVM, skip_unless_installed
from tests.support.principals import run_paceline

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CLIENTS = (ROOT / "docs" / "clients.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True) for line in re.findall(r"^    (\S.*)$", README, re.MULTILINE)
]
PACELINE = [command[1:] for command in COMMANDS if command[0].endswith("/paceline")]
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
AWS_CLI = ROOT / ".tools" / "venv" / "bin" / "aws"
HARNESS_OPTIONS = {"--base-port", "--data-dir", "--ready-file"}
"""Every cluster of these tests is started with them."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    options = next(c[1:] for c in PACELINE if c[0] == "up" and "--nodes" in c)
    with Cluster(tmp_path_factory.mktemp("readme"), arguments=["--demo", *options]) as cluster:
        cluster.wait_serving()
        yield cluster


def with_ports_of(cluster: Cluster, code: str) -> str:
    """8111 is discovery, 8141 and 8161 are the first node: all counted from 8000."""
    found = re.findall(r"127\.0\.0\.1:(8\d\d\d)", code)
    assert found, code
    for port in found:
        ours = cluster.base_port + int(port) - 8000
        code = code.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ours}")
    return code


def test_the_code_reads_its_own_write_out_of_the_cache(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    code = with_ports_of(cluster, EXAMPLES[0])
    hits = cluster.counter("hits")
    exec(code, {})
    assert capsys.readouterr().out.count("Ada") == 2
    # Reads go to random nodes, so the second one hits for sure only after one read of each.
    for _ in range(2 * len(cluster.node_ids)):
        exec(code, {})
    assert cluster.counter("hits") > hits


@pytest.mark.parametrize("code", EXAMPLES[1:], ids=["boto3", "SDK", "gRPC"])
def test_every_way_in_reads_the_same(
    cluster: Cluster, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(with_ports_of(cluster, EXAMPLES[0]), {})
    capsys.readouterr()
    names: dict[str, object] = {}
    exec(with_ports_of(cluster, code), names)
    assert "Ada" in capsys.readouterr().out
    if "dynamodb" in names:
        names["dynamodb"].close()  # type: ignore[attr-defined]


def test_the_aws_cli_reads_it_too(cluster: Cluster) -> None:
    if not AWS_CLI.exists():
        pytest.skip("the AWS CLI is not installed: make tools")
    exec(with_ports_of(cluster, EXAMPLES[0]), {})
    (line,) = re.findall(r"```sh\n(aws .*?)\n```", README)
    command = shlex.split(with_ports_of(cluster, line))
    credentials = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x")
    done = subprocess.run(
        [str(AWS_CLI), *command[1:]],
        env={**os.environ, **credentials, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ada" in done.stdout


def test_the_cluster_is_the_one_that_the_options_ask_for(cluster: Cluster) -> None:
    assert len(cluster.entry["nodes"]) == 5
    assert {node["zone"] for node in cluster.entry["nodes"]} == {"a", "b"}


@pytest.mark.parametrize("command", [c for c in PACELINE if c[0] in ("status", "flush")])
def test_a_command_for_operators(cluster: Cluster, command: list[str]) -> None:
    done = run_paceline(*command, "--base-port", str(cluster.base_port))
    assert done.returncode == 0, done.stderr
    assert "node-5" in done.stdout or "flushed on 5 of 5 nodes" in done.stdout


def test_every_command_of_the_command_line_is_run_here() -> None:
    used = {option for c in PACELINE if c[0] == "up" for option in c if option.startswith("--")}
    assert used - HARNESS_OPTIONS == {"--nodes", "--zones", "--dynamodb"}
    assert {command[0] for command in PACELINE} == {"up", "status", "flush"}


def test_aws_without_credentials_says_what_is_missing(tmp_path: Path) -> None:
    assert ["up", "--dynamodb", "aws"] in PACELINE
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env |= {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    done = run_paceline("up", "--dynamodb", "aws", "--data-dir", str(tmp_path / "data"), env=env)
    assert done.returncode != 0
    assert "credentials" in done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] == "make"])
def test_a_make_target_exists(command: list[str]) -> None:
    done = subprocess.run(
        ["make", "-n", *command[1:]], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_compose_profiles_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    known = {profile for service in services.values() for profile in service.get("profiles", ())}
    named = {c[c.index("--profile") + 1] for c in COMMANDS if "--profile" in c}
    assert named
    assert named <= known


def test_boto3_on_the_http_api(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    section = CLIENTS.partition("## DynamoDB's HTTP API")[2].partition("\n## ")[0]
    codes = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(codes) == 2
    names: dict[str, object] = {}
    for code in codes:
        exec(code.replace("127.0.0.1:8141", f"127.0.0.1:{cluster.base_port + 141}"), names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "{'S': 'Grace'} hit"
    names["dynamodb"].close()  # type: ignore[attr-defined]


def test_the_official_client_for_java(cluster: Cluster, tmp_path: Path) -> None:
    skip_unless_installed()
    section = CLIENTS.partition("## The official client for Java")[2].partition("\n## ")[0]
    [code] = re.findall(r"```java\n(.*?)```", section, re.DOTALL)
    source = tmp_path / "Users.java"
    source.write_text(code.replace("dax://127.0.0.1:8111", cluster.dax))
    libraries = f"{INSTALLED / 'sdk2' / 'lib'}/*"
    ran = subprocess.run(
        ["java", *JVM, "-cp", libraries, str(source)],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "Barbara\n"), ran.stderr


@pytest.mark.parametrize(
    ("text", "folder"), [(README, ROOT), (CLIENTS, ROOT / "docs")], ids=["README", "clients"]
)
def test_every_link_leads_somewhere(text: str, folder: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert len(links) > 5
    assert [link for link in links if not (folder / link).exists()] == []
