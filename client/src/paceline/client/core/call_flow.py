"""The state of one client and the course of its calls, without I/O; both drivers, asyncio's and the
threads', carry it out.

A call is a generator: it yields a command, the driver executes that and sends back the outcome.
Whoever changes the routing holds ``lock``, since threads may share the client.
"""

import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from paceline.client.core.carried import Passthrough, needs_passthrough
from paceline.client.core.commands import (
    Broken,
    Command,
    Exchange,
    Refused,
    StepResult,
    is_validation_error,
    kind_of,
    normalize_raw_outcome,
)
from paceline.client.core.definitions import Definitions, MissingDefinition
from paceline.client.core.errors import Errors, PlainErrors
from paceline.client.core.legacy import modernize
from paceline.client.core.plain_get import PlainGet, PlainGetEncoder
from paceline.client.core.retry import (
    PATIENCE,
    Attempt,
    Call,
    FallbackReservation,
    GiveUp,
    Kind,
    NoAnswer,
    Timings,
)
from paceline.client.core.roster import Node, Roster
from paceline.client.core.routing import Router
from paceline.client.settings import DYNAMODB, HEDGE_SHARE_MAX, Counters, RequestEvent, Settings
from paceline.dax.connection import ErrorReply, Reply
from paceline.dax.request_types import RawRequest, Request, TransactWriteItems
from paceline.dynamodb_operations import CARRIED, TABLES, named_tables
from paceline.errors import DynamoDBError, ProtocolError, RequestError, ServiceError
from paceline.types import Params, Result

_LOG: Final = logging.getLogger("paceline.client")

KEY_MISMATCH: Final = frozenset({"ValidationException", "ResourceNotFoundException"})
"""Errors that a request gets, too, when its table was re-created with another key."""


