"""What both drivers of the SDK, asyncio and blocking, decide by: one client's state, without I/O.

A call is a generator that says what to do next and is told what came of it, so that both drivers
are a few lines. What changes the routing holds ``lock``, a real one for the client that threads
share.
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
    Outcome,
    Refused,
    is_validation_error,
    kind_of,
    normalize_raw_outcome,
)
from paceline.client.core.definitions import Knowledge, Missing
from paceline.client.core.errors import Errors, PlainErrors
from paceline.client.core.legacy import modernize
from paceline.client.core.plain_get import PlainGet, PlainGets
from paceline.client.core.retry import PATIENCE, Attempt, Call, GiveUp, Kind, Lost, Timings, Turn
from paceline.client.core.roster import Node, Roster
from paceline.client.core.routing import Router
from paceline.client.settings import DYNAMODB, HEDGE_SHARE_MAX, Counters, RequestEvent, Settings
from paceline.dax.connection import Failure, Reply
from paceline.dax.errors import decode_reasons
from paceline.dax.request_types import RawRequest, Request, TransactWriteItems
from paceline.dax.translate_params import to_request
from paceline.dax.translate_results import decode_result
from paceline.dynamodb_operations import CARRIED, TABLES, named_tables
from paceline.errors import DynamoDBError, RequestError, ServiceError
from paceline.types import Params, Result

_LOG: Final = logging.getLogger("paceline.client")

KEY_MISMATCH: Final = frozenset({"ValidationException", "ResourceNotFoundException"})
"""Errors by which a table may show that it was made anew with another key."""


class Core:
    """``name``: of the endpoint, for messages. ``passthrough``: None if the application asks for
    nothing but what the methods of DAX's protocol carry."""

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
        self.knowledge = Knowledge()
        self.plain_gets = PlainGets(self.knowledge)
        self.counters = Counters()
        self.lock = lock or nullcontext()
        self._timings = Timings(settings.attempt_s, has_fallback, fallback_writes)
        self.started = False
        """Whether the first roster came, or was waited for in vain."""
        self.problem: str | None = None
        """Why there is no roster yet."""
        self.away = False
        """Whether DynamoDB was asked instead of the cluster, and the cluster not since."""
        self.returned: Callable[[], None] = lambda: None
        """Called when a node answers after that."""
        self.unneeded: Callable[[Turn], None] = lambda turn: None
        """Called when a call with a turn at DynamoDB has ended without it."""

    # -- rosters ----------------------------------------------------------------------------

    def complain(self, problem: str) -> None:
        """No roster from one of the sources."""
        self.problem = problem

    def follow(self, roster: Roster) -> list[Node]:
        """Gives the nodes whose connections are to be retired."""
        with self.lock:
            gone = self.router.update(roster)
        for node in gone:
            _LOG.info("node %s at %s:%d has left the roster", node.name, node.host, node.port)
        return gone

    # -- requests and results ---------------------------------------------------------------

    def encode(self, operation: str, params: Params) -> Request:
        """``Missing`` when something has to be asked first; ``RequestError``.

        What this client finds wrong goes to DynamoDB as it is, which knows the words for it.
        """
        return to_request(operation, params, self.knowledge.schema_of, self.knowledge.list_id)

    def decode(self, operation: str, params: Params, body: bytes) -> Result:
        """``Missing`` when something has to be asked first."""
        known = self.knowledge
        return decode_result(operation, params, body, known.schema_of, known.names_of)

    def finish_error(self, error: DynamoDBError, request: Request) -> None:
        """Decodes what is still encoded of an error; ``Missing``."""
        decode_reasons(error, request, self.knowledge.schema_of, self.knowledge.names_of)

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
    ) -> Generator[Command, Outcome, Result]:
        """The way of one call: yields what the driver is to do, is sent what came of it.

        ``Exchange`` -> ``Reply``, ``Failure`` or ``Broken``; ``Wait`` -> None; ``Fallback`` -> the
        result or ``Refused``. Raises what the application gets.
        """
        try:
            return (yield from self._perform(operation, params, call, plain))
        finally:
            if call.turn.tokens:
                self.unneeded(call.turn)

    def _perform(
        self, operation: str, params: Params, call: Call, plain: PlainGet | None
    ) -> Generator[Command, Outcome, Result]:
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
                        request = self.encode(operation, said)
                except Missing as missing:
                    definition = missing.request
                except RequestError as error:
                    self.knowledge.forget_tables(named_tables(operation, params))
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
                self.knowledge.learn(definition, outcome.body)
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

    def resume(
        self,
        plain: PlainGet,
        params: Params,
        call: Call,
        node: Node,
        outcome: Reply | Failure | Broken,
        began: float,
    ) -> Generator[Command, Outcome, Result]:
        """The way of a GetItem from its first attempt on, which was not a plain success."""
        if type(outcome) is Reply:
            return (yield from self.finish("GetItem", params, outcome, call, plain))
        end = self.settle(call, node, outcome, began)
        if type(end) is GiveUp:
            raise self.raised(end, "GetItem", params, call)
        return (yield from self.perform("GetItem", params, call, plain))

    def finish(
        self, operation: str, params: Params, reply: Reply, call: Call, plain: PlainGet | None
    ) -> Generator[Command, Outcome, Result]:
        """The result of a reply, after asking for what it takes to read it."""
        while True:
            try:
                if plain is not None:
                    result = plain.decode(reply.body, self.knowledge.names_of)
                    if result is not None:
                        return result
                return self.decode(operation, params, reply.body)
            except Missing as missing:
                yield from self._look_up(missing.request, operation, params, call)

    def _passed_through(self, operation: str, params: Params) -> RawRequest:
        if self._passthrough is None:
            raise RequestError(
                "ValidationException",
                f"the DAX protocol has no place for {operation} with these parameters",
            )
        return self._passthrough.encode(operation, params)

    def _raw_result(self, operation: str, params: Params, reply: Reply, call: Call) -> Result:
        if operation in TABLES:
            self.knowledge.forget_tables(named_tables(operation, params))
        assert self._passthrough is not None
        result = self._passthrough.decode(operation, reply.body)
        result["ResponseMetadata"]["RetryAttempts"] = max(0, call.attempts - 1)
        return result

    def _step(
        self, call: Call, request: Request | PlainGet, operation: str, handed_over: bool
    ) -> Generator[Command, Outcome, Reply | GiveUp | Result | None]:
        """One step; None when it has led to nothing."""
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
        assert isinstance(outcome, Reply | Failure | Broken)
        if type(request) is RawRequest:
            assert self._passthrough is not None
            error_of = self._passthrough.error_of
            outcome = normalize_raw_outcome(operation, outcome, node, error_of)
        return self.settle(call, node, outcome, now, handed_over)

    @property
    def attempt_s(self) -> float:
        """How long a plain read waits for a node, like ``Call``'s."""
        attempt_s = self.settings.attempt_s
        return PATIENCE * attempt_s if self.router.retries.spent else attempt_s

    def first_read(self, now: float) -> Node | None:
        """The node for a read's first attempt; nothing is noted of it yet."""
        return self.router.pick(now, False)

    def asking(self, node: Node, now: float, timeout_s: float) -> None:
        self.counters.requests += 1
        with self.lock:
            self.router.started(node.number, now, timeout_s)

    def settle(
        self,
        call: Call,
        node: Node,
        outcome: Reply | Failure | Broken,
        began: float,
        handed_over: bool = True,
    ) -> Reply | GiveUp | None:
        """What an attempt's outcome means for its call; None: go on."""
        now = self.clock()
        if type(outcome) is Reply:
            self._answered(call, node, began, now)
            return outcome
        if type(outcome) is Failure:
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
        how = outcome.how if handed_over else Lost.NOT_HANDED_OVER
        return call.lost(how, str(outcome))

    def withdrawn(self, node: Node) -> None:
        """An attempt was given up, for reasons that say nothing of the node."""
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
    ) -> Generator[Command, Outcome, None]:
        """Decodes what is still encoded in a cancelled transaction's reasons."""
        while True:
            try:
                return self.finish_error(error, request)
            except Missing as missing:
                yield from self._look_up(missing.request, "TransactWriteItems", {}, call)

    def _look_up(
        self, definition: Request, operation: str, params: Params, main: Call
    ) -> Generator[Command, Outcome, None]:
        """Asks what an answer that is there already is written with."""
        call = self.call(Kind.READ, self.clock(), main.until)
        call.close_fallback()
        while True:
            outcome = yield from self._step(call, definition, operation, False)
            if type(outcome) is Reply:
                self.knowledge.learn(definition, outcome.body)
                return
            if type(outcome) is GiveUp:
                if main.kind is Kind.READ:
                    raise self.raised(outcome, operation, params, call)
                reason = f"it was answered, but not how: {outcome.reason}"
                raise self.raised(GiveUp(True, reason), operation, params, main)

    def call(self, kind: Kind, now: float, until: float, *, raw: bool = False) -> Call:
        """``raw``: of an operation that is none of DAX's."""
        return Call(kind, self.router, now, until, self._timings.of(kind, raw=raw))

    def hedge(self, first: Node, now: float) -> Node | None:
        """Another node to ask the same of, if hedging is not asked for too often.

        If it does not win, ``withdrawn`` is to be called.
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
        """What the caller of a call that was given up gets."""
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
                self.knowledge.forget_tables(named_tables(operation, params))
            return self._errors.refused(end.error, operation, call.attempts)
        reason = end.reason
        if self.router.roster is None and self.problem is not None:
            reason = f"{reason} ({self.problem})"
        return self._errors.unavailable(self.name, reason)

    def translated(self, error: BaseException, operation: str) -> BaseException:
        """What the application gets for what was found wrong without a node's answer."""
        if isinstance(error, ServiceError):
            found = DynamoDBError(error.name, error.message, error.status)
            return self._errors.refused(found, operation, 1)
        return error

    def tell(
        self, operation: str, params: Params, call: Call, began: float, error: BaseException | None
    ) -> None:
        """Tells ``on_request``'s callbacks. Their failures are theirs."""
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
