"""A request to a service, as the audit log has it. Pure."""

from __future__ import annotations

from dataclasses import replace

from cluster.access import calling
from cluster.access.audit import AuditEvent, Decision, of_stranger
from cluster.access.calling import Call
from discovery.services.callers import PROTOCOL, claimed_key_id
from discovery.services.requests import ServiceRequest


def event_of(
    request: ServiceRequest,
    action: str,
    resource: str,
    call: Call | None,
    reason: str = "",
    *,
    signs: bool = True,
) -> AuditEvent:
    """``reason``: the error's name; empty if it was allowed. ``call`` None: who it is was not known
    by then, or nobody has to say, if not ``signs``."""
    decision: Decision = "denied" if reason else "allowed"
    if call is not None:
        return calling.event_of(call, decision, action, reason, action, resource)
    stranger = of_stranger(
        PROTOCOL,
        action,
        reason,
        access_key_id=claimed_key_id(request),
        address=request.address,
        request_id=request.id,
    )
    return stranger if signs else replace(stranger, decision=decision)
