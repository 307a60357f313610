"""Starts what is measured: redis-server, memcached, and clusters in front of the fake DynamoDB."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import frames
from benchmarks.load.generator import fake_command
from paceline_local import certificates
from paceline_local.cluster import PlannedCluster
from paceline_local.plan import make_plan
from paceline_local.ports import free_base_port
from paceline_local.probes import get_json
from paceline_local.programs import Programs, server_argv

START_S = 60.0
POLL_S = 0.02
DAY_MS = 86_400_000

SETTINGS = {
    "PACELINE_LOG_LEVEL": "error",
    "PACELINE_CACHE__BYTES_MAX": str(2**30),  # what is to be hit is not evicted by what misses
    "PACELINE_CACHE__RECORD_TTL_MILLIS": str(DAY_MS),  # nor does it expire in a long run
    "PACELINE_CACHE__QUERY_TTL_MILLIS": str(DAY_MS),
}


@dataclass(frozen=True, slots=True)
class Server:
    """``ports`` by protocol, one for each node; those with TLS under ``dax+tls`` and so on.
    ``pids`` by name; ``primary``: which of them is it, empty if there is no such role."""

    name: str
    ports: Mapping[str, tuple[int, ...]]
    pids: Mapping[str, int]
    primary: str = ""
    version: str = ""
    admins: tuple[str, ...] = ()

    def cache_counts(self) -> tuple[int, int]:
        """(hits, misses) of items and pages, as all nodes count them since they began."""
        hits = misses = 0
        for admin in self.admins:
            told = get_json(f"{admin}/status", START_S)["cache"]
            hits += told["hits"] + told["query_hits"]
            misses += told["misses"] + told["bypasses"] + told["query_misses"]
        return hits, misses

    @property
    def replicas(self) -> list[str]:
        return [name for name in self.pids if self.primary and name != self.primary]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while not accepts(port):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{process.args!r} did not start")
        time.sleep(POLL_S)


@contextmanager
def running(argv: list[str], port: int, **environment: str) -> Iterator[int]:
    """A process, once it accepts connections on ``port``; its id."""
    process = subprocess.Popen(
        argv,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(port, process)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def version_of(*argv: str) -> str:
    """The first line that the command prints; empty if there is no such command."""
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=START_S, check=False)
    return (done.stdout or done.stderr).partition("\n")[0].strip()


@contextmanager
def redis(tls: certificates.TlsFiles) -> Iterator[Server]:
    """Without persistence, so that a SET costs no more than it must."""
    plain, secure = free_port(), free_port()
    argv = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    argv += ["--port", str(plain), "--maxclients", "4000"]
    argv += ["--tls-port", str(secure), "--tls-auth-clients", "no"]
    argv += ["--tls-cert-file", str(tls.cert), "--tls-key-file", str(tls.key)]
    argv += ["--tls-ca-cert-file", str(tls.cert)]
    with running(argv, plain) as pid:
        ports = {"resp": (plain,), "resp+tls": (secure,)}
        version = version_of("redis-server", "--version")
        yield Server("redis", ports, {"redis": pid}, version=version)


@contextmanager
def memcached() -> Iterator[Server]:
    """With one thread, as redis-server has one."""
    port = free_port()
    argv = ["memcached", "-l", "127.0.0.1", "-p", str(port), "-t", "1", "-c", "4000", "-m", "1024"]
    if os.geteuid() == 0:
        argv += ["-u", "root"]
    with running(argv, port) as pid:
        version = version_of("memcached", "--version")
        yield Server("memcached", {"memcached": (port,)}, {"memcached": pid}, version=version)


@contextmanager
def dynamodb(median_ms: float = 0, p99_ms: float = 0) -> Iterator[Server]:
    """The fake alone, for those who ask it themselves."""
    port = free_port()
    with running(fake_command(port, median_ms, p99_ms), port) as pid:
        yield Server("dynamodb", {"http": (port,)}, {"dynamodb": pid})


@contextmanager
def cluster(
    nodes: int,
    tls: certificates.TlsFiles,
    *,
    median_ms: float = 0,
    p99_ms: float = 0,
    settings: Mapping[str, str] = {},
) -> Iterator[Server]:
    """Nodes by ``paceline up``'s own launcher, which takes the fake for the embedded DynamoDB.

    ``median_ms`` and ``p99_ms``: how long the fake takes to answer, 0 for at once.
    """

    def dynamodb(port: int, data_dir: Path | None) -> tuple[list[str], dict[str, str]]:
        del data_dir
        return fake_command(port, median_ms, p99_ms), dict(os.environ)

    def ports(base: int) -> list[int]:
        wanted = make_plan(nodes=nodes, base_port=base, tls=True).wanted_ports()
        return [port for _, port in wanted]

    base = free_base_port(ports)
    programs = Programs(server_argv("node"), server_argv("discovery"), dynamodb, accepts)
    plan = make_plan(nodes=nodes, base_port=base, tls=True)
    environ = {**os.environ, **SETTINGS, **settings}
    with PlannedCluster(plan, programs=programs, tls=tls, environ=environ) as started:
        roles = _settled_roles(started)
        yield Server(
            f"{nodes} node{'s' if nodes > 1 else ''}",
            {
                "dax": tuple(node.ports.dax for node in plan.nodes),
                "http": tuple(node.ports.http for node in plan.nodes),
                "dax+tls": tuple(node.ports.dax_tls for node in plan.nodes),
                "http+tls": tuple(node.ports.https for node in plan.nodes),
            },
            {node.id: started.pid(node.id) for node in plan.nodes},
            primary=next(name for name, role in roles.items() if role == "primary"),
            admins=tuple(node.admin for node in plan.nodes),
        )


def who_signs(directory: Path) -> dict[str, str]:
    """Settings of nodes that ask for signatures, and for policies: those of one principal, whose
    key is ``frames.ACCESS_KEY``."""
    read = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
    principal = {
        "name": "bench",
        "keys": [{"id": frames.ACCESS_KEY, "secret": frames.SECRET_KEY}],
        "policies": {"all": {"Version": "2012-10-17", "Statement": read}},
    }
    path = directory / "principals.yaml"  # which any JSON is
    path.write_text(json.dumps({"principals": [principal]}), encoding="utf-8")
    return {
        "PACELINE_ACCESS__AUTHENTICATION": "sigv4",
        "PACELINE_ACCESS__PRINCIPALS_FILE": str(path),
    }


def _settled_roles(started: PlannedCluster) -> dict[str, str]:
    """Role by node, once there is a primary and every node may answer from its cache."""
    until = time.monotonic() + START_S
    while True:
        statuses = [one for one in started.statuses().values() if isinstance(one, dict)]
        whole = len(statuses) == len(started.plan.nodes)
        if whole and all(one["serving"] for one in statuses):
            roles = {str(one["id"]): str(one["role"]) for one in statuses}
            if "primary" in roles.values():
                return roles
        if time.monotonic() > until:
            raise SystemExit(f"the cluster did not settle: {statuses}")
        time.sleep(POLL_S)
