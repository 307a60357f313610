"""What both drivers of the SDK, asyncio and blocking, decide by: one client's state, without I/O.

A call is a generator that says what to do next and is told what came of it, so that both drivers
are a few lines. What changes the routing holds ``lock``, a real one for the client that threads
share.
"""

import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from paceline.client import interface
from paceline.client.knowledge import Knowledge, Missing, tables_of
from paceline.client.plain import PlainGet, PlainGets
from paceline.client.retry import Attempt, Call, Fallback, GiveUp, Kind, Lost, Timing, Wait
from paceline.client.roster import Node, Roster
from paceline.client.routing import Router
from paceline.client.settings import HEDGE_SHARE_MAX, Counters, RequestEvent, Settings
from paceline.dax.connection import Failure, Reply
from paceline.dax.errors import decode_reasons
from paceline.dax.request_types import Request, TransactWriteItems
from paceline.dax.translate_params import to_request
from paceline.dax.translate_results import decode_result
from paceline.errors import DynamoDBError, PacelineError, ServiceError
from paceline.types import Params, Result

LOG: Final = logging.getLogger("paceline.client")

FALLBACK_AFTER_S: Final = 1.5
"""With a fallback, a read that no node has answered for so long goes to DynamoDB."""
KEY_MISMATCH: Final = frozenset({"ValidationException", "ResourceNotFoundException"})
"""Errors by which a table may show that it was made anew with another key."""


