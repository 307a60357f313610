"""What the audit log is told of a request whose caller is not known."""

from __future__ import annotations

import pytest

from cluster.access.signatures.refusals import THROTTLING
from discovery.services.auditing import event_of
from discovery.services.requests import ServiceRequest

REQUEST = ServiceRequest("r1", "POST", "/", (), b"", "10.1.2.3")


@pytest.mark.parametrize(
    ("reason", "signs", "decision"),
    [
        ("MissingAuthenticationTokenException", True, "unauthenticated"),
        (THROTTLING, True, "throttled"),
        ("ValidationError", False, "denied"),
        ("", False, "allowed"),
    ],
)
def test_nobody_in_particular(reason: str, signs: bool, decision: str) -> None:
    event = event_of(REQUEST, "cloudwatch:ListMetrics", "*", None, reason, signs=signs)
    assert (event.decision, event.reason, event.address) == (decision, reason, "10.1.2.3")
