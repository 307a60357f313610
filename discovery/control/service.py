"""A request to the control plane, from its signature to its answer."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog

from cluster.access.audit import AuditEvent
from cluster.access.calling import Call
from cluster.access.counting import Refusals
from cluster.access.denied import Denied
from cluster.log.commands import ChangeControl
from cluster.log.control_records import CHANGED
from discovery.control.acting import Actor
from discovery.control.authorizing import action_of, check_may, resources_of
from discovery.control.faults import INVALID_COMBINATION, INVALID_VALUE, VALIDATION
from discovery.control.feed import ControlFeed
from discovery.control.launcher import Launcher
from discovery.control.life import ended as cluster_ended
from discovery.control.life import look_at
from discovery.control.model import Model
from discovery.control.names import Place
from discovery.control.nodes import ended
from discovery.control.observing import look
from discovery.control.operations import OPERATIONS
from discovery.control.records import changes
from discovery.control.world import Act, Asked, ClusterAct, Done, Listed, Result, World
from discovery.services.auditing import event_of
from discovery.services.callers import ServiceCallers
from discovery.services.requests import ServiceAnswer, ServiceRequest
from paceline.errors import Unavailable

JSON: Final = "application/x-amz-json-1.1"
TARGET: Final = "AmazonDAXV3."
NAME_CHARACTERS_MAX: Final = 64

CHANGE_S: Final = 15.0
"""The time for one change, other people's before it included."""
HEARD_S: Final = 3.0
"""How long an answer waits for this process to hear of its own change."""
OBSERVE_S: Final = 10.0

WorldOf = Callable[[str], World | None]
"""The world as it is now, for who asks by this ``Host``; None before a node was reached."""

_log = structlog.get_logger()


