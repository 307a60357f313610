"""The embedded DynamoDB as a process, and what its installation says when it cannot work."""

from __future__ import annotations

import hashlib
import http.client
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from paceline.errors import ConfigError
from paceline_local import embedded
from tests.support.embedded import (
    Database,
    EmbeddedProcess,
    boto3_client,
    embedded_dynamodb,  # noqa: F401
    free_port,
    skip_unless_installed,
)


def test_it_listens_on_loopback_only_and_keeps_tables_over_a_clean_stop(tmp_path: Path) -> None:
    skip_unless_installed()
    data_dir = tmp_path / "data"
    first = EmbeddedProcess(data_dir)
    try:
        listening = {
            connection.laddr
            for connection in psutil.Process(first.pid).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {("127.0.0.1", first.port)}
        client = boto3_client(first.endpoint)
        table = Database(first.endpoint, client).create()
        client.put_item(TableName=table, Item={"id": {"S": "1"}})
        client.close()
    finally:
        first.stop()
    assert first.process.returncode == 0
    second = EmbeddedProcess(data_dir)
    try:
        client = boto3_client(second.endpoint)
        assert client.get_item(TableName=table, Key={"id": {"S": "1"}})["Item"]
        client.close()
    finally:
        second.stop()


def ask(
    database: EmbeddedProcess, method: str, body: str = "{}", **headers: str
) -> tuple[int, dict[str, str], str]:
    """(status, headers in lower case, body) of ListTables with more headers."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(database.endpoint).port)
    try:
        connection.request(
            method,
            "/",
            body,
            {
                "X-Amz-Target": "DynamoDB_20120810.ListTables",
                "Content-Type": "application/x-amz-json-1.0",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read().decode()
    finally:
        connection.close()


STRANGERS = [
    {"Origin": "http://evil.example"},
    {"Origin": "https://evil.example:8000"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Host": "evil.example"},
    {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"},
    {"Host": "localhost.evil.example"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
def test_web_pages_of_strangers_are_refused(
    embedded_dynamodb: EmbeddedProcess,  # noqa: F811
    method: str,
    headers: dict[str, str],
) -> None:
    status, answered, body = ask(embedded_dynamodb, method, **headers)
    assert status == 403
    assert "TableNames" not in body
    assert not [name for name in answered if name.startswith("access-control-")]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:80"])
def test_this_machine_is_answered_without_leave_for_pages(
    embedded_dynamodb: EmbeddedProcess,  # noqa: F811
    host: str,
) -> None:
    for more in ({}, {"Origin": "http://localhost:3000"}, {"Sec_Fetch_Site": "none"}):
        status, answered, body = ask(embedded_dynamodb, "POST", Host=host, **more)
        assert status == 200
        assert "TableNames" in body
        assert not [name for name in answered if name.startswith("access-control-")]
    status, answered, _ = ask(embedded_dynamodb, "OPTIONS", Host=host)
    assert not [name for name in answered if name.startswith("access-control-")]


def test_it_stops_when_its_parent_is_killed(tmp_path: Path) -> None:
    skip_unless_installed()
    program = tmp_path / "parent.py"
    program.write_text(
        "import os, signal, subprocess, sys, time\n"
        "from paceline_local import embedded\n"
        "port = int(sys.argv[1])\n"
        "child_end, alive = os.pipe()\n"
        "argv, env = embedded.command(port, None, parent_fd=child_end)\n"
        "process = subprocess.Popen(argv, env=env, pass_fds=[child_end])\n"
        "while not embedded.ready(port):\n"
        "    time.sleep(0.02)\n"
        "print(process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    port = free_port()
    done = subprocess.run(
        [sys.executable, str(program), str(port)],
        stdout=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    assert done.returncode < 0
    try:
        psutil.Process(int(done.stdout)).wait(timeout=10)
    except psutil.NoSuchProcess:
        pass
    assert not embedded.ready(port)


def test_nothing_of_the_users_aws_settings_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_unless_installed()
    for name in ("AWS_ACCESS_KEY_ID", "USE_SSL", "AUTH", "PERSIST_STATE", "BIND_HOST"):
        monkeypatch.setenv(name, "1")
    argv, env = embedded.command(8000, None)
    assert argv[0] == str(embedded.home() / "bin" / "python")
    assert env["BIND_HOST"] == "127.0.0.1"
    assert env["GATEWAY_PORT"] == "8000"
    assert env["SERVICES"] == "dynamodb,dynamodbstreams"
    assert env["PERSIST_STATE"] == "0"
    assert not {"AWS_ACCESS_KEY_ID", "USE_SSL", "AUTH"} & env.keys()


def test_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PACELINE_EMBEDDED_HOME", str(tmp_path / "here"))
    assert embedded.home() == tmp_path / "here"
    monkeypatch.delenv("PACELINE_EMBEDDED_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert embedded.home() == tmp_path / "paceline" / "embedded"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert embedded.home() == tmp_path / ".local" / "share" / "paceline" / "embedded"


def test_without_an_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PACELINE_EMBEDDED_HOME", str(tmp_path / "nothing"))
    assert not embedded.installed()
    with pytest.raises(ConfigError, match="paceline embedded install"):
        embedded.command(8000, None)


def test_a_half_installation_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PACELINE_EMBEDDED_HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    assert not embedded.installed()
    (tmp_path / "paceline-embedded").write_text("ministack==1.0.0")
    assert not embedded.installed(), "an older version"
    (tmp_path / "paceline-embedded").write_text(f"ministack=={embedded.VERSION}")
    assert embedded.installed()


def test_installing_over_somebody_elses_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "documents"
    place.mkdir()
    (place / "thesis.txt").write_text("dear")
    monkeypatch.setenv("PACELINE_EMBEDDED_HOME", str(place))
    with pytest.raises(ConfigError, match="not a virtual environment"):
        embedded.install(print)
    assert (place / "thesis.txt").read_text() == "dear"


def test_installing_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PACELINE_EMBEDDED_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(ConfigError, match="name a writable directory"):
        embedded.install(print)


def test_a_step_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no module named venv\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    monkeypatch.setenv("PACELINE_EMBEDDED_HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigError, match=r"(?s)exit code 3.*no module named venv.*python3-venv"):
        embedded.install(print)
    assert not embedded.installed()


def test_everything_that_is_installed_is_locked_by_hash() -> None:
    skip_unless_installed()
    locked = {}
    for requirement in embedded.LOCK.read_text().replace("\\\n", " ").splitlines():
        if not requirement.startswith("#"):
            pinned, _, hashes = requirement.partition(" ")
            name, _, version = pinned.partition("==")
            locked[name] = version
            assert "--hash=sha256:" in hashes, requirement
    assert locked[embedded.PACKAGE] == embedded.VERSION
    lister = (
        "import importlib.metadata as m, re\n"
        "for d in m.distributions():\n"
        "    print(re.sub('[-_.]+', '-', d.metadata['Name']).lower(), d.version)\n"
    )
    python = str(embedded.home() / "bin" / "python")
    said = subprocess.run([python, "-I", "-c", lister], capture_output=True, text=True, check=True)
    installed = dict(line.split() for line in said.stdout.splitlines())
    for tool in ("pip", "setuptools"):  # come with the environment, not from an index
        installed.pop(tool, None)
    assert installed == locked


@pytest.mark.full
def test_a_package_with_another_hash_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = tmp_path / "ministack-1.5.33-py3-none-any.whl"
    info = "ministack-1.5.33.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("ministack.py", "")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: ministack\nVersion: 1.5.33\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = tmp_path / "lock.txt"
    monkeypatch.setattr(embedded, "LOCK", lock)
    monkeypatch.setenv("PACELINE_EMBEDDED_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lock.write_text(f"ministack==1.5.33 --hash=sha256:{digest[::-1]}\n")
    with pytest.raises(ConfigError, match=r"(?i)hash"):
        embedded.install(print)
    assert not embedded.installed()
    lock.write_text(f"ministack==1.5.33 --hash=sha256:{digest}\n")
    embedded.install(print)
    assert embedded.installed()


def test_installing_twice_does_nothing() -> None:
    skip_unless_installed()
    said: list[str] = []
    embedded.install(said.append)
    assert len(said) == 1
    assert "is installed" in said[0]


def test_nobody_answers() -> None:
    assert not embedded.ready(free_port())
