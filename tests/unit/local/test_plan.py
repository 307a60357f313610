"""What is asked of ``paceline up`` either becomes a plan or an error that says what to do."""

import pytest

from paceline.errors import ConfigError
from paceline_local.plan import make_plan
from paceline_local.ports import BASE_PORT_MAX, NODES_MAX, make_ports


def test_default_plan_is_three_nodes_in_three_zones() -> None:
    plan = make_plan()
    assert [(node.id, node.zone) for node in plan.nodes] == [
        ("node-1", "a"),
        ("node-2", "b"),
        ("node-3", "c"),
    ]
    assert plan.dynamodb.endpoint == "http://127.0.0.1:8000"
    assert plan.discovery_dax == "dax://127.0.0.1:8111"
    assert plan.nodes[1].dax == "dax://127.0.0.1:8122"
    assert plan.nodes[1].grpc == "127.0.0.1:8162"
    assert plan.nodes[1].consensus == "127.0.0.1:8182"
    assert plan.nodes[1].admin == "http://127.0.0.1:8202"


def test_base_port_moves_everything() -> None:
    here = [port for _, port in make_plan(nodes=11).wanted_ports()]
    there = [port for _, port in make_plan(nodes=11, base_port=12_000).wanted_ports()]
    assert there == [port + 4000 for port in here]


def test_ports_of_the_largest_cluster_are_distinct_and_fit_with_tls() -> None:
    plan = make_plan(nodes=NODES_MAX, base_port=BASE_PORT_MAX)
    ports = [port for _, port in plan.wanted_ports()]
    assert len(set(ports)) == len(ports) == 1 + 3 + 5 * NODES_MAX
    assert max(ports) + 1000 <= 65535
    secure = [
        port
        for _, port in make_plan(nodes=NODES_MAX, base_port=BASE_PORT_MAX, tls=True).wanted_ports()
    ]
    assert len(set(secure)) == len(secure) == len(ports) + 3 + 3 * NODES_MAX
    assert set(secure) - set(ports) <= {port + 1000 for port in ports}


def test_nodes_take_zones_in_turn() -> None:
    plan = make_plan(nodes=5, zones=["x", "y"])
    assert [node.zone for node in plan.nodes] == ["x", "y", "x", "y", "x"]


def test_default_zones_fit_fewer_nodes() -> None:
    assert [node.zone for node in make_plan(nodes=2).nodes] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"nodes": 0}, "choose 1 to 11 with --nodes"),
        ({"nodes": 12}, "choose 1 to 11 with --nodes"),
        ({"nodes": 2, "zones": ["a", "b", "c"]}, "3 zones do not fit 2 nodes"),
        ({"nodes": 1, "zones": ["a", "b"]}, "2 zones do not fit 1 node:"),
        ({"zones": ["a", "b", "a"]}, "zone 'a' is named twice"),
        ({"zones": ["a", ""]}, "'' is no zone name"),
        ({"zones": ["a b"]}, "'a b' is no zone name"),
        ({"zones": []}, "no zone is named"),
        ({"base_port": 0}, "base port 0 is out of range"),
        ({"base_port": BASE_PORT_MAX + 1}, "is out of range"),
        ({"dynamodb": "embeded"}, "neither 'embedded', 'aws' nor a URL"),
        ({"dynamodb": "ftp://x:1"}, "neither"),
        ({"dynamodb": "http://"}, "neither"),
        ({"dynamodb": "http://h:99999"}, "neither"),
        ({"dynamodb": "http://h:1/path"}, "neither"),
        ({"region": "US EAST"}, "is no AWS region name"),
        ({"primary_lease_s": 0.1}, "--primary-lease"),
        ({"primary_lease_s": float("nan")}, "--primary-lease"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_plan(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "present", "endpoint", "credentials"),
    [
        ("embedded", True, "http://127.0.0.1:8000", "dummy"),
        ("aws", False, "", "default"),
        ("http://127.0.0.1:4000/", False, "http://127.0.0.1:4000", "dummy"),
        ("http://127.0.0.1:4000", True, "http://127.0.0.1:4000", "default"),
        (
            "https://dynamodb.us-east-1.amazonaws.com",
            False,
            "https://dynamodb.us-east-1.amazonaws.com",
            "default",
        ),
    ],
)
def test_credentials_follow_the_dynamodb(
    choice: str, present: bool, endpoint: str, credentials: str
) -> None:
    plan = make_plan(dynamodb=choice, aws_credentials_present=present)
    assert (plan.dynamodb.endpoint, plan.dynamodb.credentials) == (endpoint, credentials)


def test_only_the_embedded_dynamodb_needs_a_port() -> None:
    port = make_ports(8000).dynamodb
    assert port in [p for _, p in make_plan().wanted_ports()]
    assert port not in [p for _, p in make_plan(dynamodb="aws").wanted_ports()]


def test_a_shorter_lease_keeps_its_proportions_and_a_longer_one_the_renewals() -> None:
    short = make_plan(primary_lease_s=0.45).lease
    assert short is not None
    assert (short.primary_s, short.renew_s, short.read_s) == (0.45, 0.125, 0.3)
    long = make_plan(primary_lease_s=5).lease
    assert long is not None
    assert (long.renew_s, long.read_s) == (0.25, 0.6)
    assert make_plan().lease is None
