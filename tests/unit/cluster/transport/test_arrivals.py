"""Who gives way when too many messages take their time to arrive."""

from __future__ import annotations

from ipaddress import ip_network

from cluster.transport.arrivals import Arrivals


def test_the_oldest_gives_way_when_there_are_too_many() -> None:
    arrivals: Arrivals[str] = Arrivals(2, [ip_network("127.0.0.0/8")])
    assert arrivals.came("a", "127.0.0.1") is None
    assert arrivals.came("b", "127.0.0.1") is None
    assert arrivals.came("c", "127.0.0.1") == "a"
    assert len(arrivals) == 2
    arrivals.gone("b")
    assert arrivals.came("d", "127.0.0.1") is None


def test_one_address_has_half_of_the_places_and_takes_none_of_others() -> None:
    arrivals: Arrivals[str] = Arrivals(4, [])
    assert arrivals.came("other", "10.0.0.1") is None
    assert [arrivals.came(str(n), "10.0.0.2") for n in range(4)] == [None, None, "0", "1"]
    assert len(arrivals) == 3


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    arrivals: Arrivals[str] = Arrivals(2, [])
    assert arrivals.came("a", "fd00::1") is None
    assert arrivals.came("b", "fd00::2") == "a"


def test_who_is_gone_twice_does_no_harm() -> None:
    arrivals: Arrivals[str] = Arrivals(1, [])
    arrivals.came("a", "10.0.0.1")
    arrivals.gone("a")
    arrivals.gone("a")
    assert len(arrivals) == 0
