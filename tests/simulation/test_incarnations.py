"""Each process is one incarnation, and what it holds is held by that and nobody else."""

from __future__ import annotations

from collections import defaultdict

from cluster.log.state import ReplicatedState
from tests.simulation.cluster import Cluster
from tests.simulation.node import SimulatedNode
from tests.simulation.options import Options
from tests.simulation.simulation import simulate

INCARNATION_BITS = 128


def test_grants_read_leases_and_registrations_are_those_of_one_process() -> None:
    processes: dict[str, dict[str, str]] = defaultdict(dict)
    """By node: its processes, and the incarnation of each."""
    seen: set[str] = set()
    applied = Cluster.applied

    def watch(cluster: Cluster, node: SimulatedNode) -> None:
        applied(cluster, node)
        mine = node._incarnation
        processes[node.id][node.name] = mine
        state = node.raft.machine
        assert isinstance(state, ReplicatedState)
        if node.believes:
            assert (state.lease.holder, state.lease.incarnation) == (node.id, mine)
            seen.add("grant")
        registered = state.view.member(node.id)
        if node.up and registered is not None:
            assert registered.incarnation == mine
            seen.add("registration")
        primary = getattr(node, "primary", None)
        if primary is None or primary.primary is None:
            return
        for id_, record in primary.primary._replicas._nodes.items():
            assert record.incarnation in processes[id_].values()
            seen.add("read lease")

    options = Options(operations=400, troubles={"crash": 1}, trouble_every_s=0.5)
    report = simulate(3, options, mutations=[(Cluster, "applied", watch)])
    assert report.good, report.violation
    assert seen == {"grant", "registration", "read lease"}
    of_all = [one for by_name in processes.values() for one in by_name.values()]
    assert len(of_all) > 2 * options.nodes
    assert len(set(of_all)) == len(of_all)
    assert all(len(bytes.fromhex(one)) * 8 == INCARNATION_BITS for one in of_all)
