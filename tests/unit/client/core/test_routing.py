"""Endpoints, rosters, and which node is asked."""

from random import Random

import pytest

from paceline.client.core.breaker import OPEN_FIRST_S, OPEN_MAX_S, Breaker
from paceline.client.core.budget import TokenBucket
from paceline.client.core.roster import Node, Roster, of_endpoints, of_message
from paceline.client.core.routing import Router
from paceline.client.core.seeds import Seed, endpoint_from, parse_seeds, zone_from
from paceline.dax.responses import Endpoint, Role
from paceline.errors import ConfigError
from paceline.v1 import discovery_pb2

# -- endpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("dax://h:1", [Seed("dax", "h", 1)]),
        ("dax://h", [Seed("dax", "h", 8111)]),
        ("h:1, i:2", [Seed("dax", "h", 1), Seed("dax", "i", 2)]),
        ("paceline://h,i:3", [Seed("grpc", "h", 8112), Seed("grpc", "i", 3)]),
        ("dax://h/,grpc://h:4", [Seed("dax", "h", 8111), Seed("grpc", "h", 4)]),
        ("DAX://[::1]:5", [Seed("dax", "::1", 5)]),
        (["dax://h", "dax://h"], [Seed("dax", "h", 8111)]),
        ("daxs://h,i:2", [Seed("dax", "h", 9111, True), Seed("dax", "i", 2, True)]),
        (
            "paceline+tls://h,daxs://h",
            [Seed("grpc", "h", 9112, True), Seed("dax", "h", 9111, True)],
        ),
        ("grpcs://h", [Seed("grpc", "h", 9112, True)]),
    ],
)
def test_endpoints_as_people_write_them(text: str | list[str], seeds: list[Seed]) -> None:
    assert list(parse_seeds(text)) == seeds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("daxs://h:9111,dax://h", "daxs://h:9111, dax://h:8111: .* do not mix"),
        ("https://h", r"no scheme .* with TLS daxs://host:9111 or paceline\+tls://host:9112"),
        ("http://h", "no scheme"),
        ("dax://h:x", "no address"),
        ("dax://h:70000", "no address"),
        ("dax://", "no address"),
        (" , ", "empty endpoint"),
    ],
)
def test_wrong_endpoints_say_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_seeds(text)


def test_an_ipv6_address_is_written_with_brackets() -> None:
    assert str(Seed("grpc", "::1", 5)) == "paceline://[::1]:5"
    assert str(Seed("grpc", "h", 5, True)) == "paceline+tls://h:5"
    assert str(Seed("dax", "h", 5, True)) == "daxs://h:5"


def test_the_environment_names_endpoint_and_zone() -> None:
    assert endpoint_from({"AWS_ENDPOINT_URL_DAX": "dax://a"}) == "dax://a"
    assert endpoint_from({"AWS_ENDPOINT_URL_DAX": "a", "PACELINE_ENDPOINT": "b"}) == "b"
    with pytest.raises(ConfigError, match="PACELINE_ENDPOINT or AWS_ENDPOINT_URL_DAX"):
        endpoint_from({})
    assert zone_from({"AWS_AVAILABILITY_ZONE": "b"}) == "b"
    assert zone_from({}) is None


# -- rosters -----------------------------------------------------------------------------------


def message(**more: object) -> discovery_pb2.Roster:
    return discovery_pb2.Roster(
        cluster_id="c",
        epoch=3,
        primary_id="n2",
        nodes=[
            discovery_pb2.Node(
                id=f"n{number}",
                number=number,
                zone=zone,
                health=health,
                draining=draining,
                addresses={"dax/default": f"10.0.0.{number}:8121", "grpc": f"10.0.0.{number}:8161"},
            )
            for number, zone, health, draining in (
                (1, "a", discovery_pb2.HEALTH_ALIVE, False),
                (2, "b", discovery_pb2.HEALTH_UNSPECIFIED, False),
                (3, "c", discovery_pb2.HEALTH_UNREACHABLE, False),
                (4, "a", discovery_pb2.HEALTH_ALIVE, True),
            )
        ],
    )


def test_a_roster_from_discovery() -> None:
    roster = of_message(message())
    assert roster.epoch == 3
    assert [(n.name, n.host, n.port, n.primary, n.usable) for n in roster.nodes] == [
        ("n1", "10.0.0.1", 8121, False, True),
        ("n2", "10.0.0.2", 8121, True, True),
        ("n3", "10.0.0.3", 8121, False, False),
        ("n4", "10.0.0.4", 8121, False, False),
    ]
    assert roster.nodes[0].grpc == "10.0.0.1:8161"


