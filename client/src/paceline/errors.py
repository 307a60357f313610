"""The error tree: whose fault it is, and what the caller may conclude.

* ``RequestError``    the caller's: nothing was done; the same request fails again.
* ``DynamoDBError``   DynamoDB's answer, passed on unchanged; nothing was changed.
* ``NotSent``         a write that surely never left the cluster; it may be repeated.
* ``OutcomeUnknown``  a write that may or may not have happened. Never reported as either.
* ``Unavailable``     a read or an internal step that could not be done now; it may be repeated.
* ``ProtocolError``   a peer's bytes that no parser can make sense of; the connection is closed.
* ``ConfigError``     settings or an environment that cannot work; says what to change.
"""

from typing import Any

from paceline.types import Item


class PacelineError(Exception):
    """Root of every error that this project raises on purpose."""


class ServiceError(PacelineError):
    """An error with DynamoDB's shape: a name, a message and an HTTP status."""

    def __init__(self, name: str, message: str, status: int | None = 400) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.status = status


class RequestError(ServiceError):
    """The request itself is wrong (ValidationException and its kin), found without DynamoDB."""


class DynamoDBError(ServiceError):
    """DynamoDB's own error answer.

    ``reasons``: for TransactionCanceledException, DynamoDB's ``CancellationReasons`` (dicts with
    ``Code`` and optionally ``Message`` and ``Item``), in the order of the transaction's items.
    ``item``: the item that DynamoDB returned with a failed condition
    (``ReturnValuesOnConditionCheckFailure``), else None.
    ``body``: DynamoDB's answer as it came, for those who speak DynamoDB's own protocol.
    """

    def __init__(
        self,
        name: str,
        message: str,
        status: int | None = 400,
        *,
        request_id: str | None = None,
        reasons: list[dict[str, Any]] | None = None,
        item: Item | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(name, message, status)
        self.request_id = request_id
        self.reasons = reasons
        self.item = item
        self.body = body


class NotSent(PacelineError):
    """A write that certainly changed nothing because it never left the cluster."""


class OutcomeUnknown(PacelineError):
    """A write that may or may not have happened."""


class Unavailable(PacelineError):
    """Not possible right now, and nothing was changed: try again."""


class ProtocolError(PacelineError):
    """Bytes from a peer that break the protocol."""


class ConfigError(PacelineError):
    """Settings, ports, files or an environment that cannot work. The message says what to do."""
