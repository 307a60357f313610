"""What tests of the one-machine cluster share: free ports, and fakes for its programs."""

import http.client
import os
import random
import socket
import sys
from pathlib import Path

from paceline.errors import Unavailable
from paceline_local.plan import ClusterPlan
from paceline_local.probes import http_request
from paceline_local.programs import Programs

FAKE = Path(__file__).with_name("fake_program.py")


def free_base_port(span: int = 220) -> int:
    """A base port whose next ``span`` ports are free now, below the ephemeral range. Each of
    several workers has its own: a cluster that another one is about to start is not there yet."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # Not seeded: several test runs at once must not meet. The ports are checked, so any will do.
    chooser = random.SystemRandom()
    for _ in range(100):
        base = chooser.randrange(10_000 + 250 * worker, 32_000, 250 * workers)
        if all(_is_free(base + offset) for offset in range(span)):
            return base
    raise RuntimeError("no free range of ports on this machine")


def fake_programs() -> Programs:
    def dynamodb(port: int, data_dir: Path | None) -> tuple[list[str], dict[str, str]]:
        fakes = {name: value for name, value in os.environ.items() if name.startswith("FAKE_")}
        environment = {**fakes, "PATH": os.environ["PATH"], "GATEWAY_PORT": str(port)}
        if data_dir is not None:
            environment["STATE_DIR"] = str(data_dir)
        return [sys.executable, str(FAKE), "dynamodb"], environment

    def ready(port: int) -> bool:
        try:
            return http_request("GET", f"http://127.0.0.1:{port}/health")[0] == http.client.OK
        except Unavailable:
            return False

    return Programs(
        node=[sys.executable, str(FAKE), "node"],
        discovery=[sys.executable, str(FAKE), "discovery"],
        dynamodb=dynamodb,
        dynamodb_ready=ready,
    )


def gone(pid: int) -> bool:
    """Whether no process ``pid`` runs; one that ended but was not reaped yet is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def ports_free(plan: ClusterPlan) -> bool:
    return all(_is_free(port) for _, port in plan.wanted_ports())


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
