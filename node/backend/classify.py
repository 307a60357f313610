"""What an error answer says about the request: did it change anything, may it be repeated?

Sources: "Error handling with DynamoDB" in the DynamoDB developer guide and botocore's
``_retry.json``. Pure.
"""

from __future__ import annotations

from enum import Enum

HTTP_REQUEST_TIMEOUT = 408
HTTP_SERVER_ERROR = 500


class Verdict(Enum):
    """The meaning of an error answer."""

    REFUSED = "refused"
    """Certainly nothing changed; the same request would be refused again."""
    THROTTLED = "throttled"
    """Certainly nothing changed; the same request may succeed a little later."""
    IN_PROGRESS = "in progress"
    """A transaction with the same token is under way: its outcome is open."""
    FAILED = "failed"
    """A read may be repeated; a write may or may not have happened."""

    @property
    def unchanged(self) -> bool:
        return self in (Verdict.REFUSED, Verdict.THROTTLED)

    @property
    def repeat_read(self) -> bool:
        return self is not Verdict.REFUSED


THROTTLING = frozenset(
    {
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Not here, although SDKs know them: LimitExceededException (of control operations: a repeat
within a request's deadline does not help), TransactionConflictException and
TransactionCanceledException (the application's to handle: it must see the conflict)."""

SCHEMA_HINTS = (
    "does not match the schema",
    "Type mismatch for key",
    "Type mismatch for Index Key",
    "Missing the key",
    "Query condition missed key schema element",
)
"""Phrases of ValidationException for keys that do not fit the table: either the caller's mistake,
or the table was re-created with other keys."""


def verdict(name: str, status: int | None) -> Verdict:
    """``name``: DynamoDB's error name; ``status``: of the HTTP answer, None if unknown.

    An answer that DynamoDB may not have written itself (no error name, so that botocore puts
    the status in its place, or none at all) proves nothing about a write, whatever its status.
    """
    if status is None or status >= HTTP_SERVER_ERROR or status == HTTP_REQUEST_TIMEOUT:
        return Verdict.FAILED
    if name in THROTTLING:
        return Verdict.THROTTLED
    if name == "TransactionInProgressException":
        return Verdict.IN_PROGRESS
    if not name or name == "Unknown" or name.isdigit():
        return Verdict.FAILED
    return Verdict.REFUSED


def doubts_table(name: str, message: str) -> bool:
    """Whether the error may mean that the table is not the one whose schema is cached."""
    if name == "ResourceNotFoundException":
        return True
    return name == "ValidationException" and any(hint in message for hint in SCHEMA_HINTS)
