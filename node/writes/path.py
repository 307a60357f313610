"""A write's way: route it, fence it, send it, settle it, answer.

One write runs as one task, which goes on when its caller goes away: once DynamoDB may have the
write, the fence must be settled by its true outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from cluster.coherence.effects import Effect
from cluster.coherence.messages import Image, Outcome
from cluster.coherence.primary import Primary
from cluster.transport.large_work import INLINE_VALUES_MAX
from cluster.transport.traces import forget_trace
from node.backend.client import SendForbidden, WriteResult
from node.replication.primary_driver import EpochOver
from node.replication.wire import By
from node.tables.schemas import Upstream
from node.values.size import holds_more
from node.writes.callers import ForwardedCallers, forwarded_by
from node.writes.effects import Effects
from node.writes.fencing import WRITE, FenceRefused, PrimaryAccess, fenced, not_sent
from node.writes.in_doubt import REPORT_IN_DOUBT, InDoubtWrites
from node.writes.plan import Schemas, WritePlan, plan_write, schemas_wanted
from paceline.errors import NotSent, OutcomeUnknown, PacelineError, RequestError
from paceline.types import Params, Result

log = structlog.get_logger()

SCHEMAS_S = 2.0
"""The time that a write waits for its tables' schemas before it fences all of them."""

RETRY_S = 0.05
"""The pause while the primary makes no fence: its lease may be renewed, other fences settled."""


