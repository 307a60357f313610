"""What the request log says of a request, and of which requests it says anything. Pure.

No part of an item is in it but the key of a request for one, for tables that are named for that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cluster.iso_times import millisecond_text
from node.requests.counts import End
from node.requests.draws import DRAWS

TEXT_MAX: Final = 256
"""Characters of each text: most are a client's."""
KEY_TEXT_MAX: Final = 2048


@dataclass(frozen=True, slots=True)
class Sampling:
    """``share``: of the requests that are neither slow nor a fault, from 0 to 1."""

    share: float = 1.0
    slow_s: float = 0.1

    def stands_for(self, took_s: float, end: End, drawn: int, times: int = 1) -> float | None:
        """How many requests a line about this one stands for; None: there is none. ``drawn``: from
        0 to ``DRAWS`` - 1; ``times``: how many it stands for already."""
        if took_s >= self.slow_s or end == "fault":
            return times
        if drawn >= self.share * DRAWS:
            return None
        return times if self.share >= 1 else times / self.share

    def is_slow(self, took_s: float) -> bool:
        return took_s >= self.slow_s


class Ended(NamedTuple):
    """One request that is over, as it waits to be told: ``bounded`` has cut what a client said.

    ``began_at``: seconds since the epoch. ``cache`` is empty of what has not been answered, and
    ``why`` of what has not passed the caches by. ``units``: the capacity that its answer tells.
    ``stands_for``: how many requests.
    """

    began_at: float
    took_s: float
    protocol: str
    operation: str
    table: str
    end: End
    cache: str = ""
    why: str = ""
    error: str = ""
    principal: str = ""
    address: str = ""
    trace: str = ""
    index_name: str = ""
    units: float | None = None
    key: Mapping[str, Any] | None = None
    is_slow: bool = False
    stands_for: float = 1


def bounded(text: str) -> str:
    """As much of a client's text as can be told, and one character more if it is longer."""
    return text[: TEXT_MAX + 1]


def record_of(ended: Ended) -> dict[str, Any]:
    """As JSON has it. What is not known is left out."""
    told: dict[str, Any] = {
        "time": millisecond_text(ended.began_at),
        "protocol": ended.protocol,
        "operation": ended.operation[:TEXT_MAX],
    }
    _add(told, "table", ended.table)
    _add(told, "index", ended.index_name)
    _add(told, "cache", ended.cache)
    _add(told, "why", ended.why)
    told["result"] = ended.end
    _add(told, "error", ended.error)
    told["latency_ms"] = round(1000 * ended.took_s, 3)
    if ended.is_slow:
        told["slow"] = True
    if ended.units is not None:
        told["capacity"] = ended.units
    for name in ("principal", "address", "trace"):
        _add(told, name, getattr(ended, name))
    if ended.key is not None:
        told["key"] = ended.key
    if ended.stands_for != 1:
        told["stands_for"] = round(ended.stands_for, 3)
    return told


def _add(told: dict[str, Any], name: str, text: str) -> None:
    if text:
        told[name] = text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}…"


def index_of(params: Mapping[str, Any] | None) -> str:
    name = None if params is None else params.get("IndexName")
    return name if isinstance(name, str) else ""


def units_of(result: Mapping[str, Any] | None) -> float | None:
    """The capacity that an answer tells, of all its tables; None: it tells none."""
    told = None if result is None else result.get("ConsumedCapacity")
    if told is None:
        return None
    if isinstance(told, Mapping):
        told = [told]
    if not isinstance(told, list):
        return None
    units = [one.get("CapacityUnits") for one in told if isinstance(one, Mapping)]
    known = [float(one) for one in units if isinstance(one, (int, float))]
    return sum(known) if known else None


def key_of(params: Mapping[str, Any] | None, tables: Collection[str]) -> Mapping[str, Any] | None:
    """The ``Key`` of a request that names one item of a table among ``tables``, if it is short;
    bytes in it as hexadecimal."""
    if not tables or params is None or params.get("TableName") not in tables:
        return None
    key = params.get("Key")
    if not isinstance(key, Mapping) or len(key) > 2:
        return None
    told: dict[str, dict[str, str]] = {}
    for name, value in key.items():
        if not isinstance(value, Mapping) or len(value) != 1:
            return None
        ((kind, part),) = value.items()
        text = part.hex() if isinstance(part, bytes) else part
        if not isinstance(text, str) or len(name) + len(text) > KEY_TEXT_MAX:
            return None
        told[name] = {kind: text}
    return told