def test_with_tls_its_listeners_are_taken_and_no_others() -> None:
    said = message()
    with pytest.raises(ConfigError, match="no DAX listener with TLS"):
        of_message(said, tls=True)
    for node in said.nodes:
        node.addresses["dax-tls/tls"] = f"10.0.0.{node.number}:9121"
    roster = of_message(said, tls=True)
    assert [(n.host, n.port, n.grpc) for n in roster.nodes[:2]] == [
        ("10.0.0.1", 9121, None),
        ("10.0.0.2", 9121, None),
    ]
    for node in said.nodes:
        node.addresses["grpc-tls"] = f"10.0.0.{node.number}:9161"
    assert of_message(said, tls=True).nodes[0].grpc == "10.0.0.1:9161"
    assert of_message(said).nodes[0].grpc == "10.0.0.1:8161"


def test_several_listeners_need_a_name() -> None:
    said = message()
    for node in said.nodes:
        del node.addresses["dax/default"]
        node.addresses["dax/inside"] = "10.0.0.1:1"
        node.addresses["dax/outside"] = "10.0.0.1:2"
    with pytest.raises(ConfigError, match="inside, outside"):
        of_message(said)
    assert {node.port for node in of_message(said, "outside").nodes} == {2}


def test_a_roster_from_dax() -> None:
    roster = of_endpoints(
        [Endpoint(7, "n1", bytes([127, 0, 0, 1]), 8121, Role.LEADER, "a", 1)],
    )
    assert roster.nodes == (Node(7, "n1", "a", "127.0.0.1", 8121, True),)


def test_no_way_back_to_an_older_epoch() -> None:
    new, old = Roster((), 5, "c"), Roster((), 4, "c")
    assert new.replaces(old)
    assert not old.replaces(new)
    assert Roster((), 4, "another").replaces(new)
    assert Roster(()).replaces(new)


# -- routing -----------------------------------------------------------------------------------


def node(number: int, zone: str = "a", *, primary: bool = False, **more: object) -> Node:
    return Node(number, f"n{number}", zone, "127.0.0.1", 8120 + number, primary, **more)  # type: ignore[arg-type]


def router(*nodes: Node, zone: str | None = None, seed: int = 7) -> Router:
    made = Router(Random(seed).randrange, zone)
    made.update(Roster(nodes))
    return made


THREE = (node(1, "a"), node(2, "b", primary=True), node(3, "c"))


def test_reads_stay_in_the_zone_while_it_works() -> None:
    made = router(*THREE, zone="c")
    assert {made.pick(0.0, False).number for _ in range(50)} == {3}  # type: ignore[union-attr]
    made.finished(3, 0.0, None)
    assert {made.pick(0.0, False).number for _ in range(50)} == {1, 2}  # type: ignore[union-attr]
    found = made.pick(OPEN_FIRST_S, False)
    assert found is not None
    assert found.number == 3, "tried again when its breaker is half open"


def test_a_node_that_was_tried_is_not_tried_again() -> None:
    made = router(*THREE, zone="c")
    tried: set[int] = set()
    while (found := made.pick(0.0, False, tried)) is not None:
        tried.add(found.number)
    assert tried == {1, 2, 3}


def test_writes_go_to_the_primary_or_else_anywhere() -> None:
    made = router(*THREE, zone="a")
    assert made.pick(0.0, True).number == 2  # type: ignore[union-attr]
    assert made.pick(0.0, True, {2}).number == 1  # type: ignore[union-attr]
    made.finished(2, 0.0, None)
    assert made.pick(0.0, True).number == 1  # type: ignore[union-attr]


def test_load_and_latency_decide_between_two() -> None:
    made = router(*(node(number) for number in range(1, 5)))
    for number in range(1, 5):
        made.finished(number, 0.0, 0.001)
    for _ in range(200):
        made.finished(1, 0.0, 0.05)
    for _ in range(10):
        made.started(2, 0.0, 1.0)
    picked = [made.pick(0.0, False).number for _ in range(400)]  # type: ignore[union-attr]
    assert picked.count(1) + picked.count(2) < 100, "only when chance names just these two"
    assert min(picked.count(3), picked.count(4)) > 100


