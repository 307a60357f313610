"""Decides which requests an HTTP server answers, by their ``Host`` and ``Origin``. Pure.

A browser lets any web page send requests to any address, and lets it read the answers of the host
that the page came from. Two things keep pages of strangers away from a server without passwords:

* ``Host``. A page of ``evil.example`` whose name server says 127.0.0.1 the second time it is asked
  (DNS rebinding) reads what this machine answers, as its own. It cannot choose the header: that
  names ``evil.example``. A literal address is in there only if the page's URL has it.
* ``Origin``. Browsers send it with whatever a page may send without asking first, unless page and
  server are of one origin and the method is GET or HEAD. Other clients do not send it.
"""

import ipaddress
import re
from collections.abc import Iterable

LOCALHOST = "localhost"
ANY_HOST = "*"

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)
_SCHEMES = ("http://", "https://")
PORT_MAX = 65535


def host_of(authority: str) -> str | None:
    """The host in ``HOST[:PORT]``, as ``Host`` and the tail of ``Origin`` give it: a name in small
    letters, or a literal address in its usual form, without brackets. None: it is neither."""
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        if not bracket or not _is_port(port):
            return None
        return _literal(host, version=6)
    host, colon, port = authority.partition(":")
    if not _is_port(colon + port):
        return None
    if _NAME.fullmatch(host) is None:
        return None
    return _literal(host, version=4) or host.removesuffix(".").lower()


def host_of_origin(origin: str) -> str | None:
    """The host of an ``Origin``; None for ``null`` (a page without one) and other schemes."""
    small = origin.lower()
    for scheme in _SCHEMES:
        if small.startswith(scheme):
            return host_of(small.removeprefix(scheme))
    return None


class HttpHosts:
    """The hosts that a server goes by. This machine's loopback names always are among them."""

    def __init__(self, names: Iterable[str] = (), *, any_address: bool = False) -> None:
        """``names``: ``HOST`` or ``HOST:PORT``, IPv6 addresses in brackets; ports do not matter;
        ``*`` is every host. ``any_address``: every literal address, for a server that others reach
        by addresses which it need not know (behind a bridge, a load balancer).

        ValueError for what names no host."""
        self._any_host = False
        self._any_address = any_address
        self._names = {LOCALHOST}
        for name in names:
            if name == ANY_HOST:
                self._any_host = True
                continue
            host = host_of(name)
            if host is None:
                raise ValueError(
                    f"{name!r} names no host: write a name, an address or HOST:PORT, IPv6 "
                    "addresses in brackets"
                )
            self._names.add(host)

    def knows(self, host: str) -> bool:
        """Whether ``host``, as ``host_of`` gives it, is one of this server's."""
        return self._any_host or self._is_named(host) or (self._any_address and _is_address(host))

    def refusal(self, host: str | None, origin: str | None = None) -> str | None:
        """Why a request with these two headers is not answered; None: it may be.

        A request without ``Host`` (HTTP/1.0) comes from no browser. A page is no stranger if its
        host is one of this server's, or the very one that it asks; ports do not matter."""
        asked = None
        if host is not None:
            asked = host_of(host)
            if asked is None:
                return "the Host header names no host"
            if not self.knows(asked):
                return f"this server does not go by the name {asked}"
        if origin is not None:
            page = host_of_origin(origin)
            if page is None or not (page == asked or self._is_named(page)):
                return "web pages of other hosts are not answered (see the Origin header)"
        return None

    def _is_named(self, host: str) -> bool:
        return host in self._names or is_loopback(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """True if only this machine reaches ``host``: a loopback address, also an IPv4 address written
    as one of IPv6. Of the names only ``localhost`` is trusted."""
    if host.lower() == LOCALHOST:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_port(text: str) -> bool:
    """True for ``:PORT``, or nothing; RFC 3986 allows the colon alone."""
    if text in ("", ":"):
        return True
    number = text.removeprefix(":")
    return (
        text.startswith(":") and _NUMBER.fullmatch(number) is not None and int(number) <= PORT_MAX
    )


def _literal(host: str, version: int) -> str | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version != version or (
        isinstance(address, ipaddress.IPv6Address) and address.scope_id
    ):
        return None
    return str(address)
