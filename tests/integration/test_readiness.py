"""Real nodes tell the truth of themselves when they cannot write."""

from __future__ import annotations

from pathlib import Path

from paceline_local.probes import http_request
from tests.support.cluster import Cluster
from tests.support.grpc_health import health
from tests.support.waiting import wait_until

TOLD_S = 20.0


def test_a_node_without_a_majority_says_so_everywhere_until_it_has_one(tmp_path: Path) -> None:
    with Cluster(tmp_path, nodes=2) as cluster:
        left, gone = cluster.node_ids
        entry = cluster.node(left)
        assert entry["grpc"] is not None
        cluster.wait_ready(left)
        wait_until(lambda: health(str(entry["grpc"])), "gRPC says that it is well")
        cluster.kill(gone)

        def unready() -> bool:
            status, body = http_request("GET", f"{entry['admin']}/readyz", timeout_s=5.0)
            return status == 503 and b"majority" in body

        wait_until(unready, "the one that is left says that it is not ready", TOLD_S)
        status = cluster.status(left)
        assert status is not None
        assert status["ready"] is False
        assert "majority" in status["unready"]
        wait_until(lambda: not health(str(entry["grpc"])), "gRPC says it, too", TOLD_S)
        cluster.start_again(gone)
        cluster.wait_ready(left)
        wait_until(lambda: health(str(entry["grpc"])), "gRPC says that it is well again")
