"""How long caches keep things, as the control plane's records have it. Pure.

The record of the cluster names a parameter group, and that group's record has what was set in it:

    cluster              {"parameter_group": "short", ...}
    parameter-group/short  {"values": {"record-ttl-millis": "60000"}, ...}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLUSTER = "cluster"
"""The name of the cluster's own record."""

PARAMETER_GROUP = "parameter-group/"
"""In front of a parameter group's name."""

RECORD_TTL, QUERY_TTL = "record-ttl-millis", "query-ttl-millis"

TTL_MILLIS_MAX = 2**53
"""The longest: what every client's numbers can carry."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """In milliseconds. None: nothing was set, and each node goes by its own settings."""

    record_ttl_millis: int | None = None
    query_ttl_millis: int | None = None


def lifetimes_of(records: Mapping[str, bytes]) -> Lifetimes:
    """What cannot be read sets nothing."""
    group = _object(records.get(CLUSTER)).get("parameter_group")
    values = _object(records.get(f"{PARAMETER_GROUP}{group}")).get("values")
    if not isinstance(values, dict):
        return Lifetimes()
    return Lifetimes(millis_of(values.get(RECORD_TTL)), millis_of(values.get(QUERY_TTL)))


def millis_of(text: object) -> int | None:
    """None for what is no such number."""
    if not isinstance(text, str) or not text.isascii() or not text.isdigit():
        return None
    if len(text) > len(str(TTL_MILLIS_MAX)) or int(text) > TTL_MILLIS_MAX:
        return None
    return int(text)


def _object(record: bytes | None) -> Mapping[str, Any]:
    if record is None:
        return {}
    try:
        found = json.loads(record)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
