"""What importing pysyncobj must not leave behind."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "cluster.consensus.raft",
        "cluster.consensus.raft_setup",
        "cluster.consensus.raft_sockets",
        "cluster.consensus.raft_transport",
    ],
)
def test_the_socket_module_stays_as_it_was(module: str) -> None:
    check = (
        f"import _socket, socket, {module}; "
        "assert socket.inet_ntop is _socket.inet_ntop; "
        "assert socket.inet_pton is _socket.inet_pton"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
