"""Real programs whose file descriptors run out: no listener goes away."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from paceline_local.probes import dax_roster_size, http_request
from tests.support.cluster import DISCOVERY, Cluster
from tests.support.grpc_health import health
from tests.support.waiting import wait_until

SPARE = 24
CONNECTIONS = 200

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux changes the limits of another process"
)


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def split(address: str) -> tuple[str, int]:
    parts = urlsplit(address if "://" in address else f"//{address}")
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def test_every_port_answers_again_once_descriptors_are_free(tmp_path: Path) -> None:
    with Cluster(tmp_path, nodes=1) as cluster:
        (node,) = cluster.entry["nodes"]
        (discovery,) = cluster.entry["discovery"]
        ports = {
            node["id"]: [node["dax"], node["http"], node["grpc"], node["admin"]],
            DISCOVERY: [discovery["dax"], discovery["grpc"]],
        }
        for name, addresses in ports.items():
            pid = cluster.programs[name].process.pid
            for address in addresses:
                limit = open_files(pid) + SPARE
                _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
                with contextlib.ExitStack() as stack:
                    for _ in range(CONNECTIONS):
                        with contextlib.suppress(OSError):
                            sock = socket.create_connection(split(str(address)), 1.0)
                            stack.enter_context(sock)
                    wait_until(
                        lambda: open_files(pid) >= limit - 1,  # noqa: B023
                        f"{address} has none left",
                    )
                wait_until(lambda: open_files(pid) < limit - 1, "some are free")  # noqa: B023
        wait_until(lambda: dax_roster_size(str(node["dax"])) == 1, "DAX answers")
        wait_until(lambda: dax_roster_size(str(discovery["dax"])) == 1, "discovery answers")
        for url in (f"{node['http']}/", f"{node['admin']}/readyz"):
            wait_until(lambda: http_request("GET", url)[0] > 0, f"{url} answers")  # noqa: B023
        for address in (node["grpc"], discovery["grpc"]):
            wait_until(lambda: health(str(address)), f"gRPC at {address} answers")  # noqa: B023