class Broken(PacelineError):
    """An attempt without an answer; ``how`` says what that means for a write.

    ``busy``: it says nothing of the node, whose connections were all in use.
    """

    def __init__(self, how: Lost, reason: str, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.how = how
        self.busy = busy


@dataclass(frozen=True, slots=True)
class Refused:
    """DynamoDB was not asked (the budget is spent) or does not answer either."""

    reason: str
    wait_s: float


@dataclass(slots=True)
class Exchange:
    """Send the request to the node and wait for its reply. ``read``: it may be hedged."""

    node: Node
    request: Request | PlainGet
    timeout_s: float
    read: bool


Command = Exchange | Wait | Fallback
Outcome = Reply | Failure | Broken | Result | Refused | None


def kind_of(operation: str) -> Kind:
    if operation in interface.READ_OPERATIONS:
        return Kind.READ
    # Its token makes DynamoDB do it once, however often it is sent.
    return Kind.IDEMPOTENT if operation == "TransactWriteItems" else Kind.WRITE


class Core:
    """``name``: of the endpoint, for messages."""

    def __init__(
        self,
        name: str,
        router: Router,
        settings: Settings,
        clock: Callable[[], float],
        *,
        has_fallback: bool = False,
        fallback_writes: bool = False,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.name = name
        self.router = router
        self.settings = settings
        self.clock = clock
        self.knowledge = Knowledge()
        self.plain_gets = PlainGets(self.knowledge)
        self.counters = Counters()
        self.lock = lock or nullcontext()
        after_s = FALLBACK_AFTER_S if has_fallback else None
        self._reading = Timing(settings.attempt_s, fallback_after_s=after_s)
        self._writing = Timing(
            settings.attempt_s, fallback_after_s=after_s if fallback_writes else None
        )
        self.started = False
        """Whether the first roster came, or was waited for in vain."""
        self.problem: str | None = None
        """Why there is no roster yet."""
        self.away = False
        """Whether DynamoDB was asked instead of the cluster, and the cluster not since."""
        self.returned: Callable[[], None] = lambda: None
        """Called when a node answers after that."""

    # -- rosters ----------------------------------------------------------------------------

    def complain(self, problem: str) -> None:
        """No roster from one of the sources."""
        self.problem = problem

    def follow(self, roster: Roster) -> list[Node]:
        """Gives the nodes whose connections are to be retired."""
        with self.lock:
            gone = self.router.update(roster)
        for node in gone:
            LOG.info("node %s at %s:%d has left the roster", node.name, node.host, node.port)
        return gone

    # -- requests and results ---------------------------------------------------------------

    def encode(self, operation: str, params: Params) -> Request:
        """``Missing`` when something has to be asked first; ``RequestError``."""
        return to_request(operation, params, self.knowledge.schema_of, self.knowledge.list_id)

    def decode(self, operation: str, params: Params, body: bytes) -> Result:
        """``Missing`` when something has to be asked first."""
        known = self.knowledge
        return decode_result(operation, params, body, known.schema_of, known.names_of)

    def finish_error(self, error: DynamoDBError, request: Request) -> None:
        """Decodes what is still encoded of an error; ``Missing``."""
        decode_reasons(error, request, self.knowledge.schema_of, self.knowledge.names_of)

    # -- one call ---------------------------------------------------------------------------

    def perform(
        self, operation: str, params: Params, call: Call, plain: PlainGet | None = None
    ) -> Generator[Command, Outcome, Result]:
        """The way of one call: yields what the driver is to do, is sent what came of it.

        ``Exchange`` -> ``Reply``, ``Failure`` or ``Broken``; ``Wait`` -> None; ``Fallback`` -> the
        result or ``Refused``. Raises what the application gets.
        """
        request: Request | PlainGet | None = plain
        while True:
            definition: Request | None = None
            if request is None:
                try:
                    request = self.encode(operation, params)
                except Missing as missing:
                    definition = missing.request
            asked = request if definition is None else definition
            assert asked is not None
            outcome = yield from self._step(call, asked, definition is None)
            if type(outcome) is Reply:
                if definition is None:
                    break
                self.knowledge.learn(definition, outcome.body)
                call.progress()
            elif type(outcome) is GiveUp:
                if outcome.error is not None and isinstance(request, TransactWriteItems):
                    yield from self._finish_error(outcome.error, request, call)
                raise self.raised(outcome, operation, params, call)
            elif type(outcome) is dict:
                return outcome
        while True:
            try:
                if plain is not None:
                    result = plain.decode(outcome.body, self.knowledge.names_of)
                    if result is not None:
                        return result
                return self.decode(operation, params, outcome.body)
            except Missing as missing:
                yield from self._look_up(missing.request, operation, params, call)

    def _step(
        self, call: Call, request: Request | PlainGet, handed_over: bool
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
        try:
            outcome = yield Exchange(step.node, request, step.timeout_s, call.kind is Kind.READ)
        except BaseException:
            with self.lock:
                self.router.withdrawn(step.node.number)
            raise
        now_ = clock()
        if type(outcome) is Reply:
            self._answered(call, step.node, now, now_)
            return outcome
        if type(outcome) is Failure:
            self._answered(call, step.node, now, now_)
            return call.failed(outcome.error, now_, handed_over=handed_over)
        assert isinstance(outcome, Broken)
        with self.lock:
            if outcome.busy:
                self.router.withdrawn(step.node.number)
            else:
                self.router.finished(step.node.number, now_, None)
        how = outcome.how if handed_over else Lost.NOT_HANDED_OVER
        return call.lost(how, str(outcome))

    def _answered(self, call: Call, node: Node, began: float, now: float) -> None:
        call.node = node
        router = self.router
        with self.lock:
            router.finished(node.number, now, now - began)
        if call.kind is Kind.READ:
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
            outcome = yield from self._step(call, definition, False)
            if type(outcome) is Reply:
                self.knowledge.learn(definition, outcome.body)
                return
            if type(outcome) is GiveUp:
                if main.kind is Kind.READ:
                    raise self.raised(outcome, operation, params, call)
                reason = f"it was answered, but not how: {outcome.reason}"
                raise self.raised(GiveUp(True, reason), operation, params, main)

    def call(self, kind: Kind, now: float, until: float) -> Call:
        timing = self._reading if kind is Kind.READ else self._writing
        return Call(kind, self.router, now, until, timing)

    def hedge(self, first: Node, now: float) -> Node | None:
        """Another node to ask the same of, if hedging is not asked for too often."""
        counters = self.counters
        if counters.hedges > HEDGE_SHARE_MAX * counters.requests + 1:
            return None
        with self.lock:
            node = self.router.pick(now, False, {first.number})
        if node is not None:
            counters.hedges += 1
        return node

    # -- ends -------------------------------------------------------------------------------

    def raised(self, end: GiveUp, operation: str, params: Params, call: Call) -> Exception:
        """What the caller of a call that was given up gets."""
        if end.unknown:
            self.counters.unknown_outcomes += 1
            return interface.OutcomeUnknownException(
                f"the write may or may not have been made: {end.reason}; read the item to learn "
                "which",
                operation,
                call.attempts,
            )
        if end.error is not None:
            if end.error.name in KEY_MISMATCH:
                self.knowledge.forget_tables(tables_of(params))
            return interface.client_error(end.error, operation, call.attempts)
        reason = end.reason
        if self.router.roster is None and self.problem is not None:
            reason = f"{reason} ({self.problem})"
        return interface.ClusterUnavailable(endpoint_url=self.name, error=reason)

    def translated(self, error: BaseException, operation: str) -> BaseException:
        """What the application gets for what was found wrong without a node's answer."""
        if isinstance(error, ServiceError):
            found = DynamoDBError(error.name, error.message, error.status)
            return interface.client_error(found, operation, 1)
        return error

    def tell(
        self, operation: str, params: Params, call: Call, began: float, error: BaseException | None
    ) -> None:
        """Tells ``on_request``'s callbacks. Their failures are theirs."""
        if not self.settings.on_request:
            return
        node = call.node
        event = RequestEvent(
            operation,
            params,
            node.name if node is not None else None,
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
                LOG.exception("an on_request callback failed")
