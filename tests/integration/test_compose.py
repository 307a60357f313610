"""docker-compose.yml: what it promises, and that its services work together.

No Docker is needed: the file is read, and the default profile's services run as processes.
"""

from __future__ import annotations

import asyncio
import fnmatch
import ipaddress
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import grpc.aio
import pytest
import pytest_asyncio
from amazondax import AmazonDaxClient

from cluster.roster.prober import ENDPOINTS, PREAMBLE
from cluster.service.configuration import load_settings
from cluster.settings import DiscoverySettings, Listener, NodeSettings
from deploy.entrypoint import create_secret, dynamodb_command
from deploy.locked import select
from discovery.program import check as check_discovery
from node.admin.addresses import check as check_node
from paceline.dax.responses import Endpoint, Role
from paceline.errors import ConfigError
from paceline.v1 import data_pb2, data_pb2_grpc
from paceline_local import embedded
from paceline_local.probes import get_json
from tests.support.compose import (
    COMPLETED,
    HEALTHY,
    Project,
    Service,
    dependencies,
    fill_in,
    load_dotenv,
    load_image,
    load_project,
)
from tests.support.compose_run import Containers, loopback_networks
from tests.support.embedded import boto3_client
from tests.support.local import free_base_port
from tests.support.rosters import rosters_endpoints

ROOT = Path(__file__).parents[2]
IMAGE = load_image(ROOT / "Dockerfile")
DEFAULT_PROFILE = load_dotenv(ROOT / ".env")["COMPOSE_PROFILES"]
PROFILES = (DEFAULT_PROFILE, "dynamodb-local", "aws")
DISCOVERY, DAX, HTTP, GRPC = 18111, 18121, 8141, 8161
CLIENT_PORTS = {8000, DISCOVERY, DAX, HTTP, GRPC}
"""What may be published: DynamoDB, the external listeners of discovery and nodes, and the nodes'
HTTP API and gRPC."""
OPEN_BINDS = ("PACELINE_HTTP_BIND", "PACELINE_GRPC_BIND")
"""Of nodes. What they say to each other by gRPC asks for the secret."""
NODES = ("node-1", "node-2", "node-3")
CALL_S = 20.0
HIT_S = 30.0
AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "s",
    "AWS_REGION": "eu-west-1",
}


def project(**variables: str) -> Project:
    return load_project(ROOT / "docker-compose.yml", variables)


def services_of(profile: str, **variables: str) -> dict[str, Service]:
    return project(**variables).enabled([profile])


def own_services(services: dict[str, Service]) -> list[Service]:
    return [service for service in services.values() if service.image.startswith("paceline")]


def node_called(services: dict[str, Service], name: str) -> Service:
    (found,) = [service for service in services.values() if name in service.names]
    return found


every_profile = pytest.mark.parametrize("profile", PROFILES)


