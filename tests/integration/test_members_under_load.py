"""A cluster shrinks to one node and grows again while clients write and read: no write that was
acknowledged is lost, and no read is older than that."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from tests.integration.test_member_commands import Nodes
from tests.support.embedded import boto3_client
from tests.support.fake_dynamodb import TABLE, FakeDynamoDB
from tests.support.flaky_http import Answer, Behaviour
from tests.support.waiting import wait_until

KEYS = 6
PHASE_WRITES = 40
"""Acknowledged writes, and as many reads, between two changes."""
PHASE_S = 60.0
REFUSED = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)


class Storing(FakeDynamoDB):
    """Whole items by ``id``."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, dict[str, Any]] = {}

    def _answer(self, operation: str, params: dict[str, Any]) -> Behaviour:
        match operation:
            case "PutItem":
                self.items[params["Item"]["id"]["S"]] = params["Item"]
                return Answer({})
            case "GetItem":
                item = self.items.get(params["Key"]["id"]["S"])
                return Answer({} if item is None else {"Item": item})
            case "BatchGetItem":
                wanted = params["RequestItems"][TABLE]["Keys"]
                found = [self.items[k["id"]["S"]] for k in wanted if k["id"]["S"] in self.items]
                return Answer({"Responses": {TABLE: found}, "UnprocessedKeys": {}})
        return super()._answer(operation, params)


class Load:
    """One writer and two readers, each in turn at a node that is said to serve."""

    def __init__(self, nodes: Nodes, seed: int) -> None:
        self._nodes = nodes
        self._seed = seed
        self.serving: tuple[str, ...] = ()
        self.sent = dict.fromkeys(map(str, range(KEYS)), 0)
        self.acknowledged = dict(self.sent)
        self.writes = self.reads = 0
        self.wrong: list[str] = []
        self._ends = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(act, n))
            for n, act in enumerate((self._write, self._read, self._read))
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(30.0)

    def _run(self, act: Any, number: int) -> None:
        rng = random.Random(f"{self._seed} {number}")
        clients: dict[str, Any] = {}
        while not self._ends.is_set():
            serving = self.serving
            if not serving:
                self._ends.wait(0.01)
                continue
            node = rng.choice(serving)
            if node not in clients:
                clients[node] = boto3_client(f"http://127.0.0.1:{self._nodes.ports[node][4]}")
            try:
                act(clients[node], rng.choice(list(self.sent)), node)
            except REFUSED:
                self._ends.wait(0.02)

    def _write(self, client: Any, key: str, node: str) -> None:
        self.sent[key] = value = self.sent[key] + 1
        client.put_item(TableName=TABLE, Item={"id": {"S": key}, "v": {"N": str(value)}})
        self.acknowledged[key] = value
        self.writes += 1

    def _read(self, client: Any, key: str, node: str) -> None:
        least = self.acknowledged[key]
        item = client.get_item(TableName=TABLE, Key={"id": {"S": key}}).get("Item")
        found = 0 if item is None else int(item["v"]["N"])
        self.reads += 1
        if not least <= found <= self.sent[key]:
            self.wrong.append(f"{node} says {found} of {key}, {least} was acknowledged")

    def goes_on(self, what: str, *serving: str) -> None:
        """Waits for writes and reads at these nodes."""
        self.serving = serving
        writes, reads = self.writes, self.reads
        wait_until(
            lambda: (
                self.wrong
                or (self.writes >= writes + PHASE_WRITES and self.reads >= reads + PHASE_WRITES)
            ),
            f"writes and reads go on: {what}",
            PHASE_S,
        )
        assert not self.wrong, self.wrong[:5]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with Storing() as dynamodb:
        made = Nodes(tmp_path)
        made.dynamodb = dynamodb.endpoint
        try:
            yield made
        finally:
            for node in list(made.running):
                made.kill(node)
            for log in sorted(tmp_path.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-3000:]}")


@pytest.mark.full
@pytest.mark.timeout(600)
def test_from_one_to_three_and_back(nodes: Nodes) -> None:
    seed = random.randrange(10**9)
    print("seed", seed)
    nodes.start("n1", ["n1"])
    nodes.ready("n1")
    with Load(nodes, seed) as load:
        load.goes_on("one node", "n1")
        grow(nodes, "n2", ["n1", "n2"], by="n1")
        load.goes_on("two nodes", "n1", "n2")
        grow(nodes, "n3", ["n1", "n2", "n3"], by="n2")
        load.goes_on("three nodes", "n1", "n2", "n3")
        shrink(nodes, "n1", by="n3")
        load.goes_on("the first one is gone", "n2", "n3")
        shrink(nodes, "n3", by="n2")
        load.goes_on("the second one is left", "n2")
        for again in ("n1", "n3"):
            shutil.rmtree(nodes.path / again)
            grow(nodes, again, ["n1", "n2", "n3"], by="n2")
        load.goes_on("three nodes again", "n1", "n2", "n3")
        nodes.kill("n2")
        load.goes_on("two of three", "n1", "n3")
        load.serving = ()
        for node in ("n1", "n3"):
            nodes.kill(node)
        for node in ("n1", "n2", "n3"):
            nodes.start(node, ["n1", "n2", "n3"])
        for node in ("n1", "n2", "n3"):
            nodes.ready(node)
        load.goes_on("all started again", "n1", "n2", "n3")


def grow(nodes: Nodes, node: str, peers: list[str], *, by: str) -> None:
    admin = ["--admin", nodes.admin(by)]
    nodes.member("add", node, nodes.address(node), *admin)
    nodes.start(node, peers)
    nodes.member("promote", node, *admin)
    nodes.ready(node)


def shrink(nodes: Nodes, node: str, *, by: str) -> None:
    nodes.member("remove", node, "--admin", nodes.admin(by))
    nodes.kill(node)