def test_who_was_slow_long_ago_is_tried_again() -> None:
    made = router(node(1), node(2))
    for number, latency_s in ((1, 5.0), (2, 0.001)):
        made.finished(number, 0.0, latency_s)
    assert {made.pick(0.1, False).number for _ in range(20)} == {2}  # type: ignore[union-attr]
    for step in range(1, 200):
        made.finished(2, step / 10, 0.001)
    assert {made.pick(20.0, False).number for _ in range(20)} == {1}  # type: ignore[union-attr]
    made.finished(1, 20.0, 0.001)
    assert made.nodes[1].latency_s < 0.001, "what was forgotten stays forgotten"


def test_a_node_that_answers_others_in_time_is_slow_and_not_hung() -> None:
    made = router(node(1), node(2))
    made.started(1, 1.0, 1.0)
    made.finished(1, 1.5, 0.001)
    made.started(1, 1.0, 1.0)
    made.timed_out(1, 2.0, 1.0)
    assert made.nodes[1].breaker.closed
    assert made.nodes[1].outstanding == 0
    made.started(1, 2.0, 1.0)
    made.timed_out(1, 3.0, 2.0)
    assert not made.nodes[1].breaker.closed


def test_unusable_nodes_are_the_last_resort() -> None:
    made = router(node(1, usable=False), node(2, usable=False))
    assert made.pick(0.0, False) is None
    asked = {made.last_resort(0.0, first=False) for _ in range(20)}
    assert asked == {state.node for state in made.nodes.values()}
    made.finished(1, 0.0, None)
    assert made.last_resort(0.1, first=False) == made.nodes[2].node
    made.finished(2, 0.1, None)
    assert made.last_resort(0.2, first=False) is None
    assert made.last_resort(0.2, first=True) == made.nodes[1].node
    assert made.last_resort(0.3, first=False) == made.nodes[1].node
    assert Router(lambda n: 0).last_resort(0.0, first=True) is None


def test_a_node_that_is_gone_or_moved_is_told() -> None:
    made = router(*THREE)
    moved = Node(1, "n1", "a", "127.0.0.1", 9999, False)
    assert {n.number for n in made.update(Roster((moved, THREE[1])))} == {1, 3}
    assert set(made.nodes) == {1, 2}
    assert made.update(Roster(())) == [], "an empty roster is no news"
    assert set(made.nodes) == {1, 2}


def test_a_restart_closes_the_breaker() -> None:
    made = router(node(1, incarnation="x"))
    made.finished(1, 0.0, None)
    made.update(Roster((node(1, incarnation="x"),)))
    assert made.pick(0.0, False) is None
    made.update(Roster((node(1, incarnation="y"),)))
    assert made.pick(0.0, False) is not None


# -- breaker and budget ------------------------------------------------------------------------


def test_a_breaker_opens_for_longer_each_time() -> None:
    breaker, now = Breaker(), 0.0
    opened = []
    for _ in range(6):
        breaker.failed(now)
        breaker.failed(now)  # another request that was under way
        opened.append(breaker.retry_at - now)
        assert not breaker.allows(now)
        now = breaker.retry_at
        assert breaker.allows(now)
    assert opened == [0.25, 0.5, 1.0, OPEN_MAX_S, OPEN_MAX_S, OPEN_MAX_S]
    breaker.probing(now, 1.0)
    assert not breaker.allows(now + 0.9), "one at a time"
    assert breaker.allows(now + 1.0), "its probe was never heard of again"
    breaker.succeeded()
    assert breaker.closed
    assert breaker.allows(now)


def test_a_bucket_gives_its_rate() -> None:
    bucket = TokenBucket(10.0, 5.0, 0.0)
    assert [bucket.take(1, 0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(1, 0.0) == pytest.approx(0.1)
    assert bucket.take(1, 0.1) == 0.0
    assert bucket.take(1, 0.1) > 0
    assert bucket.take(20, 10.0) == 0.0, "more than it ever holds: from a full bucket, on credit"
    assert bucket.take(1, 10.0) == pytest.approx(1.6)
    taken = sum(bucket.take(1, 20 + step / 100) == 0.0 for step in range(1000))
    assert 100 <= taken <= 106
    with pytest.raises(ValueError, match="budget"):
        TokenBucket(0.0, 1.0, 0.0)
