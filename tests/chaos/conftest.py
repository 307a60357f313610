"""Clusters of real processes for the chaos tests, whole again before each of them."""

from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster


@pytest.fixture(scope="module")
def chaos_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("chaos"), arguments=["--chaos"]) as cluster:
        cluster.wait_serving()
        yield cluster


@pytest.fixture(scope="module")
def five_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("chaos-5"), nodes=5, arguments=["--chaos"]) as cluster:
        cluster.wait_serving()
        yield cluster


@pytest.fixture
def cluster(chaos_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    chaos_cluster.heal()
    failed = request.session.testsfailed
    yield chaos_cluster
    if request.session.testsfailed > failed:
        print(chaos_cluster.logs())
