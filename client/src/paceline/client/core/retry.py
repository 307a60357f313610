"""What a call does next after each attempt. Pure.

A read is repeated on another node until its deadline. A write is repeated only if it surely was
not made: it was never handed over, or the cluster says so (ThrottlingException). Otherwise its
outcome is unknown, and stays unknown, except for one that DynamoDB makes at most once under its
token (TransactWriteItems): that is repeated until the outcome is known.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from paceline.client.core.roster import Node
from paceline.client.core.routing import Router
from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError

PAUSE_FIRST_S: Final = 0.01
PAUSE_MAX_S: Final = 0.32
SILENCE_S: Final = 0.5
"""A cluster that has served anything within this time is slow, not away, so reads do not leave it
for DynamoDB. That would cost a client far more, and slow the nodes on a machine that they share."""
WRITE_LEFT_S: Final = 1.0
"""A write is not sent again when less time is left: its outcome would only become unknown."""
LOOK_S: Final = 0.25
"""A call that waits for its slot at DynamoDB looks so often whether a node is back."""
PATIENCE: Final = 4
"""When the retry budget is spent, a read waits for a node so many times as long as usual."""
UNKNOWN_TRIES_MAX: Final = 3
"""How often an idempotent write is tried whose outcome the cluster itself did not learn."""
FALLBACK_AFTER_S: Final = 1.5
"""With a fallback, a read that no node has answered for so long goes to DynamoDB."""
RAW_ATTEMPT_S: Final = 3.0
"""How long a node is given for a read that it passes on: operations on tables take their time."""
READ_ERRORS_MAX: Final = 8
"""How often a read is tried that nodes answer with internal errors: the fault is DynamoDB's
then."""

NOT_SENT: Final = "ThrottlingException"
"""The error by which a node says that nothing was done and that the request may be repeated."""
AGAIN: Final = frozenset({NOT_SENT, "TransactionInProgressException"})
DECISIVE: Final = frozenset(
    {"TransactionCanceledException", "IdempotentParameterMismatchException"}
)
"""Refusals of a repeated transaction that say that no attempt before it was made either: under its
token it would have been a success. Others, as of permissions, are about that repeat alone."""


class Kind(Enum):
    READ = auto()
    WRITE = auto()
    IDEMPOTENT = auto()
    """A write that carries a token under which DynamoDB makes it once."""


class NoAnswer(Enum):
    """How an attempt ended without an answer."""

    NOT_HANDED_OVER = auto()
    NO_REPLY = auto()


@dataclass(frozen=True, slots=True)
class Attempt:
    node: Node
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(slots=True)
class FallbackReservation:
    """A call's reserved slot in the budget for DynamoDB.

    The call may ask from ``at`` until ``until``. ``tokens``: what is reserved for it.
    """

    until: float
    at: float = 0.0
    tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class AskDynamoDB:
    """Ask DynamoDB itself, if the budget allows it: no node is left to ask."""

    reservation: FallbackReservation


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the call. ``unknown``: a write may have been made. ``error``: what the last node
    answered."""

    unknown: bool
    reason: str
    error: DynamoDBError | None = None


Step = Attempt | Wait | AskDynamoDB | GiveUp


@dataclass(frozen=True, slots=True)
class Timing:
    """``attempt_s``: how long a read waits for a node before it asks another.

    ``fallback_after_s``: after so long a read goes to DynamoDB even if some node was not asked yet;
    None without a fallback.
    """

    attempt_s: float = 1.0
    idempotent_attempt_s: float = 3.0
    fallback_after_s: float | None = None


class Timings:
    """The timing of a client's calls by their kind. Writes that DAX's protocol has no method for do
    not fall back."""

    def __init__(self, attempt_s: float, has_fallback: bool, fallback_writes: bool) -> None:
        reads_s = FALLBACK_AFTER_S if has_fallback else None
        writes_s = reads_s if fallback_writes else None
        self._read = Timing(attempt_s, fallback_after_s=reads_s)
        self._write = Timing(attempt_s, fallback_after_s=writes_s)
        self._raw_read = Timing(max(attempt_s, RAW_ATTEMPT_S), fallback_after_s=reads_s)
        self._raw_write = Timing(attempt_s)

    def of(self, kind: Kind, *, raw: bool) -> Timing:
        if kind is Kind.READ:
            return self._raw_read if raw else self._read
        return self._raw_write if raw else self._write


