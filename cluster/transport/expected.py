"""Tracks connections that owe a whole request: their deadlines, and their number per address.
Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Generic, TypeVar

Network = IPv4Network | IPv6Network
T = TypeVar("T")

IPV6_PREFIX = 64
"""The bits that count of an IPv6 address: a provider gives each customer at least such a
network."""

_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class ExpectedLimits:
    """Seconds from the connection's beginning, ``request_s`` from a later request's.

    ``per_address_max``: newcomers of one address. ``exempt``: networks to which that does not
    apply, since many clients come from there: this machine, proxies.
    """

    first_byte_s: float = 10.0
    first_request_s: float = 30.0
    request_s: float = 60.0
    per_address_max: int = 256
    exempt: Sequence[Network] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(slots=True)
class _Debt:
    until: float
    since: float
    address: str
    """The address it counts for; empty if it completed a request before, or is exempt."""
    newcomer: bool


class Expected(Generic[T]):
    """A *newcomer* has never completed a request. Every newcomer is here, and everybody else of
    whose next request a part has come. Those who owe nothing may stay for ever."""

    def __init__(self, limits: ExpectedLimits) -> None:
        self._limits = limits
        self._debts: dict[T, _Debt] = {}
        """The connections that owe a request: newcomers in order of arrival, others anywhere."""
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._debts)

    def has_room(self, address: str) -> bool:
        """True if one more newcomer of ``address`` may come."""
        counted = counted_as(address, tuple(self._limits.exempt))
        return not counted or self._of_address[counted] < self._limits.per_address_max

    def came(self, who: T, address: str, now: float) -> None:
        counted = counted_as(address, tuple(self._limits.exempt))
        if counted:
            self._of_address[counted] += 1
        until = now + min(self._limits.first_byte_s, self._limits.first_request_s)
        self._debts[who] = _Debt(until, now, counted, newcomer=True)

    def spoke(self, who: T) -> None:
        """A newcomer has sent its first bytes; the rest of its request may follow."""
        debt = self._debts.get(who)
        if debt is not None and debt.newcomer:
            debt.until = debt.since + self._limits.first_request_s

    def began(self, who: T, now: float) -> None:
        """A part of a later request has come."""
        if who not in self._debts:
            self._debts[who] = _Debt(now + self._limits.request_s, now, "", newcomer=False)

    def excused(self, who: T, now: float) -> None:
        """This side is slow: the connection gets as much time again as a later request has."""
        debt = self._debts.get(who)
        if debt is not None:
            debt.until = now + self._limits.request_s

    def settled(self, who: T) -> None:
        """The connection owes nothing any more: its request is whole, or it is gone."""
        debt = self._debts.pop(who, None)
        if debt is None or not debt.address:
            return
        self._of_address[debt.address] -= 1
        if not self._of_address[debt.address]:
            del self._of_address[debt.address]

    def overdue(self, now: float) -> list[T]:
        return [who for who, debt in self._debts.items() if debt.until <= now]

    def oldest_newcomer(self) -> T | None:
        """The newcomer that makes room when there is none."""
        return next((who for who, debt in self._debts.items() if debt.newcomer), None)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parses addresses and networks. ValueError for anything else."""
    return tuple(ip_network(text, strict=False) for text in texts)


@lru_cache(_REMEMBERED)
def counted_as(address: str, exempt: tuple[Network, ...]) -> str:
    """The address or network that ``address`` counts for; empty if it is exempt."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in exempt):
        return ""
    if isinstance(found, IPv6Address):
        return str(ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)