@every_profile
class TestEveryProfile:
    def test_has_three_nodes_in_three_zones_two_discoveries_and_one_dynamodb(
        self, profile: str
    ) -> None:
        services = services_of(profile)
        nodes = [node_called(services, name) for name in NODES]
        assert {node.environment["PACELINE_NODE_ID"] for node in nodes} == set(NODES)
        assert {node.environment["PACELINE_ZONE"] for node in nodes} == {"a", "b", "c"}
        assert {name for name in services if name.startswith("discovery")} == {
            "discovery-1",
            "discovery-2",
        }
        upstream = [s.name for s in services.values() if "dynamodb" in s.names]
        expected = {"dynamodb-local": ["dynamodb-local"], "aws": []}.get(profile, ["dynamodb"])
        assert upstream == expected
        assert len(services) == 6 + len(upstream)

    def test_publishes_client_ports_on_loopback_only(self, profile: str) -> None:
        ports = [port for service in services_of(profile).values() for port in service.ports]
        assert {port.host_ip for port in ports} == {"127.0.0.1"}
        assert {port.container_port for port in ports} <= CLIENT_PORTS
        assert len({port.host_port for port in ports}) == len(ports)

    def test_never_publishes_what_nodes_say_to_each_other(self, profile: str) -> None:
        services = services_of(profile)
        for service in own_services(services):
            private = {
                int(value.rpartition(":")[2])
                for name, value in service.environment.items()
                if name.endswith("_BIND")
                and not (service.command == ("node",) and name in OPEN_BINDS)
            }
            private |= {
                int(entry["bind"].rpartition(":")[2])
                for entry in json.loads(service.environment.get("PACELINE_LISTENERS", "[]"))
                if entry["name"] != "external"
            }
            assert not private & {port.container_port for port in service.ports}, service.name
            assert "network_mode" not in service.raw or service.raw["network_mode"] == "none"

    def test_waits_only_for_what_can_become_true(self, profile: str) -> None:
        services = services_of(profile)
        waits = 0
        for service in services.values():
            for name, dependency in dependencies(service, services).items():
                waits += 1
                other = services[name]
                assert dependency.condition in (HEALTHY, COMPLETED)
                if dependency.condition == HEALTHY:
                    assert other.health is not None, name
                else:
                    assert other.raw["restart"] == "no", name
        assert waits >= 8

    def test_checks_health_with_our_own_command_line(self, profile: str) -> None:
        for service in own_services(services_of(profile)):
            if service.name == "secret":
                continue
            assert service.health is not None, service.name
            assert service.health.test[:3] == ("CMD", "paceline", "health"), service.name

    def test_runs_without_root_and_without_privileges(self, profile: str) -> None:
        for service in own_services(services_of(profile)):
            assert service.raw["user"] == IMAGE.user
            assert service.raw["cap_drop"] == ["ALL"]
            assert service.raw["read_only"] is True
            assert "no-new-privileges:true" in service.raw["security_opt"]
            assert "privileged" not in service.raw

    def test_restarts_servers_and_bounds_their_logs(self, profile: str) -> None:
        for service in services_of(profile).values():
            expected = "no" if service.name == "secret" else "unless-stopped"
            assert service.raw["restart"] == expected
        for service in own_services(services_of(profile)):
            assert set(service.raw["logging"]["options"]) == {"max-size", "max-file"}

    def test_gives_every_node_a_data_volume_of_its_own(self, profile: str) -> None:
        services = services_of(profile)
        volumes = []
        for service in services.values():
            mounts = {mount.target: mount for mount in service.mounts}
            if "PACELINE_DATA_DIR" in service.environment:
                volumes.append(mounts[service.environment["PACELINE_DATA_DIR"]].volume)
            assert {mount.volume for mount in service.mounts} <= project().volumes
        assert len(set(volumes)) == len(volumes) == 3

    def test_has_the_secret_in_a_volume_that_only_one_service_writes(self, profile: str) -> None:
        services = services_of(profile)
        writers = [
            service.name
            for service in services.values()
            for mount in service.mounts
            if mount.volume == "secret" and not mount.read_only
        ]
        assert writers == ["secret"]
        readers = [s for s in services.values() if "PACELINE_SECRET_FILE" in s.environment]
        assert len(readers) == 5
        for reader in readers:
            assert reader.environment["PACELINE_SECRET_FILE"] == services["secret"].command[1]
            assert reader.depends_on["secret"].condition == COMPLETED

    def test_gives_programs_more_time_to_stop_than_they_take(
        self, profile: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        services = services_of(profile)
        for service in services.values():
            kind = service.command[0]
            if kind not in ("node", "discovery"):
                continue
            settings = settings_of(service, monkeypatch, tmp_path)
            assert service.stop_grace_s > settings.stop_grace_s
            # Clients ask for the roster every 4 s; connections and writes take their time, too.
            if kind == "node":
                assert settings.stop_grace_s > settings.drain_s + 10
                assert settings.drain_s > 4

    def test_says_settings_that_the_programs_accept(
        self, profile: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        checked = 0
        for service in services_of(profile).values():
            if service.command[0] in ("node", "discovery"):
                settings = settings_of(service, monkeypatch, tmp_path)
                if isinstance(settings, NodeSettings):
                    check_node(settings)
                else:
                    check_discovery(settings)
                assert_every_variable_is_a_setting(service, type(settings))
                checked += 1
        assert checked == 5

    def test_advertises_to_each_side_what_it_can_reach(
        self, profile: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        services = services_of(profile)
        for name in NODES:
            service = node_called(services, name)
            settings = settings_of(service, monkeypatch, tmp_path)
            assert isinstance(settings, NodeSettings)
            internal, external = listeners(settings.listeners)
            assert internal.advertise == f"{name}:8121"
            port, http, grpc = service.ports
            assert [http.container_port, grpc.container_port] == [HTTP, GRPC]
            assert external.bind == f"0.0.0.0:{port.container_port}"
            assert external.advertise == f"{port.host_ip}:{port.host_port}"
            assert settings.peers[name] == f"{name}:8181"
            assert settings.grpc_advertise == f"{name}:8161"
            assert settings.admin_advertise == f"{name}:8201"
        for name in ("discovery-1", "discovery-2"):
            discovery = settings_of(services[name], monkeypatch, tmp_path)
            _, external = listeners(discovery.listeners)
            assert external.bind == f"0.0.0.0:{services[name].ports[0].container_port}"

    def test_is_taken_by_docker_compose(self, profile: str) -> None:
        docker = shutil.which("docker")
        if docker is None:
            pytest.skip("docker is not installed")
        plugin = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
        if plugin.returncode:
            pytest.skip("docker has no compose plugin")
        done = subprocess.run(
            [docker, "compose", "--profile", profile, "config", "-q"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def settings_of(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> NodeSettings | DiscoverySettings:
    """As the program would load them, with a secret in place."""
    secret = tmp_path / "secret"
    secret.write_text("s" * 32)
    with monkeypatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("PACELINE_")]:
            patched.delenv(name)
        for name, value in {**service.environment, "PACELINE_SECRET_FILE": str(secret)}.items():
            patched.setenv(name, value)
        if service.command[0] == "node":
            return load_settings(NodeSettings)
        return load_settings(DiscoverySettings)


def listeners(found: Sequence[Listener]) -> tuple[Listener, Listener]:
    """(internal, external). Internal comes first: probes try listeners in this order."""
    assert [listener.name for listener in found] == ["internal", "external"]
    return found[0], found[1]


def assert_every_variable_is_a_setting(
    service: Service, kind: type[NodeSettings] | type[DiscoverySettings]
) -> None:
    """Variables that no setting reads are ignored silently: a misspelt one would do nothing."""
    for name in service.environment:
        if not name.startswith("PACELINE_"):
            continue
        fields: Any = kind.model_fields
        first, *rest = name.removeprefix("PACELINE_").lower().split("__")
        assert first in fields, name
        if rest:
            assert rest[0] in fields[first].annotation.model_fields, name


class TestProfiles:
    def test_plain_up_means_the_embedded_dynamodb(self) -> None:
        assert DEFAULT_PROFILE == "embedded"
        assert "dynamodb" in services_of(DEFAULT_PROFILE)

    def test_every_profile_has_services_and_is_known_here(self) -> None:
        named = {name for s in project().services.values() for name in s.profiles}
        assert named == set(PROFILES)

    def test_aws_takes_credentials_from_the_shell_and_nothing_else(self) -> None:
        bare = node_called(services_of("aws"), "node-1").environment
        assert not [name for name in bare if name.startswith("AWS_")]
        assert bare["PACELINE_DYNAMODB__ENDPOINT"] == ""
        assert bare["PACELINE_DYNAMODB__CREDENTIALS"] == "default"
        given = node_called(services_of("aws", **AWS_VARIABLES), "node-1").environment
        assert given["AWS_ACCESS_KEY_ID"] == "AKIA"
        assert given["PACELINE_DYNAMODB__REGION"] == "eu-west-1"

    @pytest.mark.parametrize("profile", [DEFAULT_PROFILE, "dynamodb-local"])
    def test_credentials_of_the_shell_do_not_reach_a_local_dynamodb(self, profile: str) -> None:
        for service in services_of(profile, **AWS_VARIABLES).values():
            assert not [name for name in service.environment if name.startswith("AWS_")]

    def test_no_secret_is_written_in_the_file(self) -> None:
        secretive = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY", re.IGNORECASE)
        for service in project().services.values():
            for name, value in service.environment.items():
                assert not secretive.search(name) or name == "PACELINE_SECRET_FILE", name
                assert name != "PACELINE_SECRET_FILE" or value.startswith("/run/")
            assert "env_file" not in service.raw

    def test_only_one_service_builds_the_image(self) -> None:
        """Builds of one tag side by side fail on a first run: 'image already exists'."""
        builders = [s.name for s in project().services.values() if "build" in s.raw]
        assert builders == ["secret"]
        assert not project().services["secret"].profiles


class TestImage:
    def test_is_built_in_stages_and_runs_without_root(self) -> None:
        assert IMAGE.stages == 2
        user, group = (int(number) for number in IMAGE.user.split(":"))
        assert user >= 1000
        assert group >= 1000

    def test_copies_only_what_exists_and_is_not_ignored(self) -> None:
        patterns = (ROOT / ".dockerignore").read_text().splitlines()
        assert "*" in patterns
        allowed = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
        assert len(IMAGE.sources) >= 10
        for source in IMAGE.sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source
        for pattern in allowed:
            assert pattern in IMAGE.sources, f"{pattern} is sent to the builder for nothing"

    def test_carries_no_secret(self) -> None:
        text = (ROOT / "Dockerfile").read_text()
        assert not re.search(r"SECRET|PASSWORD|TOKEN", text, re.IGNORECASE)

    def test_build_backend_comes_from_the_lock(self) -> None:
        lock = (ROOT / "requirements" / "dev.txt").read_text()
        found = select(lock, ["Hatchling", "trove_classifiers"])
        assert re.match(r"hatchling==[\d.]+ \\\n +--hash=sha256:[0-9a-f]{64}", found)
        assert "trove-classifiers==" in found
        assert found.count("==") == 2
        with pytest.raises(LookupError, match="no-such-thing"):
            select(lock, ["hatchling", "no-such-thing"])


class TestEntryPoint:
    def test_a_secret_is_made_once_and_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        file = tmp_path / "volume" / "secret"
        assert create_secret(file)
        text = file.read_text()
        assert len(text.strip()) >= 32
        assert stat.S_IMODE(file.stat().st_mode) == 0o400
        assert not create_secret(file)
        assert file.read_text() == text
        assert os.listdir(file.parent) == ["secret"]

    def test_a_volume_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match="cannot write the cluster secret"):
            create_secret(tmp_path / "file" / "secret")

    def test_dynamodb_is_not_exposed_by_accident(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PACELINE_INSECURE", raising=False)
        with pytest.raises(ConfigError, match="PACELINE_INSECURE"):
            dynamodb_command("0.0.0.0:8000", None)

    @pytest.mark.parametrize("bind", ["8000", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:http"])
    def test_nonsense_addresses_are_told(self, bind: str) -> None:
        with pytest.raises(ConfigError, match="HOST:PORT"):
            dynamodb_command(bind, None)


class TestReading:
    """The reader of the file must not be kinder than Compose."""

    def test_variables(self) -> None:
        variables = {"A": "1", "EMPTY": ""}
        assert fill_in("${A}-${B:-2}-$A-$$A", variables) == "1-2-1-$A"
        assert fill_in("${EMPTY:-2}${EMPTY-3}", variables) == "2"
        with pytest.raises(ValueError, match="B is not set"):
            fill_in({"x": ["${B}"]}, variables)

    def test_a_required_dependency_must_be_enabled(self, tmp_path: Path) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        broken = tmp_path / "docker-compose.yml"
        broken.write_text(text.replace("service_healthy, required: false}", "service_healthy}"))
        with pytest.raises(ValueError, match="depends on undefined service"):
            load_project(broken, {}).enabled([DEFAULT_PROFILE])

    def test_a_cycle_is_found(self, tmp_path: Path) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        broken = tmp_path / "docker-compose.yml"
        broken.write_text(
            text.replace("network_mode: none", "depends_on: {node-1: {condition: service_healthy}}")
        )
        with pytest.raises(ValueError, match="cycle"):
            load_project(broken, {}).enabled([DEFAULT_PROFILE])

    def test_a_port_without_an_address_is_published_everywhere(self, tmp_path: Path) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        open_to_all = tmp_path / "docker-compose.yml"
        open_to_all.write_text(text.replace('"127.0.0.1:${PACELINE_HOST', '"${PACELINE_HOST'))
        services = load_project(open_to_all, {}).enabled([DEFAULT_PROFILE])
        assert services["node-1"].ports[0].host_ip == "0.0.0.0"


# -- the services, running -------------------------------------------------------------------


@pytest_asyncio.fixture
async def containers(tmp_path: Path) -> AsyncIterator[Containers]:
    if not loopback_networks():
        pytest.skip("container addresses need 127.0.0.0/8, which only Linux binds as a whole")
    home = Path(os.environ.get(embedded.HOME_VARIABLE) or ROOT / ".venv-embedded")
    base = free_base_port()
    ports = {
        f"PACELINE_HOST_PORT_{name}": str(base + number)
        for number, name in enumerate(
            ["DYNAMODB", "DISCOVERY_1", "DISCOVERY_2"]
            + [f"{kind}_{number}" for kind in ("NODE", "HTTP", "GRPC") for number in (1, 2, 3)]
        )
    }
    # The drain itself is tested elsewhere; here it would only take its time.
    services = services_of(DEFAULT_PROFILE, PACELINE_DRAIN_S="0.5", **ports)
    binaries = Path(sys.executable).parent
    paths = {"/opt/paceline/bin/python": sys.executable}
    paths |= {target: str(ROOT / source) for target, source in IMAGE.copied.items()}
    running = Containers(
        services,
        IMAGE,
        tmp_path,
        paths=paths,
        environment={
            "PATH": f"{binaries}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            embedded.HOME_VARIABLE: str(home),
            # Nothing is cached for so long at first: other nodes may have used these tables before.
            "PACELINE_LEASE__QUARANTINE_S": "1",
        },
    )
    try:
        yield running
    finally:
        await running.kill()


async def test_the_default_profile_serves_clients_inside_and_outside(
    containers: Containers,
) -> None:
    async with asyncio.timeout(100):
        await containers.start()
    inside = {name: (containers.addresses[name], 8121) for name in NODES}
    outside = {name: address_of(containers.published(name, DAX)) for name in NODES}
    for discovery in ("discovery-1", "discovery-2"):
        published = address_of(containers.published(discovery, DISCOVERY))
        for address, expected in (
            ((containers.addresses[discovery], 8111), inside),
            (published, outside),
        ):
            roster = await asyncio.to_thread(ask_roster, *address)
            assert {e.hostname: (ip(e.address), e.port) for e in roster} == expected
            assert {e.hostname: e.zone for e in roster} == dict(zip(NODES, "abc", strict=True))
            assert [e.role for e in roster].count(Role.LEADER) == 1

    dynamodb = containers.published("dynamodb", 8000)
    await asyncio.to_thread(create_table, f"http://{dynamodb}")

    endpoint = f"dax://{containers.addresses['discovery-1']}:8111"
    await asyncio.to_thread(put_and_hit, containers, endpoint, "from-inside")
    assert [containers.forwarders[name, DAX].connections for name in NODES] == [0, 0, 0]

    endpoint = f"dax://{containers.published('discovery-2', DISCOVERY)}"
    await asyncio.to_thread(put_and_hit, containers, endpoint, "from-outside")
    assert sum(containers.forwarders[name, DAX].connections for name in NODES) > 0

    for name in NODES:
        endpoint = f"http://{containers.published(name, HTTP)}"
        await asyncio.to_thread(get_by_http, endpoint, "from-outside")
        await get_by_grpc(containers.published(name, GRPC), "from-outside")

    for words in (["status", "--output", "json"], ["flush", "--table", "Users"]):
        command = ["paceline", *words, "--admin", "http://node-1:8201"]
        code, output = await containers.execute("node-1", command)
        assert code == 0, output
        assert words[0] != "status" or [n["id"] for n in json.loads(output)["nodes"]] == [*NODES]

    secret = containers.volume("secret") / "cluster-secret"
    for name in NODES:
        assert any(containers.volume(f"{name}-data").iterdir())
        assert secret.read_text().strip() not in containers.log(name).read_text()

    async with asyncio.timeout(100):
        stopped = await containers.stop()
    assert set(stopped) == set(containers.addresses)
    assert {name: end.exit_code for name, end in stopped.items()} == dict.fromkeys(stopped, 0)
    # Saved at a clean stop, into its volume.
    assert "from-outside" in (containers.volume("dynamodb-data") / "dynamodb.json").read_text()


def ip(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def ask_roster(host: str, port: int) -> list[Endpoint]:
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(PREAMBLE + ENDPOINTS)
        reply = b""
        while True:
            piece = connection.recv(65536)
            assert piece, "discovery closed the connection"
            reply += piece
            if (found := rosters_endpoints(reply)) is not None:
                return found


def create_table(endpoint: str) -> None:
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    try:
        client.create_table(
            TableName="Users",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    finally:
        client.close()


def put_and_hit(containers: Containers, endpoint: str, key: str) -> None:
    """Puts an item and gets it until a cache answers."""
    before, until = hits(containers), time.monotonic() + HIT_S
    with AmazonDaxClient.resource(
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    ) as dax:
        table = dax.Table("Users")
        table.put_item(Item={"id": key, "name": "Ada"})
        while hits(containers) == before:
            assert time.monotonic() < until, f"no cache answers within {HIT_S:g} s"
            for _ in range(2):
                assert table.get_item(Key={"id": key})["Item"] == {"id": key, "name": "Ada"}


def get_by_http(endpoint: str, key: str) -> None:
    client = boto3_client(endpoint)
    try:
        found = client.get_item(TableName="Users", Key={"id": {"S": key}})
        assert found["Item"]["name"] == {"S": "Ada"}
    finally:
        client.close()


async def get_by_grpc(address: str, key: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        data: Any = data_pb2_grpc.DataStub(channel)
        wanted = {"id": data_pb2.AttributeValue(s=key)}
        found = await data.GetItem(
            data_pb2.GetItemRequest(table_name="Users", key=wanted), timeout=CALL_S
        )
        assert found.item.attributes["name"].s == "Ada"


def address_of(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def hits(containers: Containers) -> int:
    """Answers out of the nodes' caches so far, as their admin addresses tell inside."""
    statuses = [get_json(f"http://{containers.addresses[name]}:8201/status") for name in NODES]
    return sum(int(status["cache"]["hits"]) for status in statuses)
