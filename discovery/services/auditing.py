"""A request to a service, as the audit log has it. Pure."""

from __future__ import annotations

from typing import Final

from cluster.access.audit import AuditEvent, Decision
from cluster.access.calling import Call
from cluster.access.signatures.refusals import THROTTLING
from discovery.services.callers import claimed_key_id
from discovery.services.requests import ServiceRequest

PROTOCOL: Final = "http"


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
    if call is None:
        if signs:
            decision = "throttled" if reason == THROTTLING else "unauthenticated"
        return AuditEvent(
            decision,
            PROTOCOL,
            action,
            reason,
            access_key_id=claimed_key_id(request),
            address=request.address,
            request_id=request.id,
        )
    return AuditEvent(
        decision,
        PROTOCOL,
        action,
        reason,
        action,
        resource,
        call.by.principal.arn,
        call.by.key.id,
        request.address,
        request.id,
    )