class Call:
    """One request on its way through the nodes to an answer. ``until``: its deadline."""

    def __init__(self, kind: Kind, router: Router, now: float, until: float, timing: Timing):
        self.kind = kind
        self.until = until
        self.begun = now
        self.attempts = 0
        self.unknown = False
        self._router = router
        self._timing = timing
        self._tried: set[int] = set()
        self._rounds = 0
        self._pause_until = 0.0
        self._errors = 0
        self.node: Node | None = None
        """The node that has answered last."""
        self.fell_back = False
        """True if DynamoDB itself answered."""
        self._fallback_closed = timing.fallback_after_s is None
        self._fallback_from = now + (timing.fallback_after_s or 0.0)
        self.reservation = FallbackReservation(until)
        self.latest = until
        """The request is not handed over later than this."""
        if kind is Kind.WRITE:
            self.latest -= min(WRITE_LEFT_S, (until - now) / 4)
        self._reason = "no node of the cluster is known"
        self._answer: DynamoDBError | None = None

    def next_step(self, now: float) -> Step:
        if now >= self.until:
            return self.give_up(f"no answer in {now - self.begun:.1f} s; last: {self._reason}")
        if self.attempts and now >= self.latest:
            return self.give_up(f"no time for another attempt; last: {self._reason}")
        if self._pause_until > now:
            return Wait(min(self._pause_until, self.until) - now)
        if self.attempts and now >= self._fallback_from and self._may_fall_back(now):
            return AskDynamoDB(self.reservation)
        node = self._router.pick(now, self.kind is not Kind.READ, self._tried)
        if node is not None:
            return self._attempt(node, now)
        # A write behind the cluster is for when it is surely away, not for a bad moment.
        if self._may_fall_back(now) and (self.kind is Kind.READ or now >= self._fallback_from):
            wait_s = self.reservation.at - now
            if wait_s <= 0:
                return AskDynamoDB(self.reservation)
            self._tried.clear()
            return Wait(min(wait_s, LOOK_S, self.until - now))
        if self._tried:
            self._tried.clear()
            return self._wait(now)
        node = self._router.last_resort(now, first=not self.attempts)
        return self._wait(now) if node is None else self._attempt(node, now)

    def _may_fall_back(self, now: float) -> bool:
        silent = now - self._router.served_at >= SILENCE_S
        return silent and not self._fallback_closed and not self.unknown

    def attempted(self, node: Node) -> None:
        """Records an attempt that was not made by way of ``next_step``."""
        self.attempts += 1
        self._tried.add(node.number)

    def _attempt(self, node: Node, now: float) -> Attempt:
        self.attempts += 1
        self._tried.add(node.number)
        left = self.until - now
        if self.kind is Kind.WRITE:
            return Attempt(node, left)
        if self.kind is Kind.IDEMPOTENT:
            return Attempt(node, min(left, self._timing.idempotent_attempt_s * 2**self._rounds))
        timeout_s = self._timing.attempt_s * 2**self._rounds
        if self._router.retries.spent:
            timeout_s = max(timeout_s, PATIENCE * self._timing.attempt_s)
        if self._may_fall_back(now):
            rest = self._fallback_from - now
            timeout_s = min(timeout_s, max(rest, self._timing.attempt_s / 4))
        return Attempt(node, min(left, timeout_s))

    def _wait(self, now: float) -> Wait:
        pause_s = min(PAUSE_FIRST_S * 2**self._rounds, PAUSE_MAX_S)
        self._rounds += 1
        self._pause_until = now + pause_s
        return Wait(min(pause_s, self.until - now))

    def lost(self, how: NoAnswer, reason: str) -> GiveUp | None:
        """Records an attempt without an answer. None if ``next_step`` decides what follows."""
        self._reason = reason
        self._answer = None
        if how is NoAnswer.NOT_HANDED_OVER or self.kind is Kind.READ:
            return None
        self.unknown = True
        if self.kind is Kind.WRITE:
            return self.give_up(reason)
        return None

    def progress(self) -> None:
        """Records that a question in front of the request was answered: the same node may be asked
        again."""
        self.attempts -= 1
        self._tried.clear()

    def failed(
        self, error: PacelineError, now: float, *, handed_over: bool = True
    ) -> GiveUp | None:
        """Records an error that a node answered. None if ``next_step`` decides what follows.

        ``handed_over``: False if the error is that of a question in front of the request.
        """
        read = self.kind is Kind.READ or not handed_over
        self._reason = str(error)
        if isinstance(error, DynamoDBError):
            self._answer = error
            if error.name in AGAIN:
                self._pause_until = now + min(PAUSE_FIRST_S * 2**self._errors, PAUSE_MAX_S)
                self._errors += 1
                return None
            if (error.status or 400) < 500:
                if error.name in DECISIVE:
                    self.unknown = False
                return self.give_up(self._reason)
            if read:
                self._errors += 1
                if self._errors >= READ_ERRORS_MAX:
                    return self.give_up(self._reason)
                self._pause_until = now + min(PAUSE_FIRST_S * 2**self._errors, PAUSE_MAX_S)
                return None
        elif not isinstance(error, OutcomeUnknown):
            return GiveUp(self.unknown or not read, self._reason)
        self._answer = None
        self._errors += 1
        self._pause_until = now + min(PAUSE_FIRST_S * 2**self._errors, PAUSE_MAX_S)
        if read:
            return None if self._errors < READ_ERRORS_MAX else self.give_up(self._reason)
        self.unknown = True
        if self.kind is Kind.WRITE or self._errors >= UNKNOWN_TRIES_MAX:
            return self.give_up(self._reason)
        return None

    def fallback_refused(self, reason: str, wait_s: float, now: float) -> None:
        """Records that the budget is spent, or that DynamoDB cannot be reached either."""
        self._reason = reason
        self.reservation.at = self._fallback_from = now + wait_s
        self._tried.clear()

    def close_fallback(self) -> None:
        self._fallback_closed = True

    def give_up(self, reason: str) -> GiveUp:
        return GiveUp(self.unknown, reason, None if self.unknown else self._answer)


def is_farewell(error: PacelineError) -> bool:
    """True if this may be a stopping node's farewell; it will not read another request on this
    connection. An overloaded node answers the same; then one more connection does no harm."""
    return isinstance(error, DynamoDBError) and error.name == NOT_SENT
