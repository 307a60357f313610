"""The commands that a call gives to its driver, and the outcomes that it is sent. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from paceline.client.core.carried import is_unknown_method, too_old
from paceline.client.core.plain_get import PlainGet
from paceline.client.core.retry import AskDynamoDB, Kind, NoAnswer, Wait
from paceline.client.core.roster import Node
from paceline.dax.connection import ErrorReply, Reply
from paceline.dax.request_types import Request
from paceline.dynamodb_operations import only_reads
from paceline.errors import DynamoDBError, PacelineError, ProtocolError
from paceline.types import Params, Result


class Broken(PacelineError):
    """An attempt ended without an answer; ``how`` says what that means for a write.

    ``busy``: all connections to the node were in use, so it says nothing about the node. ``slow``:
    the node has the request, and the time for an answer ran out.
    """

    def __init__(
        self, how: NoAnswer, reason: str, *, busy: bool = False, slow: bool = False
    ) -> None:
        super().__init__(reason)
        self.how = how
        self.busy = busy
        self.slow = slow


@dataclass(frozen=True, slots=True)
class Refused:
    """DynamoDB was not asked, since the budget is spent, or it could not be reached. ``wait_s``:
    the call may try again after that."""

    reason: str
    wait_s: float


@dataclass(slots=True)
class Exchange:
    """Send the request to the node and wait for its reply. ``read``: it may be hedged.

    ``timeout_s``: for the reply, and for the wait for a connection; ``until``: the end of the call;
    ``latest``: the request is not sent after that. ``once``: the request must not be sent twice, so
    the driver sends it only on a connection on which the node has answered before. ``winner``: set
    by the driver if a hedge's node answered first.
    """

    node: Node
    request: Request | PlainGet
    timeout_s: float
    read: bool
    until: float = float("inf")
    latest: float = float("inf")
    once: bool = False
    winner: Node | None = None

    def left_s(self, now: float) -> float:
        """The time for the reply, once there is a connection; ``Broken`` if it is too late to
        send."""
        if now >= self.latest:
            raise Broken(NoAnswer.NOT_HANDED_OVER, "no connection in time", busy=True)
        return min(self.timeout_s, self.until - now)


Command = Exchange | Wait | AskDynamoDB
StepResult = Reply | ErrorReply | Broken | Result | Refused | None


def kind_of(operation: str, params: Params) -> Kind:
    if only_reads(operation, params):
        return Kind.READ
    # Its token makes DynamoDB do it once, however often it is sent.
    return Kind.IDEMPOTENT if operation == "TransactWriteItems" else Kind.WRITE


def is_validation_error(error: DynamoDBError | None) -> bool:
    """DynamoDB rejected the request as malformed, so it had no effect."""
    return error is not None and error.name == "ValidationException"


def normalize_raw_outcome(
    operation: str,
    outcome: Reply | ErrorReply | Broken,
    node: Node,
    error_of: Callable[[bytes], PacelineError | None],
) -> Reply | ErrorReply | Broken:
    """The outcome, as an ``ErrorReply`` where a raw reply holds an error, or where a node says that
    it does not know raw requests. ``error_of`` finds the error in a raw reply's body."""
    if type(outcome) is ErrorReply and is_unknown_method(outcome.error):
        return ErrorReply(outcome.request, too_old(operation, node.name))
    if type(outcome) is Reply:
        try:
            error = error_of(outcome.body)
        except ProtocolError as broken:
            return Broken(NoAnswer.NO_REPLY, f"the node's bytes make no sense: {broken}")
        if error is not None:
            return ErrorReply(outcome.request, error)
    return outcome
