"""Whether who makes the request under way may do it, hits included.

Decided below all front ends, from the operation and its parameters, for whoever ``calling.call``
says; a request of which that is not known is refused. What a policy says of an action at a resource
in any case is looked up once for a caller; only what depends on the request is judged each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.access.audit import AuditEvent
from cluster.access.audit import Decision as Decided
from cluster.access.calling import Call, around, call, event_of
from cluster.access.counting import DENIED, Refusals
from cluster.access.deciding import not_authorized, rights_of
from cluster.access.recent import Recent
from cluster.access.signatures.verification import Verified
from node.access.items import InfoOf
from node.access.judging import refusal
from node.access.need import CannotJudge, Need, TablesUnknown
from node.access.needs import needs
from node.access.places import Place
from node.tables.table_info import TableInfo
from paceline.access.policies.compiled import Compiled, Verdict
from paceline.access.policies.context import Context
from paceline.access.policies.decisions import Decision, Outcome
from paceline.access.policies.policy import Kind, Policy
from paceline.access.policies.rights import Rights
from paceline.access.policies.statements import Effect
from paceline.errors import RequestError

CALLERS_MAX = 1_000
"""Those whose verdicts are kept, the latest ones; one of a hundred tables takes about 50 KB."""

RESOURCES_MAX = 1_000
"""Per caller: tables, indexes and streams that he has asked for."""

RESOURCE_MAX = 2_048
"""Characters of a resource whose verdict is kept. An ARN of AWS's is shorter; one that came as it
was sent may have millions, and is judged each time."""

GET, BATCH_GET = "dynamodb:GetItem", "dynamodb:BatchGetItem"


@dataclass(slots=True)
class _Kept:
    """Of one access key, as long as ``version`` is that of the principals."""

    version: int
    rights: Rights
    compiled: dict[str, Compiled] = field(default_factory=dict)
    gets: dict[bytes, bool] = field(default_factory=dict)


_KINDS = {Kind.TABLE: "resource-based", Kind.SESSION: "session"}
"""How refusals call them; any other is an identity-based one."""


class Authorizer:
    """``clock``: seconds since the epoch, for policies that ask for the time. ``policies_of``: what
    is attached to a table; it changes only with the version of the principals."""

    def __init__(
        self,
        place: Place,
        info_of: InfoOf,
        clock: Callable[[], float],
        refusals: Refusals | None = None,
        policies_of: Callable[[str], tuple[Policy, ...]] = lambda table: (),
        tables_have_policies: Callable[[], bool] = lambda: False,
    ) -> None:
        self.refusals = refusals or Refusals()
        self._place = place
        self._info_of = info_of
        self._clock = clock
        self._policies_of = policies_of
        self._tables_have_policies = tables_have_policies
        self._own_tables = place.own_table("")
        self._allowed = self.refusals.allowed
        self._kept: Recent[str, _Kept] = Recent(CALLERS_MAX)

    def may_get(self, by: Verified, table: bytes) -> bool:
        """Whether any GetItem of the table is allowed, whatever it asks for; then it is noted in
        ``by.may_get``, and need not be asked again. ``table``: a name, as it came; False: ``check``
        has to be asked, also if all that is allowed is to be told."""
        if self._allowed is not None:
            return False
        kept = self._of(by)
        found = kept.gets.get(table)
        if found is None:
            found = self._always(kept, table.decode("utf-8", "replace"), GET)
            if len(kept.gets) < RESOURCES_MAX and len(table) <= RESOURCE_MAX:
                kept.gets[table] = found
        if found and len(by.may_get) < RESOURCES_MAX and len(table) <= RESOURCE_MAX:
            by.may_get.add(table)
        return found

    def may_batch_get(self, tables: Mapping[str, Any]) -> bool:
        """The same of BatchGetItem, of all of ``tables``, for who makes the request under way."""
        by = call.get()
        if by is None or self._allowed is not None:
            return False
        kept = self._of(by.by)
        return all(self._always(kept, table, BATCH_GET) for table in tables)

    def check(self, operation: str, params: Mapping[str, Any], *, asked_for: bool = False) -> None:
        """``params``: of boto3's low-level client, or a body of the JSON API. RequestError:
        AccessDeniedException, in AWS's words. TablesUnknown where that may be for tables of which
        nothing is known here, unless they were ``asked_for``: then it is refused."""
        by = call.get()
        if by is None:
            raise self._denied(operation, "nobody knows who makes this request")
        kept = self._of(by.by)
        missing: dict[str, None] = {}

        def info_of(table: str) -> TableInfo | None:
            info = self._info_of(table)
            if info is None:
                missing[table] = None
            return info

        try:
            asked = needs(operation, params, self._place, info_of)
        except CannotJudge as error:
            raise self._denied(operation, f"{_user(by)}: {error}", by) from None
        context: Context | None = None
        for need in asked:
            rights = self._compiled(kept, need.resource)
            if rights.verdict(need.action) is Verdict.ALWAYS:
                continue
            context = context or around(by, self._clock())
            refused = refusal(need, rights, context)
            if refused is not None:
                if missing and not asked_for:
                    raise TablesUnknown(tuple(missing))
                raise self._denied(operation, _words(by, need, refused), by, need)

        if self._allowed is not None:
            told = dict.fromkeys((need.action, need.resource) for need in asked)
            for action, resource in told:
                self._allowed(_event("allowed", operation, by, action, resource))

    def check_any(self, operation: str) -> None:
        """Of what names no table: it is for those whom any policy allows anything, which one of a
        table may. RequestError: AccessDeniedException."""
        by = call.get()
        if by is None:
            raise self._denied(operation, "nobody knows who makes this request")
        session = by.by.key.session_policies
        allowed = _allow(by.by.principal.policies) and (session is None or _allow(session))
        if not allowed and not self._tables_have_policies():
            words = f"to perform: {operation} because no policy allows any action"
            raise self._denied(operation, f"{_user(by)} {words}", by)

    def _denied(
        self, operation: str, words: str, by: Call | None = None, need: Need | None = None
    ) -> RequestError:
        action, resource = ("", "") if need is None else (need.action, need.resource)
        self.refusals.refused(_event("denied", operation, by, action, resource, DENIED))
        return RequestError(DENIED, words)

    def _of(self, by: Verified) -> _Kept:
        kept = self._kept.get(by.key.id)
        if kept is not None and kept.version == by.version:
            return kept
        rights = rights_of(by)
        kept = _Kept(by.version, rights)
        self._kept.put(by.key.id, kept)
        return kept

    def _always(self, kept: _Kept, table: str, action: str) -> bool:
        return all(
            self._compiled(kept, resource).verdict(action) is Verdict.ALWAYS
            for resource in self._place.tables(table)
        )

    def _compiled(self, kept: _Kept, resource: str) -> Compiled:
        found = kept.compiled.get(resource)
        if found is None:
            found = Compiled(self._rights(kept, resource), resource)
            if len(kept.compiled) < RESOURCES_MAX and len(resource) <= RESOURCE_MAX:
                kept.compiled[resource] = found
        return found

    def _rights(self, kept: _Kept, resource: str) -> Rights:
        """With the policies of the table that ``resource`` is, or is a part of. Of one
        elsewhere they say nothing; whoever names one needs the same on the table here."""
        if not resource.startswith(self._own_tables):
            return kept.rights
        name = resource[len(self._own_tables) :].partition("/")[0]
        policies = self._policies_of(name)
        return replace(kept.rights, table=policies) if policies else kept.rights


def _allow(policies: Iterable[Policy]) -> bool:
    return any(one.effect is Effect.ALLOW for policy in policies for one in policy.statements)


def _event(
    decision: Decided, operation: str, by: Call | None, action: str, resource: str, reason: str = ""
) -> AuditEvent:
    if by is None:
        return AuditEvent(decision, "", operation, reason)
    return event_of(by, decision, operation, reason, action, resource)


def _user(by: Call) -> str:
    return f"User: {by.by.principal.arn} is not authorized"


def _words(by: Call, need: Need, decision: Decision) -> str:
    said = not_authorized(by.by, need.action, need.resource)
    kind = (
        "identity-based" if decision.kind is None else _KINDS.get(decision.kind, "identity-based")
    )
    if decision.outcome is Outcome.EXPLICITLY_DENIED:
        article = "an" if kind == "identity-based" else "a"
        return f"{said} with an explicit deny in {article} {kind} policy"
    return f"{said} because no {kind} policy allows the {need.action} action"