class Core:
    """``name``: the endpoint as messages say it. ``passthrough``: None if the application makes
    only calls that the methods of DAX's protocol carry."""

    def __init__(
        self,
        name: str,
        router: Router,
        settings: Settings,
        clock: Callable[[], float],
        *,
        errors: Errors | None = None,
        passthrough: Passthrough | None = None,
        has_fallback: bool = False,
        fallback_writes: bool = False,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._errors = errors or PlainErrors()
        self._passthrough = passthrough
        self.name = name
        self.router = router
        self.settings = settings
        self.clock = clock
        self.definitions = Definitions()
        self.plain_get_encoder = PlainGetEncoder(self.definitions)
        self.counters = Counters()
        self.lock = lock or nullcontext()
        self._timings = Timings(settings.attempt_s, has_fallback, fallback_writes)
        self.started = False
        """True once there was a roster, or the wait for the first one ran out."""
        self.problem: str | None = None
        """Why there is no roster yet."""
        self.away = False
        """True after a call has asked DynamoDB itself, until a node answers again."""
        self.returned: Callable[[], None] = lambda: None
        """Called when a node answers again after that."""
        self.release: Callable[[FallbackReservation], None] = lambda reservation: None
        """Called when a call has ended that did not use its reservation."""

    # -- rosters ----------------------------------------------------------------------------

    def roster_failed(self, problem: str) -> None:
        """Keeps why one of the sources gave no roster, for messages."""
        self.problem = problem

    def follow(self, roster: Roster) -> list[Node]:
        """Gives the nodes whose connections are to be retired."""
        with self.lock:
            gone = self.router.update(roster)
        for node in gone:
            _LOG.info("node %s at %s:%d has left the roster", node.name, node.host, node.port)
        return gone

    # -- one call ---------------------------------------------------------------------------

    def begin(self, operation: str, params: Params, began: float, deadline_s: float) -> Call:
        """``params``: validated."""
        self.counters.requests += 1
        return self.call(
            kind_of(operation, params),
            began,
            began + deadline_s,
            raw=operation not in CARRIED,
        )

    def perform(
        self, operation: str, params: Params, call: Call, plain: PlainGet | None = None
    ) -> Generator[Command, StepResult, Result]:
        """The course of one call: yields commands, and is sent their outcomes.

        ``Exchange`` -> ``Reply``, ``ErrorReply`` or ``Broken``; ``Wait`` -> None;
        ``AskDynamoDB`` -> the result or ``Refused``. Raises what the application gets.
        """
        try:
            return (yield from self._perform(operation, params, call, plain))
        finally:
            if call.reservation.tokens:
                self.release(call.reservation)

    def _perform(
        self, operation: str, params: Params, call: Call, plain: PlainGet | None
    ) -> Generator[Command, StepResult, Result]:
        request: Request | PlainGet | None = plain
        wrong: RequestError | None = None
        said = params
        while True:
            definition: Request | None = None
            if request is None:
                try:
                    if needs_passthrough(operation, params):
                        request = self._passed_through(operation, params)
                    else:
                        said = modernize(operation, params)
                        request = self.definitions.encode(operation, said)
                except MissingDefinition as missing:
                    definition = missing.request
                except RequestError as error:
                    self.definitions.forget_tables(named_tables(operation, params))
                    if self._passthrough is None:
                        raise
                    wrong = error
                    request = self._passed_through(operation, params)
            asked = request if definition is None else definition
            assert asked is not None
            outcome = yield from self._step(call, asked, operation, definition is None)
            if type(outcome) is Reply:
                if definition is None:
                    break
                self.definitions.learn(definition, outcome.body)
                call.progress()
            elif type(outcome) is GiveUp:
                reworded = said is not params and self._passthrough is not None
                if reworded and wrong is None and is_validation_error(outcome.error):
                    # For DynamoDB's words about the parameters as the application has them.
                    said, request = params, self._passed_through(operation, params)
                    call.progress()
                    continue
                if outcome.error is not None and isinstance(request, TransactWriteItems):
                    yield from self._finish_error(outcome.error, request, call)
                if wrong is not None and type(outcome.error) is DynamoDBError:
                    raise wrong  # the node is too old to ask DynamoDB
                raise self.raised(outcome, operation, params, call)
            elif type(outcome) is dict:
                call.fell_back = True
                return outcome
        if type(request) is RawRequest:
            return self._raw_result(operation, params, outcome, call)
        return (yield from self.finish(operation, said, outcome, call, plain))

    def finish(
        self, operation: str, params: Params, reply: Reply, call: Call, plain: PlainGet | None
    ) -> Generator[Command, StepResult, Result]:
        """Decodes a reply into the result, after asking for the definitions that it needs."""
        while True:
            try:
                if plain is not None:
                    result = plain.decode(reply.body, self.definitions.names_of)
                    if result is not None:
                        return result
                return self.definitions.decode(operation, params, reply.body)
            except MissingDefinition as missing:
                yield from self._look_up(missing.request, operation, params, call)
            except ProtocolError as error:
                if call.kind is Kind.READ:
                    raise
                end = GiveUp(True, f"the node's answer cannot be read: {error}")
                raise self.raised(end, operation, params, call) from error

    def _passed_through(self, operation: str, params: Params) -> RawRequest:
        if self._passthrough is None:
            raise RequestError(
                "ValidationException",
                f"the DAX protocol has no place for {operation} with these parameters",
            )
        return self._passthrough.encode(operation, params)

    def _raw_result(self, operation: str, params: Params, reply: Reply, call: Call) -> Result:
        if operation in TABLES:
            self.definitions.forget_tables(named_tables(operation, params))
        assert self._passthrough is not None
        result = self._passthrough.decode(operation, reply.body)
        result["ResponseMetadata"]["RetryAttempts"] = max(0, call.attempts - 1)
        return result

    def _step(
        self, call: Call, request: Request | PlainGet, operation: str, handed_over: bool
    ) -> Generator[Command, StepResult, Reply | GiveUp | Result | None]:
        """Makes one step of a call; None if the call has to go on."""
        clock = self.clock
        now = clock()
        with self.lock:
            step = call.next_step(now)
            if type(step) is Attempt:
                self.router.started(step.node.number, now, step.timeout_s)
        if type(step) is not Attempt:
            if type(step) is GiveUp:
                return step
            outcome = yield step  # type: ignore[misc]
            if type(outcome) is Refused:
                self.counters.fallback_refused += 1
                call.fallback_refused(outcome.reason, outcome.wait_s, clock())
                return None
            return outcome if type(outcome) is dict else None
        if call.attempts > 1:
            self.counters.retries += 1
        hedged = call.kind is Kind.READ and type(request) is not RawRequest
        once = handed_over and call.kind is Kind.WRITE
        exchange = Exchange(
            step.node, request, step.timeout_s, hedged, call.until, call.latest, once
        )
        try:
            outcome = yield exchange
        except BaseException:
            self.withdrawn(step.node)
            raise
        node = step.node
        if exchange.winner is not None:
            self.withdrawn(node)
            node = exchange.winner
        assert isinstance(outcome, Reply | ErrorReply | Broken)
        if type(request) is RawRequest:
            assert self._passthrough is not None
            error_of = self._passthrough.error_of
            outcome = normalize_raw_outcome(operation, outcome, node, error_of)
        return self.record_outcome(call, node, outcome, now, handed_over)

    @property
    def attempt_s(self) -> float:
        """How long a plain read waits for a node, as ``Call`` computes it."""
        attempt_s = self.settings.attempt_s
        return PATIENCE * attempt_s if self.router.retries.spent else attempt_s

    def first_read(self, now: float) -> Node | None:
        """The node for a read's first attempt. The attempt is not recorded before
        ``attempt_started``."""
        return self.router.pick(now, False)

    def attempt_started(self, node: Node, now: float, timeout_s: float) -> None:
        self.counters.requests += 1
        with self.lock:
            self.router.started(node.number, now, timeout_s)

    def record_outcome(
        self,
        call: Call,
        node: Node,
        outcome: Reply | ErrorReply | Broken,
        began: float,
        handed_over: bool = True,
    ) -> Reply | GiveUp | None:
        """Records how an attempt ended, for the node and for the call; None if the call goes on."""
        now = self.clock()
        if type(outcome) is Reply:
            self._answered(call, node, began, now)
            return outcome
        if type(outcome) is ErrorReply:
            served_at = self.router.served_at
            self._answered(call, node, began, now)
            end = call.failed(outcome.error, now, handed_over=handed_over)
            if end is None:  # that was no service
                self.router.served_at = served_at
            return end
        assert isinstance(outcome, Broken)
        with self.lock:
            if outcome.busy:
                self.router.withdrawn(node.number)
            elif outcome.slow and call.kind is Kind.READ:
                self.router.timed_out(node.number, now, began)
            else:
                self.router.finished(node.number, now, None)
        how = outcome.how if handed_over else NoAnswer.NOT_HANDED_OVER
        return call.lost(how, str(outcome))

    def withdrawn(self, node: Node) -> None:
        """Forgets an attempt that was given up for reasons that say nothing about the node."""
        with self.lock:
            self.router.withdrawn(node.number)

    def _answered(self, call: Call, node: Node, began: float, now: float) -> None:
        call.node = node
        self.answered(node, began, now, call.kind is Kind.READ)

    def answered(self, node: Node, began: float, now: float, read: bool) -> None:
        router = self.router
        with self.lock:
            router.finished(node.number, now, now - began)
            router.served_at = now
        if read:
            if router.zone is None or node.zone == router.zone:
                self.counters.local_reads += 1
            else:
                self.counters.remote_reads += 1
        if self.away:
            self.away = False
            self.counters.returns += 1
            self.returned()

    def _finish_error(
        self, error: DynamoDBError, request: Request, call: Call
    ) -> Generator[Command, StepResult, None]:
        """Decodes what is still encoded in a cancelled transaction's reasons."""
        while True:
            try:
                return self.definitions.decode_reasons(error, request)
            except MissingDefinition as missing:
                yield from self._look_up(missing.request, "TransactWriteItems", {}, call)

    def _look_up(
        self, definition: Request, operation: str, params: Params, main: Call
    ) -> Generator[Command, StepResult, None]:
        """Asks for a definition that a reply, which has arrived already, needs to be decoded."""
        call = self.call(Kind.READ, self.clock(), main.until)
        call.close_fallback()
        while True:
            outcome = yield from self._step(call, definition, operation, False)
            if type(outcome) is Reply:
                try:
                    self.definitions.learn(definition, outcome.body)
                    return
                except ProtocolError as error:
                    outcome = GiveUp(False, f"the node's answer cannot be read: {error}")
            if type(outcome) is GiveUp:
                if main.kind is Kind.READ:
                    raise self.raised(outcome, operation, params, call)
                reason = f"it was answered, but not how: {outcome.reason}"
                raise self.raised(GiveUp(True, reason), operation, params, main)

    def call(self, kind: Kind, now: float, until: float, *, raw: bool = False) -> Call:
        """``raw``: the operation has no method in DAX's protocol."""
        return Call(kind, self.router, now, until, self._timings.of(kind, raw=raw))

    def hedge(self, first: Node, now: float) -> Node | None:
        """A second node for the same read; None if hedges are more than their share of requests.

        If the second node does not answer first, the driver calls ``withdrawn`` for it.
        """
        counters = self.counters
        if counters.hedges > HEDGE_SHARE_MAX * counters.requests + 1:
            return None
        with self.lock:
            node = self.router.pick(now, False, {first.number})
            if node is not None:
                self.router.started(node.number, now, self.settings.attempt_s)
        if node is not None:
            counters.hedges += 1
        return node

    # -- ends -------------------------------------------------------------------------------

    def raised(self, end: GiveUp, operation: str, params: Params, call: Call) -> Exception:
        """The exception for a call that was given up."""
        if end.unknown:
            self.counters.unknown_outcomes += 1
            return self._errors.outcome_unknown(
                f"the write may or may not have been made: {end.reason}; read the item to learn "
                "which",
                operation,
                call.attempts,
            )
        if end.error is not None:
            if end.error.name in KEY_MISMATCH:
                self.definitions.forget_tables(named_tables(operation, params))
            return self._errors.refused(end.error, operation, call.attempts)
        reason = end.reason
        if self.router.roster is None and self.problem is not None:
            reason = f"{reason} ({self.problem})"
        return self._errors.unavailable(self.name, reason)

    def for_application(self, error: BaseException, operation: str) -> BaseException:
        """The application's exception for an error that was found before any node answered."""
        if isinstance(error, ServiceError):
            found = DynamoDBError(error.name, error.message, error.status)
            return self._errors.refused(found, operation, 1)
        return error

    def failed(
        self, error: BaseException, operation: str, params: Params, call: Call, began: float
    ) -> BaseException:
        """The exception that the application gets for ``error``; it is reported, too."""
        raised = self.for_application(error, operation)
        self.report(operation, params, call, began, raised)
        return raised

    def report(
        self, operation: str, params: Params, call: Call, began: float, error: BaseException | None
    ) -> None:
        """Calls ``on_request``'s callbacks. Their exceptions are logged, not raised."""
        if not self.settings.on_request:
            return
        node = None if call.fell_back else call.node
        event = RequestEvent(
            operation,
            params,
            node.name if node is not None else (DYNAMODB if call.fell_back else None),
            node.zone if node is not None else None,
            call.attempts,
            began,
            self.clock() - began,
            error,
        )
        for callback in self.settings.on_request:
            try:
                callback(event)
            except Exception:
                _LOG.exception("an on_request callback failed")
