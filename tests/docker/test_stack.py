"""docker-compose.yml on a Docker engine: built, started, used from both sides, broken, removed.

``make docker-test`` runs this. The tests share one stack and run in the order in which they stand;
each leaves it whole. What they measure is printed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError

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
from tests.support.compose_access import PRINCIPAL, Access
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


@pytest.fixture
def access(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    found = stack.access(tmp_path / "client")
    monkeypatch.setenv("SSL_CERT_FILE", str(found.ca))
    return found


def watching(stack: Stack, access: Access) -> Watching:
    nodes = {node: stack.http(node) for node in NODES}
    return Watching(stack.discovery, nodes, stack.dynamodb, access)


# -- the image --------------------------------------------------------------------------------


def test_the_image_holds_the_programs_and_no_secret(image: str, say: Say) -> None:
    (found,) = json.loads(docker("image", "inspect", image))
    say(f"image: {found['Size'] / 1e6:.0f} MB, uncompressed")
    assert found["Config"]["User"] == "10001:10001"
    assert not any("SECRET" in variable for variable in found["Config"]["Env"])
    words = ["run", "--rm", "--read-only", "--network=none", image]
    assert "paceline" in docker(*words, "--help")
    directories = ("/data", "/run/paceline", "/run/paceline-authority", "/run/paceline-clients")
    listed = f"ls -A {' '.join(directories)}"
    looked = docker(*words[:-1], "--entrypoint=/bin/sh", image, "-c", listed)
    assert sorted(looked.split()) == sorted(f"{name}:" for name in directories)


# -- up ---------------------------------------------------------------------------------------


def test_every_service_is_healthy_after_up(stack: Stack, say: Say) -> None:
    took_s = stack.up()
    say(f"up --wait: all healthy after {took_s:.1f} s")
    assert all(stack.is_healthy(service) for service in PROGRAMS)
    roles = [node["role"] for node in stack.status("node-1")["nodes"]]
    assert sorted(roles) == ["primary", "replica", "replica"]
    create_table(stack)


def test_containers_can_do_no_more_than_they_need(stack: Stack, access: Access) -> None:
    files = [SECRET_FILE, "/run/paceline/principals-key"]
    secrets = [stack.execute("node-1", "cat", file).strip() for file in files] + [access.secret]
    assert all(len(secret) >= 32 for secret in secrets)
    assert not any(secret in stack.compose("logs", "--no-color") for secret in secrets)
    assert not any(secret in docker("inspect", stack.container("secret")) for secret in secrets), (
        "docker inspect shows a secret of who made it"
    )
    for service in PROGRAMS:
        text = docker("inspect", stack.container(service))
        for secret in secrets:
            assert secret not in text, f"docker inspect shows a secret of {service}"
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
        assert not {"8181/tcp", "8201/tcp", "9112/tcp"} & set(bound)


def test_who_is_in_the_network_does_not_get_past_the_tokens(stack: Stack) -> None:
    """With the clients' key, and without the token of the admin port."""
    asked = stack.python_inside(
        "import urllib.error, urllib.request\n"
        "for path, data in (('status', None), ('metrics', None), ('flush', b'')):\n"
        "    try:\n"
        "        urllib.request.urlopen(f'http://node-1:8201/{path}', data, timeout=5)\n"
        "    except urllib.error.HTTPError as error:\n"
        "        print(error.code)\n"
    )
    assert asked.split() == ["401", "401", "401"]
    flushed = ("paceline", "flush", "--admin", "http://node-1:8201")
    assert "3 of 3 nodes" in stack.execute("node-1", *flushed)


# -- clients ----------------------------------------------------------------------------------


def test_the_official_client_on_the_host(stack: Stack, access: Access) -> None:
    for endpoint in stack.discovery:
        with AmazonDaxClient.resource(endpoint_url=endpoint, **access.options) as dax:
            table = dax.Table(TABLE)
            table.put_item(Item={"id": "from-outside", "n": 1})
            for _ in range(2):
                assert table.get_item(Key={"id": "from-outside"})["Item"]["n"] == 1


def test_a_client_in_the_network(stack: Stack, access: Access) -> None:
    """The image has Paceline's own client, which learns the containers' own addresses."""
    told = stack.python_inside(
        "import botocore.session, paceline\n"
        "session = botocore.session.get_session()\n"
        "with paceline.Client('daxs://discovery-1:9111', session=session,\n"
        "        region_name='us-east-1') as client:\n"
        f"    client.put_item(TableName='{TABLE}', Item={{'id': {{'S': 'inside'}}}})\n"
        f"    got = client.get_item(TableName='{TABLE}', Key={{'id': {{'S': 'inside'}}}})\n"
        "    print(got['Item']['id']['S'])\n"
    )
    assert told.strip() == "inside"
    seen = access.boto3("dynamodb", stack.http("node-2"))
    assert seen.get_item(TableName=TABLE, Key={"id": {"S": "inside"}})["Item"]
    seen.close()


