"""A client's settings, its counters, and the events that callbacks get. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

READ_DEADLINE_S: Final = 10.0
WRITE_DEADLINE_S: Final = 15.0
"""A node holds a write for at most 10 s while there is no primary; its own answer is better."""
CONNECT_S: Final = 0.5
CONNECTIONS_MAX: Final = 64
"""Per node. Each carries one request; beyond, requests wait for a free one. 64 keep a node of one
core busy."""
POLL_S: Final = 1.0
IDLE_S: Final = 60.0
"""Connections that are idle for longer are closed."""
HEDGE_SHARE_MAX: Final = 0.1
"""The share of a client's reads that may be hedged, so that hedging cannot double a high load."""

DYNAMODB: Final = "dynamodb"
"""Takes the place of a node's name if DynamoDB itself answered."""


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One finished call, for ``on_request``.

    ``node``: the one that answered, ``"dynamodb"`` for a fallback, None without an answer.
    ``error``: the exception that the caller gets. ``started_s`` is of ``paceline.clock``.
    """

    operation: str
    params: Mapping[str, Any]
    node: str | None
    zone: str | None
    attempts: int
    started_s: float
    duration_s: float
    error: BaseException | None


OnRequest = Callable[[RequestEvent], None]


@dataclass(slots=True)
class Counters:
    """What a client has done so far; ``stats()`` gives them as a dictionary."""

    requests: int = 0
    retries: int = 0
    hedges: int = 0
    unknown_outcomes: int = 0
    fallback_reads: int = 0
    fallback_writes: int = 0
    fallback_refused: int = 0
    """Not asked of DynamoDB because the budget was spent."""
    returns: int = 0
    """Times that the cluster answered again after a fallback."""
    local_reads: int = 0
    """Reads that a node of the client's zone answered."""
    remote_reads: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    read_deadline_s: float = READ_DEADLINE_S
    write_deadline_s: float = WRITE_DEADLINE_S
    attempt_s: float = 1.0
    connect_s: float = CONNECT_S
    connections_max: int = CONNECTIONS_MAX
    poll_s: float = POLL_S
    hedge_after_s: float | None = None
    on_request: tuple[OnRequest, ...] = field(default=())
