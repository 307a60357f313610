"""CloudWatch's requests: who makes them, whether he may, and what they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from cluster.access.audit import AuditEvent
from cluster.access.calling import Call, around
from cluster.access.counting import Refusals
from cluster.access.deciding import not_authorized, rights_of
from cluster.access.denied import Denied
from cluster.access.signatures.refusals import THROTTLING
from discovery.cloudwatch import protocols
from discovery.cloudwatch.protocols import Asked
from discovery.services.auditing import event_of
from discovery.services.callers import ServiceCallers
from discovery.services.requests import ServiceAnswer, ServiceRequest
from paceline.access.policies.decisions import AccessRequest, decide

SHOWN_MAX: Final = 64
ANSWER_S: Final = 10.0
WAITING_MAX: Final = 32
"""Requests that wait for the history's thread; more are refused."""

Operation = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Runs on the history's thread. Denied."""
Operations = Mapping[str, tuple[Operation, Callable[[Mapping[str, Any]], list[str]]]]
Work = Callable[[Callable[[], Any]], Awaitable[Any]]

_log = structlog.get_logger()


class CloudWatch:
    """``operations``: by name, each with what tells the resources that its parameters are about.
    ``callers``: None where nobody has to sign. ``authorizes``: whether policies decide then.
    ``work``: runs a function on the history's thread."""

    name = "monitoring"
    content_types = protocols.CONTENT_TYPES

    def __init__(
        self,
        operations: Operations,
        callers: ServiceCallers | None,
        refusals: Refusals,
        clock: Callable[[], float],
        work: Work,
        *,
        authorizes: bool = True,
    ) -> None:
        self._operations = operations
        self._callers = callers
        self._refusals = refusals
        self._clock = clock
        self._work = work
        self._authorizes = authorizes
        self._waiting = 0

    def takes(self, request: ServiceRequest) -> bool:
        return protocols.is_for_cloudwatch(request)

    async def answer(self, request: ServiceRequest) -> ServiceAnswer:
        told = _Told(protocols.operation_named(request))
        denied: Denied | None = None
        try:
            if self._callers is not None:
                told.call = self._callers.verify(request, self.name, self._clock())
            if self._waiting >= WAITING_MAX:
                raise Denied(THROTTLING, "Too many requests wait to be answered.")
            self._waiting += 1
            try:
                async with asyncio.timeout(ANSWER_S):
                    made: ServiceAnswer = await self._work(lambda: self._worked(request, told))
            finally:
                self._waiting -= 1
        except Denied as why:
            denied = why
        except TimeoutError:
            denied = Denied("InternalServiceError", "It took too long.", 503)
        except RecursionError:
            denied = Denied("ValidationError", "The request is nested too deep.")
        except Exception:
            _log.exception("a request failed in an unforeseen way", operation=told.operation[:64])
            denied = Denied("InternalServiceError", "The request failed in discovery.", 500)
        if denied is not None:
            stranger = self._callers is not None and told.call is None
            if stranger or denied.error_name in ("AccessDenied", THROTTLING):
                self._refusals.refused(self._event(request, told, denied.error_name))
            # On that thread too: the first refusal may have to load the model.
            answer: ServiceAnswer = await asyncio.to_thread(protocols.refusal, request, denied)
            return answer
        if self._refusals.allowed is not None:
            self._refusals.allowed(self._event(request, told))
        return made

    def _worked(self, request: ServiceRequest, told: _Told) -> ServiceAnswer:
        asked = protocols.asked_of(request)
        told.operation = asked.operation
        found = self._operations.get(asked.operation)
        if found is None:
            raise Denied(
                "InvalidAction",
                f"Could not find operation {asked.operation[:SHOWN_MAX]} for version"
                f" {protocols.VERSION}, or it is none that this cluster has.",
            )
        operation, resources_of = found
        parameters = asked.parameters()
        told.resource, *more = resources_of(parameters) or ["*"]
        if told.call is not None and self._authorizes:
            for resource in (told.resource, *more):
                self._check(told.call, asked, resource)
        return protocols.answer(request, asked.operation, operation(parameters))

    def _check(self, call: Call, asked: Asked, resource: str) -> None:
        by = call.by
        action = f"cloudwatch:{asked.operation}"
        rights = rights_of(by)
        request = AccessRequest(action, resource, around(call, self._clock()))
        decision = decide(rights, request)
        if not decision.allowed:
            raise Denied(
                "AccessDenied",
                not_authorized(by, action, resource),
                403,
            )

    def _event(self, request: ServiceRequest, told: _Told, reason: str = "") -> AuditEvent:
        name = f"cloudwatch:{told.operation[:SHOWN_MAX]}"
        signs = self._callers is not None
        return event_of(request, name, told.resource, told.call, reason, signs=signs)


class _Told:
    """What is known of a request by and by."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.call: Call | None = None
        self.resource = ""
