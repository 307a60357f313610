"""The embedded DynamoDB for tests: one process per session, fresh table names per test.

    from tests.support.embedded import dynamodb, embedded_dynamodb  # noqa: F401

gives a test module the fixtures: ``embedded_dynamodb`` (session) and ``dynamodb`` (per test).
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.config
import pytest

from paceline_local import embedded

CHECKOUT_HOME = Path(__file__).parents[2] / ".venv-embedded"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
STARTS_MAX = 3
"""A port that was free a moment ago may have been taken by somebody else's test."""

_numbers = itertools.count(1)


def require_loopback(endpoint: str) -> str:
    """``endpoint``, or an AssertionError: tests write to no DynamoDB but one on this machine."""
    host = urlsplit(endpoint).hostname or ""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    assert loopback, f"tests refuse the DynamoDB endpoint {endpoint!r}: it is not loopback"
    return endpoint


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((embedded.HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def boto3_client(endpoint: str) -> Any:
    """A plain DynamoDB client straight on ``endpoint``, without retries."""
    return boto3.client(
        "dynamodb",
        endpoint_url=require_loopback(endpoint),
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=botocore.config.Config(
            retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10, proxies={}
        ),
    )


class EmbeddedProcess:
    """A running ministack. Its output goes to this process's standard error."""

    def __init__(self, data_dir: Path | None = None) -> None:
        self._alive: int | None = None
        for attempt in range(STARTS_MAX):
            self.port = free_port()
            self.endpoint = f"http://{embedded.HOST}:{self.port}"
            self._start(data_dir)
            if self._wait_ready():
                return
            self.stop()
            print(f"embedded DynamoDB did not start on port {self.port} (attempt {attempt + 1})")
        pytest.fail(f"the embedded DynamoDB did not start in {STARTS_MAX} attempts")

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """Closes the pipe that stands for our life, which is also its stop signal."""
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _start(self, data_dir: Path | None) -> None:
        child_end, alive = os.pipe()
        try:
            argv, env = embedded.command(self.port, data_dir, parent_fd=child_end)
            self.process = subprocess.Popen(
                argv, env=env, stdin=subprocess.DEVNULL, pass_fds=[child_end]
            )
        finally:
            os.close(child_end)
        self._alive = alive

    def _wait_ready(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if embedded.ready(self.port):
                return self.process.poll() is None
            time.sleep(0.02)
        return False


def skip_unless_installed() -> None:
    if embedded.HOME_VARIABLE not in os.environ and CHECKOUT_HOME.exists():
        os.environ[embedded.HOME_VARIABLE] = str(CHECKOUT_HOME)
    if not embedded.installed():
        pytest.skip(embedded.how_to_install())


class Database:
    """One test's view of the embedded DynamoDB."""

    def __init__(self, endpoint: str, client: Any) -> None:
        self.endpoint = endpoint
        self.client = client
        self._tables: list[str] = []

    def name(self, prefix: str = "table") -> str:
        """A table name that no other test of this session uses."""
        name = f"{prefix}-{os.getpid()}-{next(_numbers)}"
        self._tables.append(name)
        return name

    def create(
        self,
        name: str | None = None,
        *,
        hash_key: tuple[str, str] = ("id", "S"),
        range_key: tuple[str, str] | None = None,
        gsi: dict[str, tuple[str, str]] | None = None,
    ) -> str:
        """Creates a table, keys as (name, type); ``gsi``: index name to its hash key."""
        name = name or self.name()
        attributes = dict([hash_key, *([range_key] if range_key else []), *(gsi or {}).values()])
        more: dict[str, Any] = {}
        if gsi:
            more["GlobalSecondaryIndexes"] = [
                {
                    "IndexName": index,
                    "KeySchema": [{"AttributeName": key[0], "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
                for index, key in gsi.items()
            ]
        roles = [(hash_key, "HASH"), *([(range_key, "RANGE")] if range_key else [])]
        self.client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key[0], "KeyType": role} for key, role in roles],
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": type_}
                for attribute, type_ in attributes.items()
            ],
            BillingMode="PAY_PER_REQUEST",
            **more,
        )
        return name

    def drop_all(self) -> None:
        for name in self._tables:
            try:
                self.client.delete_table(TableName=name)
            except self.client.exceptions.ResourceNotFoundException:
                pass


@pytest.fixture(scope="session")
def embedded_dynamodb() -> Iterator[EmbeddedProcess]:
    skip_unless_installed()
    process = EmbeddedProcess()
    yield process
    process.stop()


@pytest.fixture
def dynamodb(embedded_dynamodb: EmbeddedProcess) -> Iterator[Database]:
    client = boto3_client(embedded_dynamodb.endpoint)
    database = Database(embedded_dynamodb.endpoint, client)
    yield database
    database.drop_all()
    client.close()
