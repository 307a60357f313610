"""What the audit log says of a decision: who, what, where from, and why not. Pure.

Never an item, a key of one, a secret or a signature.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Final, Literal

from cluster.access.signatures.refusals import THROTTLING
from cluster.iso_times import millisecond_text

TEXT_MAX: Final = 256
"""Bytes of each text as it is in the line, escaped: some are a stranger's."""
RESOURCE_MAX: Final = 2048
"""The same of a resource. An ARN of a table's index has 600 at most."""

Decision = Literal["allowed", "denied", "unauthenticated", "throttled", "failed"]
"""``unauthenticated``: who calls is not known. ``throttled``: too many requests, or guesses.
``failed``: an operator's command that was let in, and is not known to be done."""

_CREDENTIAL = re.compile(r"Credential=([^/,\s%&]{1,128})/")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """``protocol``: dax, http, grpc or admin. ``reason``: the error's name. ``principal``: its ARN;
    ``access_key_id``: also one that was only claimed. ``request_id``: the client's own."""

    decision: Decision
    protocol: str
    operation: str = ""
    reason: str = ""
    action: str = ""
    resource: str = ""
    principal: str = ""
    access_key_id: str = ""
    address: str = ""
    request_id: str = ""


_TEXTS: Final = tuple(each.name for each in fields(AuditEvent))

Tell = Callable[[AuditEvent], None]
"""Takes an event, at once and without fail."""


def of_stranger(
    protocol: str,
    operation: str,
    reason: str,
    *,
    access_key_id: str,
    address: str,
    principal: str = "",
    request_id: str = "",
) -> AuditEvent:
    """A refusal before it was known who asks, or because that is not known any more."""
    return AuditEvent(
        "throttled" if reason == THROTTLING else "unauthenticated",
        protocol,
        operation,
        reason,
        principal=principal,
        access_key_id=access_key_id,
        address=address,
        request_id=request_id,
    )


def line_of(event: AuditEvent, at: float, around: Mapping[str, str]) -> bytes:
    """One line of JSON with its end. ``at``: seconds since the epoch; ``around``: what is the same
    in all lines. What is not known is left out."""
    told = {"time": millisecond_text(at), "log": "audit", **around}
    for name, text in asdict(event).items():
        if text:
            told[name] = _cut(text, _most(name))
    return _line(told)


def cut(event: AuditEvent) -> AuditEvent:
    """The event with no more of its texts than a line may have: so it can wait to be written."""
    long = {
        name: text[: _most(name) + 1]
        for name in _TEXTS
        if len(text := getattr(event, name)) > TEXT_MAX
    }
    return replace(event, **long) if long else event


def lost_line(lost: Mapping[str, int], at: float, around: Mapping[str, str]) -> bytes:
    """Says that lines are missing here. ``lost``: how many, by why."""
    told = {"time": millisecond_text(at), "log": "audit", **around, "lost": dict(lost)}
    return _line(told)


def claimed_key_id(authorization: str) -> str:
    """The access key that a header or query says it is signed with; "": none."""
    found = _CREDENTIAL.search(authorization[:4096])
    return found[1] if found else ""


def _most(name: str) -> int:
    return RESOURCE_MAX if name == "resource" else TEXT_MAX


def _cut(text: str, most: int) -> str:
    """As much of ``text`` from its beginning as has ``most`` bytes in JSON, and a sign that there
    was more."""
    if len(text) <= most and _json_bytes(text) <= most:
        return text
    lengths = range(min(len(text), most) + 1)
    length = bisect_right(lengths, most, key=lambda each: _json_bytes(text[:each])) - 1
    return f"{text[:length]}…"


def _json_bytes(text: str) -> int:
    return len(json.dumps(text)) - len('""')


def _line(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"
