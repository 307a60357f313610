"""docker-compose.yml on a Docker engine: built, started, used from both sides, broken, removed.

``make docker-test`` runs this. The tests share one stack and run in the order in which they stand;
each leaves it whole. What they measure is printed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

import pytest
from amazondax import AmazonDaxClient

from tests.docker.stack import (
    BUILD_S,
    IMAGE,
    NODES,
    PROGRAMS,
    ROOT,
    Stack,
    docker,
    missing,
)
from tests.docker.watching import TABLE, Watching
from tests.support.embedded import boto3_client
from tests.support.waiting import wait_until

ASKED = "PACELINE_DOCKER_TEST"
BACK_S_MAX = 10.0
"""A write waits for a primary for this long; a fault that it outlives is over before."""
SECRET_FILE = "/run/paceline/cluster-secret"

_reason = (
    missing()
    if os.environ.get(ASKED)
    else f"builds an image and runs containers: run by `make docker-test`, which sets {ASKED}"
)
pytestmark = [
    pytest.mark.skipif(_reason is not None, reason=str(_reason)),
    pytest.mark.timeout(600),
]

Say = Callable[[str], None]


@pytest.fixture(scope="module")
def image() -> str:
    docker("build", "--tag", IMAGE, str(ROOT), timeout_s=BUILD_S)
    return IMAGE


@pytest.fixture(scope="module")
def stack(image: str) -> Iterator[Stack]:
    running = Stack()
    try:
        yield running
    finally:
        running.down(volumes=True)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def printed(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", flush=True)

    return printed


def create_table(stack: Stack) -> None:
    client = boto3_client(stack.dynamodb)
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.close()


def watching(stack: Stack) -> Watching:
    return Watching(stack.discovery, {node: stack.http(node) for node in NODES}, stack.dynamodb)


# -- the image --------------------------------------------------------------------------------


def test_the_image_holds_the_programs_and_no_secret(image: str, say: Say) -> None:
    (found,) = json.loads(docker("image", "inspect", image))
    say(f"image: {found['Size'] / 1e6:.0f} MB, uncompressed")
    assert found["Config"]["User"] == "10001:10001"
    assert not any("SECRET" in variable for variable in found["Config"]["Env"])
    words = ["run", "--rm", "--read-only", "--network=none", image]
    assert "paceline" in docker(*words, "--help")
    looked = docker(*words[:-1], "--entrypoint=/bin/sh", image, "-c", "ls -A /run/paceline /data")
    assert looked.split() == ["/data:", "/run/paceline:"]


# -- up ---------------------------------------------------------------------------------------


def test_every_service_is_healthy_after_up(stack: Stack, say: Say) -> None:
    took_s = stack.up()
    say(f"up --wait: all healthy after {took_s:.1f} s")
    assert all(stack.is_healthy(service) for service in PROGRAMS)
    roles = [node["role"] for node in stack.status("node-1")["nodes"]]
    assert sorted(roles) == ["primary", "replica", "replica"]
    create_table(stack)


def test_containers_can_do_no_more_than_they_need(stack: Stack) -> None:
    secret = stack.execute("node-1", "cat", SECRET_FILE).strip()
    assert len(secret) >= 32
    for service in PROGRAMS:
        text = docker("inspect", stack.container(service))
        assert secret not in text, f"docker inspect shows the secret of {service}"
        (found,) = json.loads(text)
        assert found["Config"]["User"] == "10001:10001"
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert not host["Privileged"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["LogConfig"]["Type"] == "json-file"
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
        assert secret not in stack.compose("logs", "--no-color", service)
        status = stack.execute(service, "cat", "/proc/1/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == ["10001"] * 4
        assert int(fields["CapEff"], 16) == 0
        assert int(fields["NoNewPrivs"]) == 1
        with pytest.raises(AssertionError, match="Read-only file system"):
            stack.execute(service, "touch", "/opt/paceline/x")
    with pytest.raises(AssertionError, match="Read-only file system"):
        stack.execute("node-1", "touch", SECRET_FILE + "x")


def test_only_client_ports_are_published_and_on_loopback_only(stack: Stack) -> None:
    for service in PROGRAMS:
        published = stack.inspect(service)["NetworkSettings"]["Ports"]
        bound = {port: where for port, where in published.items() if where}
        assert all(entry["HostIp"] == "127.0.0.1" for where in bound.values() for entry in where)
        assert not {"8181/tcp", "8201/tcp", "8112/tcp", "8113/tcp"} & set(bound)


# -- clients ----------------------------------------------------------------------------------


def test_the_official_client_on_the_host(stack: Stack) -> None:
    for endpoint in stack.discovery:
        with AmazonDaxClient.resource(
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        ) as dax:
            table = dax.Table(TABLE)
            table.put_item(Item={"id": "from-outside", "n": 1})
            for _ in range(2):
                assert table.get_item(Key={"id": "from-outside"})["Item"]["n"] == 1


def test_a_client_in_the_network(stack: Stack) -> None:
    """The image has Paceline's own client, which learns the containers' own addresses."""
    told = stack.python_inside(
        "import paceline\n"
        "with paceline.Client('dax://discovery-1:8111', region_name='us-east-1',\n"
        "        aws_access_key_id='x', aws_secret_access_key='x') as client:\n"
        f"    client.put_item(TableName='{TABLE}', Item={{'id': {{'S': 'inside'}}}})\n"
        f"    got = client.get_item(TableName='{TABLE}', Key={{'id': {{'S': 'inside'}}}})\n"
        "    print(got['Item']['id']['S'])\n"
    )
    assert told.strip() == "inside"
    seen = boto3_client(stack.http("node-2"))
    assert seen.get_item(TableName=TABLE, Key={"id": {"S": "inside"}})["Item"]
    seen.close()


# -- faults -----------------------------------------------------------------------------------


def through(
    stack: Stack, say: Say, what: str, fault: Callable[[str], None], repair: Callable[[str], None]
) -> None:
    """Breaks the primary's container under load, lets the others go on, then mends it."""
    primary = stack.primary()
    assert primary is not None
    other = next(node for node in NODES if node != primary)
    with watching(stack) as clients:
        clients.wait_for_writes()
        begun = time.monotonic()
        fault(primary)
        back_s = clients.time_until_writable_s(begun)
        clients.wait_for_writes()
        wait_until(lambda: stack.primary(other) not in (None, primary), "another primary", 30)
        repair(primary)
        stack.wait_healthy([primary])
        clients.wait_for_reads_at(primary)
        clients.wait_for_writes()
    clients.check()
    say(
        f"{what}: writes back after {back_s:.2f} s, {len(clients.seen.acknowledged)} "
        f"acknowledged, {clients.seen.unknown} unknown, {clients.seen.not_sent} not sent, "
        f"{clients.seen.reads} reads, none failed, none stale"
    )
    assert back_s < BACK_S_MAX


