"""Addresses: to bind, to tell others, to dial."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Collection, Mapping

from cluster.roster.endpoints import AddressFamily
from cluster.settings import Listener
from paceline.errors import ConfigError
from paceline.http_hosts import is_loopback

RESOLVE_S = 5.0
"""How long a name server may take to answer for an advertised name."""


class AddressError(ConfigError):
    """Not ``host:port``."""


def split_host_port(address: str) -> tuple[str, int]:
    """``("::1", 80)`` of ``[::1]:80``; names and IPv4 addresses likewise. Port 0 is allowed."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f"address {address!r}: write IPv6 addresses as [ADDRESS]:PORT")
    if not colon or not host:
        raise AddressError(f"address {address!r} is not HOST:PORT")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise AddressError(f"address {address!r}: the port must be a number from 0 to 65535")
    return host, int(port)


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def family_of(host: str) -> AddressFamily:
    """Family of a literal address; IPv4 seen through an IPv6 socket (::ffff:1.2.3.4) is IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == 6 and address.ipv4_mapped is None:
        return AddressFamily.IPV6
    return AddressFamily.IPV4


def dialled(dial_map: Mapping[str, str], address: str) -> str:
    """Where to connect for ``address``: a proxy, if the dial map names one."""
    return dial_map.get(address, address)


async def advertised_address(listener: Listener, bound: tuple[str, int]) -> str:
    """What the log records for a DAX listener: ``IP:port``, since clients get raw address bytes.

    ``bound``: where the listener really listens. ``advertise`` may lack the port, then it is the
    bound one. ConfigError when a name does not resolve or there is nothing to advertise.
    """
    if not listener.advertise:
        if is_wildcard(bound[0]):
            raise ConfigError(
                f"DAX listener {listener.name!r} binds every address ({listener.bind}), so it must "
                "say which one clients shall connect to: set 'advertise' of the listener"
            )
        return join_host_port(*bound)
    text = listener.advertise
    try:
        host, port = split_host_port(text)
    except AddressError:
        host, port = text.removeprefix("[").removesuffix("]"), 0
    return join_host_port(
        await resolve_ip(host, f"DAX listener {listener.name!r}"), port or bound[1]
    )


async def resolve_ip(host: str, purpose: str) -> str:
    """A literal address of ``host``, IPv4 preferred (as DAX clients do)."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        raise ConfigError(
            f"{purpose}: the name {host!r} does not resolve ({error or 'no answer in time'}); "
            "advertise an IP address or a name that resolves here"
        ) from error
    addresses = [str(entry[4][0]) for entry in found]
    return next((a for a in addresses if ":" not in a), addresses[0])


def refuse_exposed(
    binds: Mapping[str, str], *, insecure: bool, protected: Collection[str] = ()
) -> None:
    """Protected mode: ConfigError if an address reaches beyond this machine without protection.

    ``binds``: setting to the ``host:port`` it says. ``protected``: those with TLS, where clients
    have to sign.
    """
    for setting, address in binds.items():
        host, _ = split_host_port(address)
        if not (is_loopback(host) or insecure or setting in protected):
            raise ConfigError(
                f"{setting} = {address} can be reached from other machines, and either has no TLS "
                "or lets everybody in: bind a loopback address (127.0.0.1); for clients, set up "
                "TLS there and PACELINE_ACCESS__AUTHENTICATION=sigv4; or accept the risk in a "
                "network of your own with PACELINE_INSECURE=true"
            )


def not_bound(setting: str, address: str) -> ConfigError:
    """As ``bind_failure``, of gRPC, which does not say why."""
    return ConfigError(
        f"cannot listen on {address} ({setting}): the address is in use or not of this machine; "
        f"stop the program that uses it or change {setting}"
    )


def bind_failure(setting: str, address: str, error: OSError) -> ConfigError:
    """What to tell the operator when a socket cannot be bound."""
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return ConfigError(
        f"cannot listen on {address} ({setting}): {reason}; stop the program that uses it "
        f"or change {setting}"
    )
