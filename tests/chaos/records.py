"""Operations of the checker from the calls of clients.

Every process records with ``time.monotonic``, which is one clock for all processes of a machine.
"""

from dataclasses import dataclass, field
from typing import Any

from paceline_local.testing.linearizability import Operation
from tests.chaos.workload import Call, Effect, Value

READS = "read"


@dataclass
class Tally:
    """What became of one load's calls, besides what is in the history."""

    reads: int = 0
    node_reads: int = 0
    """Answered to the readers of single nodes; not among ``reads``."""
    writes: int = 0
    """Acknowledged."""
    unknown: int = 0
    not_sent: int = 0
    read_failed: int = 0
    read_failures: list[str] = field(default_factory=list)
    """What the first of them said."""
    read_longest_s: float = 0.0
    last_write_begun: float = 0.0
    """Of those acknowledged."""
    surprises: list[str] = field(default_factory=list)
    """Errors that no fault explains."""


def succeeded(process: str, call: Call, result: Any, begun: float, ended: float) -> list[Operation]:
    return [
        _operation(process, effect, value, begun, ended) for effect, value in call.results(result)
    ]


def refused(process: str, call: Call, begun: float, ended: float) -> list[Operation]:
    """The condition of a comparison did not hold, which says something about the item."""
    (effect,) = call.effects
    return [
        Operation(
            process, "write_if", effect.key, (effect.expected, effect.value), False, begun, ended
        )
    ]


def unknown(process: str, call: Call, begun: float) -> list[Operation]:
    """A write of unknown outcome; a read of which nothing came is not worth recording."""
    if not call.writes:
        return []
    return [_operation(process, effect, None, begun, None) for effect in call.effects]


def failed(process: str, call: Call, begun: float, ended: float) -> list[Operation]:
    """A write that surely did not happen: its value must never be seen."""
    if not call.writes:
        return []
    return [_operation(process, effect, None, begun, ended, failed=True) for effect in call.effects]


def _operation(
    process: str,
    effect: Effect,
    value: Value,
    begun: float,
    ended: float | None,
    *,
    failed: bool = False,
) -> Operation:
    argument: Any = None
    result: Any = None
    known = ended is not None and not failed
    match effect.action:
        case "read":
            kind, result = READS, value
        case "write" if effect.value is None:
            kind = "delete"
        case "write":
            kind, argument = "write", effect.value
        case "compare":
            kind, argument = "write_if", (effect.expected, effect.value)
            result = True if known else None
        case "add":
            kind, argument = "add_and_get", 1
            result = value if known else None
    return Operation(process, kind, effect.key, argument, result, begun, ended, failed)
