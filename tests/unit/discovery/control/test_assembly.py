"""Which address clients are told, and the file of subnets."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.settings import DiscoverySettings, Listener
from discovery.control.assembly import front_of
from discovery.control.subnets import read_subnets
from discovery.control.world import Front
from paceline.errors import ConfigError

PLAIN = Listener(name="default", bind="0.0.0.0:8111")
TLS = Listener(name="tls", bind="0.0.0.0:9111", tls=True)
BOUND = {"default": ("0.0.0.0", 8111), "tls": ("0.0.0.0", 9111)}


def front(*listeners: Listener, host: str = "", **bound: tuple[str, int]) -> Front:
    return front_of(DiscoverySettings(listeners=list(listeners)), BOUND | bound, host)


def test_where_every_address_is_bound_it_is_the_one_by_which_somebody_came() -> None:
    for host, told in (
        ("discovery:8113", "discovery"),
        ("discovery", "discovery"),
        ("[::1]:8113", "::1"),
        ("[::1]", "::1"),
        ("10.0.0.7:8113", "10.0.0.7"),
        ("", "127.0.0.1"),
    ):
        assert front(PLAIN, TLS, host=host) == Front(told, 8111, "default", False, False), host


def test_what_is_bound_or_advertised_goes_before_it() -> None:
    bound = {"default": ("127.0.0.1", 15111)}
    assert front(PLAIN, host="x:8113", **bound).host == "127.0.0.1"
    for advertise, told in (("dax.example", ("dax.example", 8111)), ("d:8000", ("d", 8000))):
        listener = PLAIN.model_copy(update={"advertise": advertise})
        found = front(listener, host="x:8113")
        assert (found.host, found.port) == told


def test_with_tls_alone_it_is_said_so() -> None:
    assert front(TLS, host="d:9113") == Front("d", 9111, "tls", True, True)


def test_a_file_of_subnets(tmp_path: Path) -> None:
    path = tmp_path / "subnets.json"
    assert read_subnets(None) is None
    path.write_text('{"subnet-1": "a"}')
    assert read_subnets(path) == {"subnet-1": "a"}
    for text in ("", "[]", '{"subnet-1": 1}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ConfigError, match="PACELINE_SUBNETS_FILE"):
            read_subnets(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_subnets(tmp_path / "none")
