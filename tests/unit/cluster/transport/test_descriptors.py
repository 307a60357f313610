"""Client connections are as many as there are file descriptors for, after all else."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.settings import NodeSettings
from cluster.transport.descriptors import LINGERING_MAX, OWN, Demand
from cluster.transport.members_server import CONNECTIONS_MAX
from node.admin import addresses

SCRIPT = """
import resource, sys
from cluster.transport.descriptors import Demand, fit_connections
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(fit_connections(Demand(int(sys.argv[3]), servers=2, upstream=64)))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def fit(soft: int, hard: int, connections_max: int) -> tuple[int, int]:
    """(connections, the limit that the process then has), found in a process of its own."""
    argv = [sys.executable, "-c", SCRIPT, str(soft), str(hard), str(connections_max)]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    *_, fitting, files_max = run.stdout.split()
    return int(fitting), int(files_max)


def test_the_soft_limit_is_raised_as_far_as_it_is_wanted() -> None:
    demand = Demand(1000, servers=2, upstream=64)
    assert fit(512, 8192, 1000) == (1000, demand.files)


def test_what_the_hard_limit_does_not_allow_is_cut() -> None:
    fitting, files_max = fit(400, 400, 1000)
    assert files_max == 400
    assert 16 <= fitting < 100


def test_with_next_to_none_the_program_says_what_it_needs() -> None:
    argv = [sys.executable, "-c", SCRIPT, "256", "256", "1000"]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert "ulimit -n" in run.stderr


@given(
    st.integers(1, 100_000),
    st.integers(1, 3),
    st.integers(0, 500),
    st.integers(0, 1_000_000),
    st.sampled_from([100, 1024, 2048]),
)
def test_shares_never_exceed_what_there_is(
    connections_max: int, servers: int, upstream: int, files_max: int, grpc_max: int
) -> None:
    demand = Demand(connections_max, servers, upstream, grpc_connections=grpc_max)
    fitting = demand.connections_within(files_max)
    assert 0 <= fitting <= connections_max
    lingering = min(LINGERING_MAX, fitting)
    if fitting:
        grpc = min(demand.grpc_connections, (files_max - OWN - upstream) // 4)
        assert OWN + upstream + grpc + servers * (fitting + lingering) <= files_max
    if files_max >= demand.files:
        assert fitting == connections_max


@pytest.mark.parametrize(("tls_bind", "ports"), [("", 1), ("127.0.0.1:0", 2)])
@pytest.mark.parametrize(("secret", "of_members"), [("", 0), ("s", CONNECTIONS_MAX)])
def test_each_port_of_grpc_has_its_share(
    monkeypatch: pytest.MonkeyPatch, tls_bind: str, ports: int, secret: str, of_members: int
) -> None:
    demands: list[Demand] = []
    monkeypatch.setattr(addresses, "fit_connections", lambda one: demands.append(one) or 1)
    addresses.within_files(
        NodeSettings(
            node_id="n1",
            secret=secret,
            grpc_tls_bind=tls_bind,
            limits={"grpc_connections_max": 300},
        )
    )
    assert [one.grpc_connections for one in demands] == [300 * ports + of_members]


@pytest.mark.parametrize("connections_max", [1, 10])
def test_a_small_wish_is_no_error(connections_max: int) -> None:
    assert fit(1024, 1024, connections_max)[0] == connections_max
