"""Spans, as those know them who work on a request. Pure.

A span is one piece of work with a beginning and an end. A request has one, and each attempt at
DynamoDB one below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol

from node.requests.counts import End

_NOTHING: Mapping[str, str] = {}


class Span(Protocol):
    """Of a request."""

    @property
    def trace(self) -> str:
        """What others are told, so that what they do for it is shown below it: W3C's
        traceparent."""

    def ended(
        self,
        label: tuple[str, str, str],
        end: End,
        *,
        cache: str,
        why: str,
        error: str,
        params: Mapping[str, Any] | None,
    ) -> None:
        """``label``: its operation, table and protocol. The rest as in the request log."""


class AttemptSpan(Protocol):
    def ended(self, how: str, error: str, status: int | None) -> None:
        """``how``: as ``upstream_seconds`` has it; ``error``: DynamoDB's name for it, or why there
        was no answer; ``status``: HTTP's. Neither where it went well."""


class Headers(Protocol):
    def __setitem__(self, name: str, value: str, /) -> None: ...


class Spans(Protocol):
    def begun(self, operation: str, trace: str) -> Span:
        """Of a request that begins now. ``trace``: what its caller says it is part of."""

    def hit(self, label: tuple[str, str, str], took_s: float, stands_for: int) -> None:
        """Of a hit that a front end has answered at once, a moment ago."""

    def attempt(self, operation: str) -> AbstractContextManager[AttemptSpan] | None:
        """Of an attempt at DynamoDB, to be entered where it begins; while it is, ``handed_on`` has
        what DynamoDB is told. None: it is done for nobody's request."""


span: ContextVar[Span | None] = ContextVar("span", default=None)
"""Of the request under way."""

handed_on: ContextVar[Mapping[str, str]] = ContextVar("handed_on", default=_NOTHING)
"""Headers of requests to DynamoDB, by their names."""


def trace_of_request() -> str:
    """What a member is told that does something for the request under way; empty: nothing."""
    current = span.get()
    return "" if current is None else current.trace


def hand_on(headers: Headers) -> None:
    """Adds ``handed_on`` to those of a request that is signed already: these are no part of it."""
    for name, value in handed_on.get().items():
        headers[name] = value


def header_lines() -> str:
    """``handed_on`` as a request's head has it, with lines' ends."""
    found = handed_on.get()
    return "".join(f"{name}: {value}\r\n" for name, value in found.items()) if found else ""