def test_the_primary_is_killed(stack: Stack, say: Say) -> None:
    def kill(node: str) -> None:
        docker("kill", stack.container(node))

    def start(node: str) -> None:
        docker("start", stack.container(node))

    through(stack, say, "docker kill of the primary", kill, start)


def test_the_primary_is_paused(stack: Stack, say: Say) -> None:
    def pause(node: str) -> None:
        docker("pause", stack.container(node))

    def unpause(node: str) -> None:
        docker("unpause", stack.container(node))

    through(stack, say, "docker pause of the primary", pause, unpause)


def test_the_primary_is_cut_from_the_network(stack: Stack, say: Say) -> None:
    def cut(node: str) -> None:
        docker("network", "disconnect", stack.network, stack.container(node))

    def connect(node: str) -> None:
        docker("network", "connect", "--alias", node, stack.network, stack.container(node))

    through(stack, say, "docker network disconnect of the primary", cut, connect)


def test_a_rolling_restart_fails_no_read_and_loses_no_write(stack: Stack, say: Say) -> None:
    with watching(stack) as clients:
        clients.wait_for_writes()
        for service in (*NODES, "discovery-1", "discovery-2"):
            begun = time.monotonic()
            stack.compose("restart", service)
            stack.wait_healthy([service])
            clients.wait_for_writes()
            if service in NODES:
                clients.wait_for_reads_at(service)
            say(f"restart of {service}: whole again after {time.monotonic() - begun:.1f} s")
    clients.check()
    assert clients.seen.unknown == 0
    slowest_s = max(ended - begun for begun, ended in clients.seen.acknowledged)
    say(f"slowest write meanwhile {slowest_s:.2f} s, {clients.seen.not_sent} not sent")


# -- down and up ------------------------------------------------------------------------------


def test_down_and_up_keeps_members_and_tables(stack: Stack, say: Say) -> None:
    before = stack.status("node-1")
    epoch = before["epoch"]
    stack.down(volumes=False)
    say(f"up again with its volumes: {stack.up():.1f} s")
    after = stack.status("node-1")
    assert [n["id"] for n in after["nodes"]] == [n["id"] for n in before["nodes"]]
    assert after["epoch"] > epoch
    with watching(stack) as clients:
        clients.wait_for_writes()
    clients.check()
    got = boto3_client(stack.http("node-1"))
    assert got.get_item(TableName=TABLE, Key={"id": {"S": "from-outside"}})["Item"]
    got.close()


def test_without_volumes_a_new_cluster_is_founded(stack: Stack, say: Say) -> None:
    secret = stack.execute("node-1", "cat", SECRET_FILE)
    stack.down(volumes=True)
    say(f"founded anew: {stack.up():.1f} s")
    assert stack.execute("node-1", "cat", SECRET_FILE) != secret
    direct = boto3_client(stack.dynamodb)
    assert direct.list_tables()["TableNames"] == []
    direct.close()
    create_table(stack)
    with watching(stack) as clients:
        clients.wait_for_writes()
        for node in NODES:
            clients.wait_for_reads_at(node)
    clients.check()