class ControlPlane:
    """``callers``: None where nobody has to sign. ``authorizes``: whether policies count."""

    name = "dax"
    content_types = (JSON,)

    def __init__(
        self,
        place: Place,
        feed: ControlFeed,
        world_of: WorldOf,
        callers: ServiceCallers | None,
        refusals: Refusals,
        clock: Callable[[], float],
        *,
        authorizes: bool,
        launcher: Launcher | None = None,
    ) -> None:
        self._place = place
        self._feed = feed
        self._world_of = world_of
        self._callers = callers
        self._refusals = refusals
        self._clock = clock
        self._authorizes = authorizes
        self.actor = Actor(launcher, self._ended)
        self.listed: Mapping[str, Listed] | None = None
        """The further clusters that the launcher runs, as it told last; None: it does not tell."""
        self._model: Model | None = None
        self._loading = asyncio.Lock()
        self._changing = asyncio.Lock()

    def takes(self, request: ServiceRequest) -> bool:
        return request.header("x-amz-target").startswith(TARGET)

    async def answer(self, request: ServiceRequest) -> ServiceAnswer:
        operation = request.header("x-amz-target").removeprefix(TARGET)
        asked: Asked = {}
        call: Call | None = None
        try:
            if self._callers is not None:
                call = self._callers.verify(request, self.name, self._clock())
            model = await self._loaded()
            if operation not in model.operations or request.method != "POST":
                shown = operation[:NAME_CHARACTERS_MAX]
                raise Denied("UnknownOperationException", f"There is no operation {shown!r} here.")
            asked = model.read(operation, request.body)
            if call is not None and self._authorizes:
                check_may(call, operation, asked, self._place, self._clock())
            result = await self._operated(operation, asked, request.header("host"), model)
        except Denied as why:
            self._refusals.refused(self._event(request, operation, asked, call, why.error_name))
            return _refusal(why)
        if self._refusals.allowed is not None:
            self._refusals.allowed(self._event(request, operation, asked, call))
        return ServiceAnswer(200, JSON, json.dumps(result).encode())

    async def hear_launcher(self, *, wanted: bool) -> None:
        """``wanted``: whether there are clusters of which it has to tell."""
        self.listed = await self.actor.listed() if wanted else None

    async def observe(self) -> None:
        """Writes down what has happened since somebody last did, if anything has, and has done what
        follows from it. Unavailable."""
        world = self._world_of("")
        if world is None:
            return
        decisions: list[Callable[[World], Done]] = [
            look,
            *(partial(look_at, name=name) for name in world.records.further),
        ]
        for decide in decisions:
            if decide(world).records is not None:
                await self._changed(decide, "", OBSERVE_S, checks=False)

    async def _ended(self, act: Act | ClusterAct, problem: str) -> None:
        def decide(now: World) -> Done:
            if isinstance(act, Act):
                return ended(now, act, problem)
            return cluster_ended(now, act, problem)

        await self._changed(decide, "", CHANGE_S)

    async def _loaded(self) -> Model:
        async with self._loading:  # for as long as a file takes to be read
            if self._model is None:
                self._model = await asyncio.to_thread(Model)
        return self._model

    async def _operated(self, operation: str, asked: Asked, host: str, model: Model) -> Result:
        operate = OPERATIONS[operation]
        try:
            world = self._world(host)
            done = operate(world, asked)
            if done.records is None:
                return done.tell(world)
            return await self._changed(lambda now: operate(now, asked), host, CHANGE_S)
        except Denied as why:
            modelled = model.errors_of(operation)
            if (
                why.error_name in (INVALID_VALUE, INVALID_COMBINATION)
                and why.error_name not in modelled
            ):
                raise Denied(VALIDATION, why.message) from None
            raise
        except Unavailable as error:
            _log.warning("a change of the control plane", operation=operation, why=str(error))
            raise Denied("InternalFailure", f"{error}; look whether it was.", 500) from None

    async def _changed(
        self,
        decide: Callable[[World], Done],
        host: str,
        within_s: float,
        *,
        checks: bool = True,
    ) -> Result:
        """Decides, and has it written, until nobody else has written meanwhile. Unavailable.

        ``checks``: whether the launcher is asked first if it can do what follows."""
        try:
            async with asyncio.timeout(within_s), self._changing:
                while True:
                    world = self._world(host)
                    done = decide(world)
                    if done.records is None:
                        return done.tell(world)
                    if checks:
                        await self.actor.check(done.acts)
                    seen = world.stored.revision
                    command = ChangeControl(
                        secrets.token_hex(16),
                        seen,
                        changes(world.records, done.records),
                        tuple(event.to_bytes() for event in done.events),
                    )
                    revision, refused = await self._feed.change(command, within_s)
                    if refused == CHANGED:
                        async with asyncio.timeout(HEARD_S):
                            await self._feed.changed_since(seen)
                        continue
                    if refused:
                        raise Denied("ServiceQuotaExceededException", refused)
                    if done.acts:
                        self.actor.begin(done.acts)
                    await self._hears(revision)
                    return done.tell(world.with_records(done.records))
        except TimeoutError:
            raise Unavailable("the change is not known to be made") from None

    async def _hears(self, revision: int) -> None:
        """So that who asks here next is told of it. A change that was made is none that failed
        because a node is slow to tell of it."""
        try:
            async with asyncio.timeout(HEARD_S):
                await self._feed.changed_since(revision - 1)
        except TimeoutError:
            _log.warning("a change was made and not heard of yet", revision=revision)

    def _world(self, host: str) -> World:
        world = self._world_of(host)
        if world is None:
            raise Denied(
                "ServiceUnavailableException",
                "Discovery has not reached a node of the cluster yet. Try again.",
                503,
            )
        return world

    def _event(
        self,
        request: ServiceRequest,
        operation: str,
        asked: Asked,
        call: Call | None,
        reason: str = "",
    ) -> AuditEvent:
        name = action_of(operation[:NAME_CHARACTERS_MAX])
        resources = ",".join(resources_of(operation, asked, self._place))
        signs = self._callers is not None
        return event_of(request, name, resources, call, reason, signs=signs)


def _refusal(why: Denied) -> ServiceAnswer:
    told: Mapping[str, str] = {"__type": why.error_name, "message": why.message}
    return ServiceAnswer(
        why.http_status, JSON, json.dumps(told).encode(), {"x-amzn-ErrorType": why.error_name}
    )