class WritePath:
    def __init__(
        self,
        upstream: Upstream,
        access: PrimaryAccess,
        effects: Effects | None = None,
        callers: ForwardedCallers | None = None,
    ) -> None:
        """``effects`` None: nobody can tell what writes change in indexes. ``callers``: not None
        where writes go to DynamoDB in callers' names."""
        self._effects = effects
        self._callers = callers
        self._backend = upstream.backend
        self._tables = upstream.tables
        self._lists = upstream.lists
        self._large_work = upstream.large_work
        self._access = access
        self._in_doubt = InDoubtWrites(access)
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def running(self) -> int:
        return len(self._running)

    async def execute(self, operation: str, params: Params, deadline: float) -> Result:
        """Routes the write to the primary, waiting for one until ``deadline``.

        Raises what DynamoDB answered, NotSent (surely nothing happened) or OutcomeUnknown.
        """
        if self._closed:
            raise NotSent("this node is stopping, so the write was not sent; send it to another")

        large = holds_more(params, INLINE_VALUES_MAX)

        async def here(primary: Primary) -> Result:
            return await self._here(primary, operation, params, deadline, large=large)

        by = None if self._callers is None else self._callers.by()
        return await self._owned(
            self._access.at_primary(operation, params, deadline, here, by=by),
            params if large else None,
        )

    async def execute_here(
        self, operation: str, params: Params, deadline: float, by: By | None = None
    ) -> Result:
        """Executes a write that another node forwarded, ``by``: in whose name. Raises EpochOver
        unless this node is the primary.

        In the task that calls, which must be the write's own: whoever waits for it leaves it alone,
        and ``aclose`` alone cancels it.
        """
        if self._closed:
            raise EpochOver("this node is stopping")
        primary = self._access.here()
        large = holds_more(params, INLINE_VALUES_MAX)
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            if operation == REPORT_IN_DOUBT:
                return await self._in_doubt.run_here(primary, params, deadline)
            with forwarded_by(by, self._callers):
                return await self._here(primary, operation, params, deadline, large=large)
        finally:
            self._running.discard(task)
            self._let_go(params if large else None)

    async def aclose(self, timeout_s: float) -> None:
        """Takes no more writes and waits for those under way; what is left then ends as 'outcome
        unknown'. Hand the lease over first: a primary that is closed but holds it takes none."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _owned(self, work: Coroutine[Any, Any, Result], large: Params | None) -> Result:
        """``large``: parameters of many values."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        ended: asyncio.Future[None] = loop.create_future()
        self._running.add(task)
        task.add_done_callback(partial(self._finished, large, ended))
        try:
            await ended
        except asyncio.CancelledError:
            if not task.cancelled():
                raise  # the caller went away; the write goes on
        if task.cancelled():
            raise OutcomeUnknown(
                "this node stopped while the write was under way; read the item to see whether "
                "it happened"
            )
        return task.result()

    def _let_go(self, large: Params | None) -> None:
        if large is not None:
            self._large_work.let_go([large])  # its caller may have gone away long ago

    def _finished(
        self, large: Params | None, ended: asyncio.Future[None], task: asyncio.Task[Result]
    ) -> None:
        self._running.discard(task)
        self._let_go(large)
        if not ended.done():
            ended.set_result(None)
        if not task.cancelled():
            error = task.exception()  # retrieved: the caller may have gone away
            if isinstance(error, PacelineError):
                forget_trace(error)

    # -- at the primary ---------------------------------------------------------------------

    async def _here(
        self, primary: Primary, operation: str, params: Params, deadline: float, *, large: bool
    ) -> Result:
        try:
            plan, schemas = await self._plan(operation, params, deadline, large=large)
        except PacelineError:
            raise
        except Exception as error:
            log.exception("a write could not be planned", operation=operation)
            raise not_sent() from error
        while True:
            attempt = await self._fenced(primary, plan, schemas, deadline)
            if attempt is not None:
                return attempt
            # The lease had lapsed and may be renewed, or too many fences were open.
            left_s = self._access.left_s(deadline)
            if left_s <= 0:
                raise NotSent(
                    "the primary could not send the write in time (its lease had run out, or too "
                    "many writes were under way); nothing was sent, it is safe to try again"
                )
            await self._access.coordinator.changed(min(RETRY_S, left_s))

    async def _plan(
        self, operation: str, params: Params, deadline: float, *, large: bool
    ) -> tuple[WritePlan, Schemas]:
        """What to fence. Of a table that DynamoDB does not describe that is all of it, so that
        nothing which goes wrong there lets a write go without its fence, or holds it up for long.

        Keys that do not fit are refused here, once it is sure that the table is still the one
        that is known: a fence of the whole table would empty its caches for a client's mistake.
        """
        tables = schemas_wanted(operation, params)
        as_asked = self._callers is not None
        if as_asked:
            await self._backend.prepare(deadline)

        def within_s() -> float:
            return min(SCHEMAS_S, self._access.left_s(deadline))

        schemas = await self._tables.schemas_told(tables, within_s())
        try:
            plan = plan_write(operation, params, schemas, as_asked=as_asked)
        except (RequestError, ValueError):
            schemas = await self._tables.schemas_told(tables, within_s(), anew=True)
            try:
                plan = plan_write(operation, params, schemas, as_asked=as_asked)
            except ValueError as error:
                raise RequestError(
                    "ValidationException", f"One or more parameter values were invalid: {error}"
                ) from error
        await self._lists.define_lists(plan.items(schemas))
        if large:
            # Before it is sent: afterwards nothing may delay the end of its fence.
            encode = self._lists.encode_now
            plan = await self._large_work.run(lambda: plan.with_images(schemas, encode))
        return plan, schemas

    async def _fenced(
        self, primary: Primary, plan: WritePlan, schemas: Schemas, deadline: float
    ) -> Result | None:
        """Runs one round of fence, send, settle. Returns None if the write was surely not sent and
        may be tried again."""
        try:
            async with fenced(
                self._access.driver,
                primary,
                plan.keys,
                self._access.left_s(deadline),
                WRITE,
                effects=self._effects_of(plan),
                remade=plan.remade,
            ) as fence:
                attempt = await self._backend.write(
                    plan.operation, plan.params, deadline, fence.may_send
                )
                fence.ended(*self._judge(attempt, plan, schemas))
        except FenceRefused:
            return None
        told = fence.held or fence.outcome is Outcome.REJECTED
        if not told:
            told = await self._in_doubt.report(plan.keys, deadline, plan.remade)
        return self._answer(attempt, plan, told=told)

    def _effects_of(self, plan: WritePlan) -> Sequence[Effect | None]:
        """Returns the effects; () stands for any place of any index."""
        if self._effects is None or not plan.knows_keys:
            return ()
        try:
            return self._effects.of(plan)
        except Exception:
            log.exception("the effects of a write are not known", operation=plan.operation)
            return ()

    def _judge(
        self, attempt: WriteResult, plan: WritePlan, schemas: Schemas
    ) -> tuple[Outcome, list[Image | None]]:
        if attempt.ambiguous:
            return Outcome.UNKNOWN, []
        if attempt.error is not None:
            return Outcome.REJECTED, []
        assert attempt.result is not None
        return self._done(attempt.result, plan, schemas)

    def _done(
        self, result: Result, plan: WritePlan, schemas: Schemas
    ) -> tuple[Outcome, list[Image | None]]:
        """Of what DynamoDB has done: its caller is told so, whatever is wrong with us."""
        try:
            if not plan.may_be_in_doubt(result):
                return Outcome.SUCCESS, plan.images(result, schemas, self._lists.encode_now)
        except Exception:
            log.exception("a write's items are not kept", operation=plan.operation)
        return Outcome.UNKNOWN, []

    def _answer(self, attempt: WriteResult, plan: WritePlan, *, told: bool) -> Result | None:
        """``told``: everyone who may serve knows that the keys may have changed."""
        error: PacelineError | None = attempt.error
        if isinstance(error, SendForbidden):
            return None
        if error is not None:
            # A definite refusal changed nothing, whoever holds the lease by now.
            raise error
        if not told:
            raise OutcomeUnknown(
                "the primary lost its lease while the write was under way, and no other one could "
                "be told; read the item to see whether it happened"
            )
        assert attempt.result is not None
        return plan.reply(attempt.result)
