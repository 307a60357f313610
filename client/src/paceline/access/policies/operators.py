"""Condition operators: how one value of a request is compared with one of a policy. Pure.

A value of a request that is not of the operator's kind (no number, no date) is like none of the
policy's. A value of a policy that is not makes its document unreadable.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

from paceline.access.policies.arns import ArnPattern
from paceline.access.policies.context import Context, is_of_caller
from paceline.access.policies.problems import Wrong, shown
from paceline.access.policies.templates import Glob, Template, filled, keys_of, parse


class Value(Protocol):
    """One value of a policy, ready to be compared."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the variables in it."""

    @property
    def exact(self) -> str | None:
        """The one text that it is like, whatever the context is; None if that is no single text."""

    def matches(self, given: str, context: Context) -> bool: ...

    def settled(self, known: Context) -> Value:
        """With the values of its variables, if all of them are the caller's, as ``known`` has
        them."""


@dataclass(frozen=True, slots=True)
class Operator:
    """``read`` makes a value of a policy's text, which may have variables if the second argument
    says so; it raises Wrong. A negated operator holds where none of the values matches."""

    name: str
    read: Callable[[str, bool], Value]
    negated: bool = False


NUMERIC_CHARACTERS_MAX: Final = 64
"""No number that DynamoDB or a clock has is longer."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Text:
    """Of the operators String…: an exact text, or one with wildcards. ``template`` None is like
    nothing."""

    __slots__ = ("_fold", "_glob", "_template", "exact", "keys")

    def __init__(self, template: Template | None, *, fold: bool) -> None:
        self._template = template
        self._fold = fold
        self.keys = () if template is None else keys_of(template)
        self._glob = None if self.keys or template is None else self._made(template)
        plain = template is not None and all(isinstance(token, str) for token in template)
        self.exact = "".join(map(str, template or ())) if plain and not fold else None

    def _made(self, template: Template) -> Glob:
        if self._fold:
            template = tuple(t.lower() if isinstance(t, str) else t for t in template)
        return Glob(template)

    def _filled(self, context: Context) -> Template | None:
        return None if self._template is None else filled(self._template, context)

    def matches(self, given: str, context: Context) -> bool:
        glob = self._glob
        if glob is None:
            template = self._filled(context)
            if template is None:
                return False
            glob = self._made(template)
        return glob.matches(given.lower() if self._fold else given)

    def settled(self, known: Context) -> Value:
        if not self.keys or not all(map(is_of_caller, self.keys)):
            return self
        return _Text(self._filled(known), fold=self._fold)


class _Plain:
    """Of operators whose values have no variables."""

    __slots__ = ("_test",)

    keys: tuple[str, ...] = ()
    exact: str | None = None

    def __init__(self, test: Callable[[str], bool]) -> None:
        self._test = test

    def matches(self, given: str, context: Context) -> bool:
        return self._test(given)

    def settled(self, known: Context) -> Value:
        return self


def _equals(text: str, variables: bool) -> Value:
    return _Text(parse(text, variables=variables, wildcards=False), fold=False)


def _equals_folded(text: str, variables: bool) -> Value:
    return _Text(parse(text, variables=variables, wildcards=False), fold=True)


def _like(text: str, variables: bool) -> Value:
    return _Text(parse(text, variables=variables, wildcards=True), fold=False)


def _arn(text: str, variables: bool) -> Value:
    return ArnPattern.read(text, variables=variables)


def number_of(text: str) -> Decimal | None:
    if len(text) > NUMERIC_CHARACTERS_MAX or not _NUMBER.fullmatch(text):
        return None
    return Decimal(text)


def moment_of(text: str) -> Decimal | None:
    """Seconds since the epoch of an ISO 8601 date, or of such seconds themselves. Dates without an
    offset are UTC."""
    match = _DATE.fullmatch(text)
    if match is None:
        return number_of(text)
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    seconds = (moment - _EPOCH) // timedelta(seconds=1) - _offset_s(match.group(8) or "Z")
    return Decimal(seconds) + Decimal(match.group(7) or 0)


def _offset_s(zone: str) -> int:
    if zone == "Z":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def _compared(
    convert: Callable[[str], Decimal | None],
    holds: Callable[[Decimal, Decimal], bool],
    allowed: str,
) -> Callable[[str, bool], Value]:
    def read(text: str, variables: bool) -> Value:
        limit = convert(text)
        if limit is None:
            raise Wrong(f"{shown(text)} cannot be compared", allowed)

        def test(given: str) -> bool:
            value = convert(given)
            return value is not None and holds(value, limit)

        return _Plain(test)

    return read


def _truth(text: str, variables: bool) -> Value:
    wanted = text.lower()
    if wanted not in ("true", "false"):
        raise Wrong(f"{shown(text)} is neither true nor false", "the value is true or false")
    return _Plain(lambda given: given.lower() == wanted)


def _bytes_of(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _binary(text: str, variables: bool) -> Value:
    wanted = _bytes_of(text)
    if wanted is None:
        raise Wrong(f"{shown(text)} is no base64", "the value is base64")
    return _Plain(lambda given: _bytes_of(given) == wanted)


def _address(text: str, variables: bool) -> Value:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise Wrong(
            f"{shown(text)} is no range of addresses",
            "the value is an IPv4 or IPv6 address or a range, as in 203.0.113.0/24",
        ) from None
    return _Plain(lambda given: _is_in(given, network))


def _is_in(given: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(given)
    except ValueError:
        return False
    # A listener for both families sees IPv4 callers as addresses of IPv6.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address in network or (mapped is not None and mapped in network)


def _families() -> list[Operator]:
    number = "the value is a number"
    date = "the value is an ISO 8601 date, as in 2030-01-31T12:00:00Z, or seconds since 1970"
    comparisons: dict[str, Callable[[Decimal, Decimal], bool]] = {
        "Equals": lambda value, limit: value == limit,
        "LessThan": lambda value, limit: value < limit,
        "LessThanEquals": lambda value, limit: value <= limit,
        "GreaterThan": lambda value, limit: value > limit,
        "GreaterThanEquals": lambda value, limit: value >= limit,
    }
    made = [
        Operator("StringEquals", _equals),
        Operator("StringNotEquals", _equals, negated=True),
        Operator("StringEqualsIgnoreCase", _equals_folded),
        Operator("StringNotEqualsIgnoreCase", _equals_folded, negated=True),
        Operator("StringLike", _like),
        Operator("StringNotLike", _like, negated=True),
        Operator("Bool", _truth),
        Operator("BinaryEquals", _binary),
        Operator("IpAddress", _address),
        Operator("NotIpAddress", _address, negated=True),
        Operator("ArnEquals", _arn),
        Operator("ArnLike", _arn),
        Operator("ArnNotEquals", _arn, negated=True),
        Operator("ArnNotLike", _arn, negated=True),
    ]
    for family, convert, allowed in (
        ("Numeric", number_of, number),
        ("Date", moment_of, date),
    ):
        for name, holds in comparisons.items():
            made.append(Operator(family + name, _compared(convert, holds, allowed)))
        equals = _compared(convert, comparisons["Equals"], allowed)
        made.append(Operator(f"{family}NotEquals", equals, negated=True))
    return made


OPERATORS: Final = {operator.name: operator for operator in _families()}
NULL: Final = "Null"
"""It has no values to compare: it asks whether a key is there."""
