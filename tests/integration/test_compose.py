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
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.httpsession
import grpc.aio
import pytest
import pytest_asyncio
import yaml
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError, SSLError
from cryptography import x509

from cluster.service.configuration import load_settings
from cluster.settings import DiscoverySettings, Listener, NodeSettings
from deploy.entrypoint import dynamodb_command, main
from deploy.locked import select
from discovery.program import check as check_discovery
from node.admin.addresses import check as check_node
from paceline.auth.grpc_calls import CallSigner
from paceline.dax.connection import ClientConnection, ErrorReply, Reply
from paceline.dax.request_types import Endpoints
from paceline.dax.responses import Endpoint, Role, read_endpoints
from paceline.errors import ConfigError, PacelineError
from paceline.v1 import data_pb2
from paceline_local import embedded
from paceline_local.probes import get_json, http_request
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
from tests.support.compose_access import Access, fetched
from tests.support.compose_run import Containers, loopback_networks
from tests.support.local import free_base_port
from tests.support.prometheus import ALERTS, DASHBOARD, MONITORING, PROMTOOL

ROOT = Path(__file__).parents[2]
IMAGE = load_image(ROOT / "Dockerfile")
DEFAULT_PROFILE = load_dotenv(ROOT / ".env")["COMPOSE_PROFILES"]
PROFILES = (DEFAULT_PROFILE, "dynamodb-local", "aws")
DISCOVERY, STS, DAX, HTTPS, GRPC = 19111, 9113, 19121, 9141, 9161
CLIENT_PORTS = {8000, DISCOVERY, STS, DAX, HTTPS, GRPC}
"""What may be published: DynamoDB, the external listeners of discovery and nodes, STS, and the
nodes' HTTP API and gRPC; all but the first with TLS."""
PLAIN = ROOT / "docker-compose.plain.yml"
PLAIN_PORTS = {18111, 18121, 8141, 8161}
OPEN_BINDS = {
    "node": {"PACELINE_HTTPS_BIND", "PACELINE_GRPC_TLS_BIND"},
    "discovery": {"PACELINE_HTTPS_BIND"},
}
"""By command. What members say to each other asks for the secret."""
FILES = (
    "PACELINE_SECRET_FILE",
    "PACELINE_TLS__CERT_FILE",
    "PACELINE_TLS__KEY_FILE",
    "PACELINE_ACCESS__PRINCIPALS_FILE",
    "PACELINE_ACCESS__PRINCIPALS_KEY_FILE",
)
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
                if name.endswith("_BIND") and value
                if name not in OPEN_BINDS.get(service.command[0], ())
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
            (programs,) = [
                word.partition("=")[2]
                for word in services["secret"].command
                if word.startswith("--programs=")
            ]
            for name in FILES:
                assert reader.environment[name].startswith(f"{programs}/"), name
            assert reader.depends_on["secret"].condition == COMPLETED

    def test_keeps_cloudwatchs_history_in_a_volume_of_each_discovery(self, profile: str) -> None:
        services = services_of(profile)
        volumes = []
        for name in ("discovery-1", "discovery-2"):
            file = Path(services[name].environment["PACELINE_METRICS_FILE"])
            mounts = {mount.target: mount for mount in services[name].mounts}
            assert not mounts[str(file.parent)].read_only
            volumes.append(mounts[str(file.parent)].volume)
        assert len(set(volumes)) == 2

    def test_shows_the_authoritys_key_to_nobody(self, profile: str) -> None:
        mounts = [(s.name, m) for s in services_of(profile).values() for m in s.mounts]
        assert [name for name, mount in mounts if mount.volume == "authority"] == ["secret"]
        read = {name for name, mount in mounts if mount.volume == "clients" and mount.read_only}
        assert read == {"discovery-1", "discovery-2"}

    def test_lets_nobody_in_without_a_signature_by_tls(
        self, profile: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for service in services_of(profile).values():
            if service.command[0] not in ("node", "discovery"):
                continue
            assert "PACELINE_INSECURE" not in service.environment
            settings = settings_of(service, monkeypatch, tmp_path)
            assert settings.access.authentication == "sigv4"
            assert all(listener.tls for listener in settings.listeners)
            assert settings.http_bind == ""
            assert settings.grpc_bind.startswith("127.0.0.1:")

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
            assert internal.advertise == f"{name}:9121"
            port, http, grpc = service.ports
            assert [http.container_port, grpc.container_port] == [HTTPS, GRPC]
            assert external.bind == f"0.0.0.0:{port.container_port}"
            assert external.advertise == f"{port.host_ip}:{port.host_port}"
            assert settings.peers[name] == f"{name}:8181"
            assert settings.https_advertise == f"{name}:9141"
            assert settings.grpc_tls_advertise == f"{name}:9161"
            assert settings.admin_advertise == f"{name}:8201"
        for name in ("discovery-1", "discovery-2"):
            discovery = settings_of(services[name], monkeypatch, tmp_path)
            _, external = listeners(discovery.listeners)
            assert external.bind == f"0.0.0.0:{services[name].ports[0].container_port}"

    def test_is_taken_by_docker_compose(self, profile: str) -> None:
        taken_by_compose("--profile", profile)


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
        if name == "PACELINE_ADMIN_TOKEN_FILE":
            continue  # the command line's, which is run in the container
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
        assert named == {*PROFILES, "monitoring"}

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
                assert not secretive.search(name) or name.endswith("_FILE"), name
                assert not name.endswith("_FILE") or value.startswith(("/run/", "/data/"))
            assert "env_file" not in service.raw

    def test_only_one_service_builds_the_image(self) -> None:
        """Builds of one tag side by side fail on a first run: 'image already exists'."""
        builders = [s.name for s in project().services.values() if "build" in s.raw]
        assert builders == ["secret"]
        assert not project().services["secret"].profiles


class TestWithoutTls:
    """docker-compose.plain.yml"""

    def test_has_plain_ports_on_loopback_and_lets_everybody_in(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for profile in PROFILES:
            services = load_project(ROOT / "docker-compose.yml", {}, PLAIN).enabled([profile])
            ports = [port for service in services.values() for port in service.ports]
            assert {port.host_ip for port in ports} == {"127.0.0.1"}
            assert {port.container_port for port in ports} <= CLIENT_PORTS | PLAIN_PORTS
            assert len({port.host_port for port in ports}) == len(ports)
            checked = 0
            for service in services.values():
                if service.command[0] not in ("node", "discovery"):
                    continue
                settings = settings_of(service, monkeypatch, tmp_path)
                assert settings.access.authentication == "off"
                assert not any(listener.tls for listener in settings.listeners)
                if isinstance(settings, NodeSettings):
                    check_node(settings)
                    assert settings.http_advertise.endswith(":8141")
                else:
                    check_discovery(settings)
                assert_every_variable_is_a_setting(service, type(settings))
                checked += 1
            assert checked == 5


class TestMonitoring:
    """The profile that comes beside another one."""

    def test_it_is_prometheus_and_grafana_on_loopback(self) -> None:
        both = project().enabled([DEFAULT_PROFILE, "monitoring"])
        added = {name: both[name] for name in both.keys() - services_of(DEFAULT_PROFILE).keys()}
        assert set(added) == {"prometheus", "grafana"}
        taken = [port.host_port for service in both.values() for port in service.ports]
        assert len(set(taken)) == len(taken)
        for service in added.values():
            assert {port.host_ip for port in service.ports} == {"127.0.0.1"}
            assert service.raw["cap_drop"] == ["ALL"]
            assert "no-new-privileges:true" in service.raw["security_opt"]
            assert service.health is not None
            assert {mount.volume for mount in service.mounts} <= project().volumes
            assert all(file.is_file() for file in configs_of(service).values())
        mounted = {mount.volume for service in added.values() for mount in service.mounts}
        assert not mounted & {"secret", "authority", "clients"}

    def test_prometheus_scrapes_every_node_with_the_token_for_reading(self) -> None:
        both = project().enabled([DEFAULT_PROFILE, "monitoring"])
        where = configs_of(both["prometheus"])
        volumes = {mount.target: mount.volume for mount in both["prometheus"].mounts}
        (config,) = [
            word.partition("=")[2]
            for word in both["prometheus"].command
            if word.startswith("--config.file=")
        ]
        told = yaml.safe_load(where[config].read_text())
        assert all(file in where for file in told["rule_files"])
        (job,) = told["scrape_configs"]
        (group,) = job["static_configs"]
        advertised = [
            node_called(both, name).environment["PACELINE_ADMIN_ADVERTISE"] for name in NODES
        ]
        assert group["targets"] == advertised
        token = Path(job["authorization"]["credentials_file"])
        assert volumes[str(token.parent)] == "monitoring"
        (written,) = [m.target for m in both["secret"].mounts if m.volume == "monitoring"]
        assert f"--monitoring={written}" in both["secret"].command
        assert token == Path(written) / "read-token"

    def test_grafana_has_the_dashboard_and_the_source_that_it_asks_for(self) -> None:
        grafana = project().enabled(["monitoring", DEFAULT_PROFILE])["grafana"]
        where = configs_of(grafana)
        read = {
            Path(target).parent.name: yaml.safe_load(file.read_text())
            for target, file in where.items()
            if "/provisioning/" in target
        }
        (source,) = read["datasources"]["datasources"]
        assert source["url"] == "http://prometheus:9090"
        (provider,) = read["dashboards"]["providers"]
        shown = grafana.environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        assert str(Path(shown).parent) == provider["options"]["path"]
        assert where[shown] == DASHBOARD

    @pytest.mark.skipif(not PROMTOOL.exists(), reason="promtool is not installed")
    def test_prometheus_takes_its_configuration(self, tmp_path: Path) -> None:
        text = (MONITORING / "prometheus.yml").read_text()
        (tmp_path / "read-token").write_text("token")
        text = text.replace("/etc/prometheus/alerts.yml", str(ALERTS))
        file = tmp_path / "prometheus.yml"
        file.write_text(text.replace("/run/paceline-monitoring", str(tmp_path)))
        done = subprocess.run(
            [PROMTOOL, "check", "config", file], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_is_taken_by_docker_compose(self) -> None:
        taken_by_compose("--profile", DEFAULT_PROFILE, "--profile", "monitoring")


def configs_of(service: Service) -> dict[str, Path]:
    """By the path in the container."""
    told = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["configs"]
    return {
        one["target"]: ROOT / told[one["source"]]["file"] for one in service.raw.get("configs", ())
    }


def taken_by_compose(*profiles: str) -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("docker is not installed")
    plugin = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if plugin.returncode:
        pytest.skip("docker has no compose plugin")
    done = subprocess.run(
        [docker, "compose", *profiles, "config", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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
    def test_prepare_takes_what_the_file_says(self, tmp_path: Path) -> None:
        command = list(project().services["secret"].command)
        words = [word.replace("=/run/", f"={tmp_path}/") for word in command]
        assert main(words) == 0
        pem = (tmp_path / "paceline" / "cert.pem").read_bytes()
        names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        named = names.value.get_values_for_type(x509.DNSName)
        assert set(named) == {"localhost", "discovery-1", "discovery-2", *NODES}

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
            ["DYNAMODB", "DISCOVERY_1", "DISCOVERY_2", "STS_1", "STS_2"]
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
    containers: Containers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with asyncio.timeout(100):
        await containers.start()
    access = await access_of(containers, tmp_path)
    # As applications are told to do; in this process it is OpenSSL's, whose file is asked for late.
    monkeypatch.setenv("SSL_CERT_FILE", str(access.ca))
    inside = {name: (containers.addresses[name], 9121) for name in NODES}
    outside = {name: address_of(containers.published(name, DAX)) for name in NODES}
    for discovery in ("discovery-1", "discovery-2"):
        published = address_of(containers.published(discovery, DISCOVERY))
        for address, expected in (
            ((containers.addresses[discovery], 9111), inside),
            (published, outside),
        ):
            roster = await asyncio.to_thread(ask_roster, access, *address)
            assert {e.hostname: (ip(e.address), e.port) for e in roster} == expected
            assert {e.hostname: e.zone for e in roster} == dict(zip(NODES, "abc", strict=True))
            assert [e.role for e in roster].count(Role.LEADER) == 1

    dynamodb = containers.published("dynamodb", 8000)
    await asyncio.to_thread(create_table, f"http://{dynamodb}")

    endpoint = f"daxs://{containers.addresses['discovery-1']}:9111"
    await asyncio.to_thread(put_and_hit, containers, access, endpoint, "from-inside")
    assert [containers.forwarders[name, DAX].connections for name in NODES] == [0, 0, 0]

    endpoint = f"daxs://{containers.published('discovery-2', DISCOVERY)}"
    await asyncio.to_thread(put_and_hit, containers, access, endpoint, "from-outside")
    assert sum(containers.forwarders[name, DAX].connections for name in NODES) > 0

    for name in NODES:
        endpoint = f"https://{containers.published(name, HTTPS)}"
        await asyncio.to_thread(get_by_http, access, endpoint, "from-outside")
        await get_by_grpc(access, containers.published(name, GRPC), "from-outside")
    sts = f"https://{containers.published('discovery-1', STS)}"
    await asyncio.to_thread(session_by_sts, access, sts)
    await nobody_comes_in_without_the_key(containers, access)

    for words in (["status", "--output", "json"], ["flush", "--table", "Users"]):
        command = ["paceline", *words, "--admin", "http://node-1:8201"]
        code, output = await containers.execute("node-1", command)
        assert code == 0, output
        if words[0] == "status":
            nodes = json.loads(output)["nodes"]
            assert [(n["id"], n["alive"]) for n in nodes] == [(name, True) for name in NODES]
    added = ["paceline", "principal", "add", "app", "--admin", "http://node-1:8201"]
    code, output = await containers.execute("node-1", added)
    assert code == 0, output
    assert "PLAK" in output

    await asyncio.to_thread(scraped_with_the_token_alone, containers)
    for name in ("discovery-1", "discovery-2"):
        assert (containers.volume(f"{name}-data") / "metrics.sqlite").is_file()

    told = [containers.volume("secret") / name for name in ("cluster-secret", "principals-key")]
    secrets = [file.read_text().strip() for file in told] + [access.secret]
    for name in (*NODES, "discovery-1", "discovery-2", "secret"):
        log = containers.log(name).read_text()
        assert not any(secret in log for secret in secrets)
    for name in NODES:
        assert any(containers.volume(f"{name}-data").iterdir())

    async with asyncio.timeout(100):
        stopped = await containers.stop()
    assert set(stopped) == set(containers.addresses)
    assert {name: end.exit_code for name, end in stopped.items()} == dict.fromkeys(stopped, 0)
    # Saved at a clean stop, into its volume.
    assert "from-outside" in (containers.volume("dynamodb-data") / "dynamodb.json").read_text()


def scraped_with_the_token_alone(containers: Containers) -> None:
    """As Prometheus does it."""
    token = (containers.volume("monitoring") / "read-token").read_text().strip()
    bearer = {"Authorization": f"Bearer {token}"}
    admin = f"http://{containers.addresses['node-1']}:8201"
    status, body = http_request("GET", f"{admin}/metrics", headers=bearer, timeout_s=CALL_S)
    assert status == 200
    assert b"paceline_epoch" in body
    status, _ = http_request("POST", f"{admin}/flush", headers=bearer, timeout_s=CALL_S)
    assert status == 401
    assert len(token) == 64


async def nobody_comes_in_without_the_key(containers: Containers, access: Access) -> None:
    forged = replace(access, secret="x" * len(access.secret))
    strangers = {"InvalidSignatureException": forged}
    strangers["UnrecognizedClientException"] = replace(access, key_id="AKIAIOSFODNN7EXAMPLE")
    endpoint = f"https://{containers.published('node-1', HTTPS)}"
    for name, stranger in strangers.items():
        with pytest.raises(ClientError, match=name):
            await asyncio.to_thread(get_by_http, stranger, endpoint, "from-outside")
        address = address_of(containers.published("discovery-1", DISCOVERY))
        with pytest.raises(PacelineError):
            await asyncio.to_thread(ask_roster, stranger, *address)
    untrusting = replace(access, ca=Path(botocore.httpsession.DEFAULT_CA_BUNDLE))
    with pytest.raises(SSLError):
        await asyncio.to_thread(get_by_http, untrusting, endpoint, "from-outside")


async def access_of(containers: Containers, directory: Path) -> Access:
    loop = asyncio.get_running_loop()

    def execute(service: str, command: list[str]) -> str:
        done = asyncio.run_coroutine_threadsafe(containers.execute(service, command), loop)
        code, output = done.result(CALL_S)
        assert code == 0, output
        return output + "\n"

    return await asyncio.to_thread(fetched, execute, directory / "client")


def ip(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def ask_roster(access: Access, host: str, port: int) -> list[Endpoint]:
    """DynamoDBError for a key that discovery does not let in."""
    codec = ClientConnection()
    signed = codec.authorize(access.key_id, access.secret, "us-east-1", datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(access.ca))
    with (
        socket.create_connection((host, port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        connection.sendall(codec.preamble("test", b"") + signed + codec.send(Endpoints()))
        while True:
            piece = connection.recv(65536)
            assert piece, "discovery closed the connection"
            codec.receive_data(piece)
            match codec.next_event():
                case Reply(body=body):
                    return read_endpoints(body)
                case ErrorReply(error=error):
                    raise error


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


def put_and_hit(containers: Containers, access: Access, endpoint: str, key: str) -> None:
    """Puts an item and gets it until a cache answers."""
    before, until = hits(containers), time.monotonic() + HIT_S
    with AmazonDaxClient.resource(endpoint_url=endpoint, **access.options) as dax:
        table = dax.Table("Users")
        table.put_item(Item={"id": key, "name": "Ada"})
        while hits(containers) == before:
            assert time.monotonic() < until, f"no cache answers within {HIT_S:g} s"
            for _ in range(2):
                assert table.get_item(Key={"id": key})["Item"] == {"id": key, "name": "Ada"}


def get_by_http(access: Access, endpoint: str, key: str) -> None:
    client = access.boto3("dynamodb", endpoint)
    try:
        found = client.get_item(TableName="Users", Key={"id": {"S": key}})
        assert found["Item"]["name"] == {"S": "Ada"}
    finally:
        client.close()


def session_by_sts(access: Access, endpoint: str) -> None:
    client = access.boto3("sts", endpoint)
    try:
        assert client.get_caller_identity()["Arn"].endswith(":user/compose")
    finally:
        client.close()


async def get_by_grpc(access: Access, address: str, key: str) -> None:
    signer = CallSigner(lambda: access.credentials, "us-east-1")
    trusted = grpc.ssl_channel_credentials(access.ca.read_bytes())
    async with grpc.aio.secure_channel(address, trusted) as channel:
        wanted = {"id": data_pb2.AttributeValue(s=key)}
        message = data_pb2.GetItemRequest(table_name="Users", key=wanted).SerializeToString()
        method = "/paceline.v1.Data/GetItem"
        get_item = channel.unary_unary(method, None, data_pb2.GetItemResponse.FromString)
        metadata = signer.metadata(method, message, datetime.now(UTC))
        found = await get_item(message, timeout=CALL_S, metadata=metadata)
        assert found.item.attributes["name"].s == "Ada"


def address_of(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def hits(containers: Containers) -> int:
    """Answers out of the nodes' caches so far, as their admin addresses tell inside."""
    statuses = [get_json(f"http://{containers.addresses[name]}:8201/status") for name in NODES]
    return sum(int(status["cache"]["hits"]) for status in statuses)
