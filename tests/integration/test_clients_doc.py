"""The examples of docs/clients.md, on a cluster of their own ports."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.java_client import INSTALLED, JVM, skip_unless_installed

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "clients.md").read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("clients"), arguments=["--demo", "--nodes", "1"]) as made:
        made.wait_serving()
        yield made


def test_boto3_on_the_http_api(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    section = DOC.partition("## DynamoDB's HTTP API")[2].partition("\n## ")[0]
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
    section = DOC.partition("## The official client for Java")[2].partition("\n## ")[0]
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


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", DOC)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
