"""What an error answer says about the request: did it change anything, may it be repeated, and
after what pause?

Sources: "Error handling with DynamoDB" in the DynamoDB developer guide and botocore's
``_retry.json``. Pure, given its source of chance.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from paceline.dynamodb_operations import THROTTLING_ERRORS

if TYPE_CHECKING:
    import random

HTTP_REQUEST_TIMEOUT = 408
HTTP_SERVER_ERROR = 500

BASE_S = 0.025
"""The first pause: about two round trips to DynamoDB. SDKs start at 25 to 70 ms."""
CAP_S = 1.0
"""The longest pause. Throttled tables refill every second; longer pauses only add delay."""


class ErrorMeaning(Enum):
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
        return self in (ErrorMeaning.REFUSED, ErrorMeaning.THROTTLED)

    @property
    def repeat_read(self) -> bool:
        return self is not ErrorMeaning.REFUSED


THROTTLING = frozenset(
    {
        *THROTTLING_ERRORS,
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "TooManyRequestsException",
    }
)
"""Not here, although SDKs know them: LimitExceededException (of control operations: a repeat
within a request's deadline does not help), TransactionConflictException and
TransactionCanceledException (the application's to handle: it must see the conflict)."""


def meaning_of(name: str, status: int | None) -> ErrorMeaning:
    """Returns the meaning of an error. ``name``: DynamoDB's error name; ``status``: that of the
    HTTP answer, None if unknown.

    An answer that DynamoDB may not have written itself (it has no error name, or botocore put the
    status in its place) proves nothing about a write, whatever its status.
    """
    if status is None or status >= HTTP_SERVER_ERROR or status == HTTP_REQUEST_TIMEOUT:
        return ErrorMeaning.FAILED
    if name in THROTTLING:
        return ErrorMeaning.THROTTLED
    if name == "TransactionInProgressException":
        return ErrorMeaning.IN_PROGRESS
    if not name or name == "Unknown" or name.isdigit():
        return ErrorMeaning.FAILED
    return ErrorMeaning.REFUSED


class Backoff:
    """The pauses between the attempts of one request: exponential, with equal jitter."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ceiling = BASE_S

    def pause_s(self) -> float:
        """Returns the next pause: between half of the ceiling and the ceiling, which then
        doubles."""
        ceiling, self._ceiling = self._ceiling, min(self._ceiling * 2, CAP_S)
        return ceiling * (0.5 + 0.5 * self._rng.random())
