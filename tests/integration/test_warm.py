"""``paceline warm`` on a real cluster: afterwards every node has the items in its own cache."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable
from tests.support.embedded import boto3_client
from tests.support.principals import paceline_command, paceline_here
from tests.support.waiting import wait_until

ITEMS = 230
RUN_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def table(cluster: LocalCluster) -> str:
    name = cluster.create_table("Things", "group", "at:N")
    client: Any = boto3_client(cluster.dynamodb)
    for begin in range(0, ITEMS, 25):
        items = [
            {"group": {"S": f"g{n % 2}"}, "at": {"N": str(n)}, "text": {"S": "x" * 100}}
            for n in range(begin, min(begin + 25, ITEMS))
        ]
        client.batch_write_item(RequestItems={name: [{"PutRequest": {"Item": i}} for i in items]})
    client.close()
    return name


def command(cluster: LocalCluster, *words: object) -> list[str]:
    base = ["--base-port", str(cluster.plan.ports.base), "--admin", cluster.plan.nodes[0].admin]
    return [sys.executable, "-m", "paceline_local.cli.main", "warm", *base, *map(str, words)]


def warm(cluster: LocalCluster, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(cluster, *words), capture_output=True, text=True, timeout=RUN_S, check=False
    )


def flush(cluster: LocalCluster) -> None:
    paceline_command(cluster, "flush")
    wait_until(lambda: set(cached(cluster)) == {0}, "every cache is empty")


def cached(cluster: LocalCluster) -> list[int]:
    """Items in the cache of each node."""
    found = cluster.statuses()
    return [
        status["cache"]["items"]
        for node in cluster.plan.nodes
        if isinstance(status := found[node.admin], dict)
    ]


def test_a_file_a_query_and_a_scan(cluster: LocalCluster, table: str, tmp_path: Path) -> None:
    flush(cluster)
    file = tmp_path / "keys.jsonl"
    lines = [json.dumps({"group": f"g{n % 2}", "at": n}) for n in range(ITEMS)]
    file.write_text("\n".join([*lines, '{"group": "g0"}', ""]))
    done = warm(cluster, "--table", table, "--keys-file", file)
    assert done.returncode == 1
    assert f"{ITEMS + 1} keys, {2 * ITEMS} reads by 2 nodes, {2 * ITEMS} items found, 1 errors" in (
        done.stdout
    )
    assert f"line {ITEMS + 1}: the key attribute at is missing" in done.stderr
    assert cached(cluster) == [ITEMS, ITEMS]

    flush(cluster)
    query = ["--query", "#g = :g", "--names", '{"#g": "group"}', "--values", '{":g": "g1"}']
    done = warm(cluster, "--table", table, *query, "--node", "node-2")
    assert done.returncode == 0, done.stderr
    assert cached(cluster) == [0, ITEMS // 2]

    flush(cluster)
    done = warm(cluster, "--table", table, "--scan", "--limit", 120)
    assert done.returncode == 0, done.stderr
    assert cached(cluster) == [120, 120]


def test_after_ctrl_c_it_goes_on_where_it_was(
    cluster: LocalCluster, table: str, tmp_path: Path
) -> None:
    flush(cluster)
    file, state = tmp_path / "keys.csv", tmp_path / "state"
    file.write_text("group,at\n" + "".join(f"g{n % 2},{n}\n" for n in range(ITEMS)))
    words = ("--table", table, "--keys-file", file, "--resume", state)
    process = subprocess.Popen(
        command(cluster, *words, "--rate", "40/s"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: min(cached(cluster)) > 0, "something is warm", RUN_S)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=RUN_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1, out + error
    assert "the same command goes on from there" in error
    done_before = json.loads(state.read_text())["records"]
    assert 0 < done_before < ITEMS
    assert cached(cluster) == [done_before, done_before]

    other = warm(cluster, *words[:2], "--scan", *words[4:])
    assert other.returncode == 2
    assert "another run" in other.stderr

    rest = warm(cluster, *words)
    assert rest.returncode == 0, rest.stderr
    assert f"{ITEMS - done_before} keys" in rest.stdout
    assert cached(cluster) == [ITEMS, ITEMS]
    assert not state.exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "one of --keys-file"),
        (["--scan", "--query", "a = :a"], "one of --keys-file"),
        (["--scan", "--values", "{}"], "go with --query"),
        (["--keys-file", "/nonexistent", "--index", "i"], "--index goes with"),
        (["--keys-file", "/nonexistent"], "is no file"),
        (["--scan", "--rate", "fast"], "is no rate"),
        (["--scan", "--node", "node-9"], "no node 'node-9'"),
    ],
)
def test_what_cannot_work(cluster: LocalCluster, words: list[str], reason: str) -> None:
    code, _, err = paceline_here(*command(cluster, "--table", "Things", *words)[3:])
    assert code == 2
    assert reason in err


def test_a_table_that_is_not_there(cluster: LocalCluster) -> None:
    done = warm(cluster, "--table", "Nothing", "--scan")
    assert done.returncode == 1
    assert "ResourceNotFoundException" in done.stderr
