import socket

import pytest

from cluster.roster.endpoints import AddressFamily
from cluster.settings import Listener
from cluster.transport.addresses import (
    AddressError,
    advertised_address,
    bind_failure,
    dialled,
    family_of,
    join_host_port,
    refuse_exposed,
    resolve_ip,
    split_host_port,
)
from paceline.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:8111", ("127.0.0.1", 8111)),
        ("[::1]:80", ("::1", 80)),
        ("node-1.example:0", ("node-1.example", 0)),
    ],
)
def test_split_and_join_are_inverse(text: str, parts: tuple[str, int]) -> None:
    assert split_host_port(text) == parts
    assert join_host_port(*parts) == text


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "::1:80", "h:-1", "h:65536", "h:٣"])
def test_malformed_addresses_are_named(text: str) -> None:
    with pytest.raises(AddressError, match="address"):
        split_host_port(text)


def test_family_of_mapped_address_is_ipv4() -> None:
    assert family_of("::ffff:127.0.0.1") is AddressFamily.IPV4
    assert family_of("fe80::1%eth0") is AddressFamily.IPV6
    assert family_of("10.1.2.3") is AddressFamily.IPV4


def test_dial_map_redirects_only_what_it_names() -> None:
    dial_map = {"10.0.0.1:8161": "127.0.0.1:9999"}
    assert dialled(dial_map, "10.0.0.1:8161") == "127.0.0.1:9999"
    assert dialled(dial_map, "10.0.0.2:8161") == "10.0.0.2:8161"


async def test_without_advertise_the_bound_address_is_told() -> None:
    listener = Listener(bind="127.0.0.1:0")
    assert await advertised_address(listener, ("127.0.0.1", 4321)) == "127.0.0.1:4321"


async def test_advertised_name_becomes_a_literal_and_takes_the_bound_port() -> None:
    listener = Listener(bind="0.0.0.0:0", advertise="localhost")
    address = await advertised_address(listener, ("0.0.0.0", 4321))
    assert address in ("127.0.0.1:4321", "[::1]:4321")


async def test_advertised_port_wins() -> None:
    listener = Listener(bind="0.0.0.0:8111", advertise="127.0.0.1:18111")
    assert await advertised_address(listener, ("0.0.0.0", 8111)) == "127.0.0.1:18111"


async def test_wildcard_needs_an_advertised_address() -> None:
    with pytest.raises(ConfigError, match="advertise"):
        await advertised_address(Listener(bind="0.0.0.0:8111"), ("0.0.0.0", 8111))


async def test_unresolvable_name_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("asyncio.BaseEventLoop.getaddrinfo", fail)
    with pytest.raises(ConfigError, match=r"nowhere\.invalid.*does not resolve"):
        await resolve_ip("nowhere.invalid", "DAX listener 'x'")


def test_exposed_bind_is_refused_with_a_way_out() -> None:
    with pytest.raises(
        ConfigError, match=r"PACELINE_GRPC_BIND = 0\.0\.0\.0:8161.*PACELINE_INSECURE"
    ):
        refuse_exposed({"PACELINE_GRPC_BIND": "0.0.0.0:8161"}, insecure=False)


def test_exposed_bind_is_allowed_when_insecure_or_protected() -> None:
    binds = {"a": "0.0.0.0:1", "b": "127.0.0.1:2", "c": "[::1]:3"}
    refuse_exposed(binds, insecure=True)
    refuse_exposed(binds, insecure=False, protected=["a"])
    with pytest.raises(ConfigError, match="a = "):
        refuse_exposed(binds, insecure=False, protected=["b"])
    refuse_exposed({"b": "127.0.0.1:2", "c": "[::1]:3"}, insecure=False)


def test_bind_failure_names_setting_and_cause() -> None:
    error = bind_failure("PACELINE_X", "127.0.0.1:1", OSError(98, "x"))
    assert "127.0.0.1:1 (PACELINE_X): address already in use" in str(error)
