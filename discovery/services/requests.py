"""A request and an answer, as services see them. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class ServiceRequest:
    """As it came: ``target`` is path and query of the request line; a header stands there as often
    as it came. ``id``: by which the answer names it. ``address``: where from; ``secure``: by
    TLS."""

    id: str
    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    address: str = ""
    secure: bool = False

    @cached_property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @cached_property
    def content_type(self) -> str:
        """Without parameters, in small letters; "" if there is none."""
        return self.header("content-type").partition(";")[0].strip().lower()

    def header(self, name: str) -> str:
        """The first of that name, which is given in small letters; "" if there is none."""
        wanted = name.encode()
        values = (value for key, value in self.headers if key.lower() == wanted)
        return next(values, b"").decode("latin-1")


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


class Service(Protocol):
    """One of AWS's."""

    @property
    def name(self) -> str:
        """As signatures name it."""

    @property
    def content_types(self) -> Collection[str]:
        """Of the bodies that it takes."""

    def takes(self, request: ServiceRequest) -> bool:
        """Whether a request that is not signed is for it."""

    def answer(self, request: ServiceRequest) -> ServiceAnswer | Awaitable[ServiceAnswer]:
        """At once, or within a deadline of its own. Whatever is wrong with the request is an
        answer, too."""
