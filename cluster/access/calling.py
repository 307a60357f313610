"""Who makes the request under way.

A front end sets it in the task that serves a request, once the signature is verified; what decides
about rights reads it there, below all front ends. It is not set where nobody has to sign, nor for
the cluster's own work.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

from cluster.access.audit import AuditEvent, Decision
from cluster.access.signatures.verification import Verified
from cluster.iso_times import second_text
from paceline.access.policies.context import Context, context_of


class Call(NamedTuple):
    """``address``: where from. ``secure``: by TLS. ``agent``: what the client calls itself.
    ``protocol``, ``request_id``: for the audit log, as there."""

    by: Verified
    address: str = ""
    secure: bool = False
    agent: str = ""
    protocol: str = ""
    request_id: str = ""


call: ContextVar[Call | None] = ContextVar("call", default=None)


def event_of(
    by: Call, decision: Decision, operation: str, reason: str, action: str, resource: str
) -> AuditEvent:
    """What the audit log is told of a decision about a request. ``reason``: the error's name, empty
    if it is allowed."""
    return AuditEvent(
        decision,
        by.protocol,
        operation,
        reason,
        action,
        resource,
        by.by.principal.arn,
        by.by.key.id,
        by.address,
        by.request_id,
    )


def around(by: Call, now: float) -> Context:
    """What policies may ask of any request. ``now``: seconds since the epoch."""
    told = {
        "aws:SecureTransport": "true" if by.secure else "false",
        "aws:CurrentTime": second_text(now),
        "aws:EpochTime": str(int(now)),
    }
    if by.address:
        told["aws:SourceIp"] = by.address
    if by.agent:
        told["aws:UserAgent"] = by.agent
    return context_of(told)
