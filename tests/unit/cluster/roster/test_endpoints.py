"""The roster's promises, on random clusters and as examples."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.log.view import ClusterView, Member
from cluster.roster.endpoints import AddressFamily, Health, Roster, parse_ip_port, session_id
from paceline.dax.responses import Endpoint, Role, endpoints_reply
from paceline.errors import PacelineError
from tests.support.rosters import whole_roster


def member(number: int, *, draining: bool = False, **addresses: str) -> Member:
    given_addresses = {name.replace("__", "/"): value for name, value in addresses.items()}
    return Member(
        id=f"node-{number}",
        zone="abc"[number % 3],
        incarnation=f"life-{number}",
        number=number,
        addresses=given_addresses or {"dax/default": f"127.0.0.1:{8120 + number}"},
        draining=draining,
    )


def view(*members: Member, primary: str | None = None) -> ClusterView:
    return ClusterView("c", tuple(members), epoch=1, primary=primary)


def listed(
    roster: Roster, listener: str = "default", family: AddressFamily = AddressFamily.IPV4
) -> list[str]:
    return [e.hostname for e in roster.endpoints(listener, family)]


def leader(roster: Roster) -> str:
    leaders = [e for e in roster.endpoints("default", AddressFamily.IPV4) if e.role is Role.LEADER]
    assert len(leaders) == 1
    return leaders[0].hostname


DOWN = Health.UNREACHABLE

_ADDRESSES = st.dictionaries(
    st.sampled_from(["dax/a", "dax/b", "dax-tls/a", "grpc"]),
    st.builds(
        lambda ip, port: f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}",
        st.ip_addresses(),
        st.integers(1, 65535),
    ),
)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[ClusterView, dict[str, Health]]:
    numbers = draw(st.lists(st.integers(1, 20), min_size=1, max_size=11, unique=True))
    members = tuple(
        Member(f"n{n}", "z", f"i{n}", n, draw(_ADDRESSES), draw(st.booleans())) for n in numbers
    )
    primary = draw(st.sampled_from([None, "gone", *(m.id for m in members)]))
    health = {m.id: draw(st.sampled_from(Health)) for m in members}
    return ClusterView("c", members, 3, primary), health


@given(clusters(), st.sampled_from(["a", "b", "c"]), st.sampled_from(AddressFamily), st.booleans())
def test_promises_hold_for_every_cluster(
    cluster: tuple[ClusterView, dict[str, Health]], listener: str, family: AddressFamily, tls: bool
) -> None:
    the_view, health = cluster
    endpoints = Roster(the_view, health).endpoints(listener, family, tls=tls)
    prefix = "dax-tls/" if tls else "dax/"
    scheme_members = [m for m in the_view.members if any(a.startswith(prefix) for a in m.addresses)]
    # Never empty where anybody has an address of the scheme.
    assert bool(endpoints) == bool(scheme_members)
    if not endpoints:
        return
    # Exactly one role 1.
    leaders = [e for e in endpoints if e.role is Role.LEADER]
    assert len(leaders) == 1
    ids = {e.hostname for e in endpoints}
    assert len(ids) == len(endpoints)
    # It is the holder if listed, else the lowest number.
    if the_view.primary in ids:
        assert leaders[0].hostname == the_view.primary
    else:
        assert leaders[0].node_id == min(e.node_id for e in endpoints)
    # Unreachable and draining nodes are only there when there is nothing better.
    down = {n for n in ids if health[n] is DOWN}
    assert not down or down == ids
    draining = {m.id for m in the_view.members if m.draining} & ids
    assert not draining or draining == ids
    # One listener for all where the name exists in the family; addresses are the members' own.
    exact = {
        m.id: parsed
        for m in the_view.members
        if (parsed := parse_ip_port(m.addresses.get(prefix + listener, "")))
        and len(parsed[0]) == family
    }
    for endpoint in endpoints:
        own = the_view.member(endpoint.hostname)
        assert own is not None
        address = (endpoint.address, endpoint.port)
        assert address in {
            parse_ip_port(a) for n, a in own.addresses.items() if n.startswith(prefix)
        }
        if exact:
            assert address == exact[endpoint.hostname]
    # The order is stable.
    assert [e.node_id for e in endpoints] == sorted(e.node_id for e in endpoints)


def test_holder_of_the_lease_leads() -> None:
    assert leader(Roster(view(member(1), member(2), primary="node-2"))) == "node-2"


def test_lowest_live_number_leads_when_the_holder_is_down() -> None:
    health = {"node-1": DOWN, "node-3": DOWN}
    roster = Roster(view(member(1), member(2), member(3), primary="node-3"), health)
    assert listed(roster) == ["node-2"]
    assert leader(roster) == "node-2"


def test_draining_holder_is_left_out() -> None:
    roster = Roster(view(member(1, draining=True), member(2), primary="node-1"))
    assert listed(roster) == ["node-2"]


def test_draining_node_stays_when_the_others_are_down() -> None:
    roster = Roster(view(member(1, draining=True), member(2)), {"node-2": DOWN})
    assert listed(roster) == ["node-1"]


def test_last_view_stands_when_all_probes_fail() -> None:
    the_view = view(member(1), member(2), primary="node-2")
    roster = Roster(the_view, {"node-1": DOWN, "node-2": DOWN})
    assert listed(roster) == ["node-1", "node-2"]
    assert leader(roster) == "node-2"


def test_addresses_are_those_of_the_listener() -> None:
    nodes = [
        member(n, dax__internal=f"10.0.0.{n}:8111", dax__external=f"127.0.0.1:{18120 + n}")
        for n in (1, 2)
    ]
    roster = Roster(view(*nodes))
    external = roster.endpoints("external", AddressFamily.IPV4)
    assert [(e.address, e.port) for e in external] == [
        (bytes([127, 0, 0, 1]), 18121),
        (bytes([127, 0, 0, 1]), 18122),
    ]
    assert [e.address[-1] for e in roster.endpoints("internal", AddressFamily.IPV4)] == [1, 2]


def test_node_without_the_listener_is_left_out_rather_than_mixed_in() -> None:
    roster = Roster(view(member(1, dax__external="127.0.0.1:1"), member(2, dax__b="10.0.0.2:1")))
    assert listed(roster, "external") == ["node-1"]


def test_family_is_the_queried_one() -> None:
    both = member(1, dax__v4="127.0.0.1:5", dax__v6="[::1]:6")
    roster = Roster(view(both))
    assert (
        roster.endpoints("v4", AddressFamily.IPV6)[0].address == ipaddress.ip_address("::1").packed
    )
    assert roster.endpoints("v4", AddressFamily.IPV4)[0].port == 5


def test_session_changes_with_the_incarnation_only() -> None:
    first = member(1)
    assert session_id(first) == session_id(member(1, draining=True))
    again = Member("node-1", "b", "another life", 1, first.addresses)
    assert session_id(first) != session_id(again)


def test_view_without_dax_addresses_lists_nobody() -> None:
    assert listed(Roster(view(member(1, grpc="127.0.0.1:9")))) == []


@pytest.mark.parametrize("text", ["", "1.2.3.4", "name:80", "1.2.3.4:0", "1.2.3.4:x", "::1"])
def test_addresses_that_are_not_literals_are_ignored(text: str) -> None:
    assert parse_ip_port(text) is None or text == "::1"


def test_reply_bytes() -> None:
    """The form that every official client decodes: docs/dax-protocol.md, worked example 1."""
    endpoint = Endpoint(1, "node1", bytes([127, 0, 0, 1]), 6575, Role.LEADER, "us-east-1a", 4242)
    assert endpoints_reply([endpoint]).hex() == (
        "8081a7000101656e6f64653102447f000001031919af0401056a75732d656173742d316106191092"
    )


@given(
    st.lists(
        st.builds(
            Endpoint,
            st.integers(1, 2**31),
            st.text(max_size=20),
            st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
            st.integers(1, 65535),
            st.sampled_from(Role),
            st.text(max_size=10),
            st.integers(0, 2**32 - 1),
        ),
        max_size=11,
    )
)
def test_replies_decode_to_what_was_encoded(endpoints: list[Endpoint]) -> None:
    assert whole_roster(endpoints_reply(endpoints)) == endpoints


def test_error_reply_is_not_a_roster() -> None:
    with pytest.raises(PacelineError):
        whole_roster(bytes.fromhex("8504182518261827182b60f6"))