def test_strangers_are_refused(stack: Stack, access: Access) -> None:
    forged = replace(access, secret="x" * 40)
    client = forged.boto3("dynamodb", stack.http("node-3"))
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        client.get_item(TableName=TABLE, Key={"id": {"S": "from-outside"}})
    client.close()
    with (
        pytest.raises(Exception, match=r"(?i)signature|endpoint|denied|authenti"),
        AmazonDaxClient.resource(endpoint_url=stack.discovery[0], **forged.options) as dax,
    ):
        dax.Table(TABLE).get_item(Key={"id": "from-outside"})
    own = access.boto3("sts", stack.sts)
    assert own.get_caller_identity()["Arn"].endswith(f":user/{PRINCIPAL}")
    own.close()


def test_a_principal_of_its_own(stack: Stack, access: Access) -> None:
    """As docs/docker.md has it; it ends when it is disabled."""
    command = ("paceline", "principal", "--admin", "http://node-1:8201")
    words = ("add", "app", "--full-access", "--output", "json")
    told = json.loads(stack.execute("node-2", *command[:2], *words, *command[2:]))
    key = told["new_key"]
    own = replace(access, key_id=key["access_key_id"], secret=key["secret_access_key"])
    client = own.boto3("dynamodb", stack.http("node-1"))
    wanted = {"TableName": TABLE, "Key": {"id": {"S": "from-outside"}}}
    assert client.get_item(**wanted)["Item"]
    stack.execute("node-2", *command[:2], "disable", "app", *command[2:])
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        client.get_item(**wanted)
    client.close()


# -- faults -----------------------------------------------------------------------------------


def through(
    stack: Stack,
    access: Access,
    say: Say,
    what: str,
    fault: Callable[[str], None],
    repair: Callable[[str], None],
) -> None:
    """Breaks the primary's container under load, lets the others go on, then mends it."""
    primary = stack.primary()
    assert primary is not None
    other = next(node for node in NODES if node != primary)
    with watching(stack, access) as clients:
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


def test_the_primary_is_killed(stack: Stack, access: Access, say: Say) -> None:
    def kill(node: str) -> None:
        docker("kill", stack.container(node))

    def start(node: str) -> None:
        docker("start", stack.container(node))

    through(stack, access, say, "docker kill of the primary", kill, start)


def test_the_primary_is_paused(stack: Stack, access: Access, say: Say) -> None:
    def pause(node: str) -> None:
        docker("pause", stack.container(node))

    def unpause(node: str) -> None:
        docker("unpause", stack.container(node))

    through(stack, access, say, "docker pause of the primary", pause, unpause)


def test_the_primary_is_cut_from_the_network(stack: Stack, access: Access, say: Say) -> None:
    def cut(node: str) -> None:
        docker("network", "disconnect", stack.network, stack.container(node))

    def connect(node: str) -> None:
        docker("network", "connect", "--alias", node, stack.network, stack.container(node))

    through(stack, access, say, "docker network disconnect of the primary", cut, connect)


def test_a_rolling_restart_fails_no_read_and_loses_no_write(
    stack: Stack, access: Access, say: Say
) -> None:
    with watching(stack, access) as clients:
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


def test_down_and_up_keeps_members_and_tables(stack: Stack, access: Access, say: Say) -> None:
    before = stack.status("node-1")
    epoch = before["epoch"]
    stack.down(volumes=False)
    say(f"up again with its volumes: {stack.up():.1f} s")
    after = stack.status("node-1")
    assert [n["id"] for n in after["nodes"]] == [n["id"] for n in before["nodes"]]
    assert after["epoch"] > epoch
    with watching(stack, access) as clients:
        clients.wait_for_writes()
    clients.check()
    got = access.boto3("dynamodb", stack.http("node-1"))
    assert got.get_item(TableName=TABLE, Key={"id": {"S": "from-outside"}})["Item"]
    got.close()


def test_without_volumes_a_new_cluster_is_founded(
    stack: Stack, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stack.access(tmp_path / "before")
    secret = stack.execute("node-1", "cat", SECRET_FILE)
    stack.down(volumes=True)
    say(f"founded anew: {stack.up():.1f} s")
    assert stack.execute("node-1", "cat", SECRET_FILE) != secret
    access = stack.access(tmp_path / "after")
    assert (access.key_id, access.ca.read_text()) != (before.key_id, before.ca.read_text())
    monkeypatch.setenv("SSL_CERT_FILE", str(access.ca))
    direct = boto3_client(stack.dynamodb)
    assert direct.list_tables()["TableNames"] == []
    direct.close()
    create_table(stack)
    with watching(stack, access) as clients:
        clients.wait_for_writes()
        for node in NODES:
            clients.wait_for_reads_at(node)
    clients.check()
