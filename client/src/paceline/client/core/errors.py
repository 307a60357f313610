"""What the application is told when a call fails: the exceptions are those of its own library."""

from typing import Protocol

from paceline.errors import DynamoDBError, OutcomeUnknown, Unavailable


class Errors(Protocol):
    """Makes the exceptions; ``attempts``: how often nodes were asked."""

    def outcome_unknown(self, message: str, operation: str, attempts: int) -> Exception:
        """A write may or may not have been made."""
        ...

    def refused(self, error: DynamoDBError, operation: str, attempts: int) -> Exception:
        """DynamoDB answered with an error."""
        ...

    def unavailable(self, endpoint: str, reason: str) -> Exception:
        """No node answered, and nothing was changed."""
        ...


class PlainErrors:
    """``paceline.errors`` as they are, for who has no library's exceptions to keep to."""

    def outcome_unknown(self, message: str, operation: str, attempts: int) -> Exception:
        return OutcomeUnknown(message)

    def refused(self, error: DynamoDBError, operation: str, attempts: int) -> Exception:
        return error

    def unavailable(self, endpoint: str, reason: str) -> Exception:
        return Unavailable(f"no answer from {endpoint}: {reason}")
