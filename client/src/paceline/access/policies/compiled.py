"""What can be said of an action before the context of a request is known. Pure.

A hit in a cache costs a few look-ups; to go through statements for each would cost more than all
of it. So for one caller at one resource each action is looked at once: most often that decides, and
where it does not, what is left to be asked are the conditions on the request itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from paceline.access.policies.conditions import Condition
from paceline.access.policies.context import Caller, Context, is_of_caller, whole_context
from paceline.access.policies.policy import Policy
from paceline.access.policies.rights import Rights
from paceline.access.policies.statements import Effect, Statement


class Verdict(Enum):
    ALWAYS = "always"
    """Allowed, whatever the context is."""
    NEVER = "never"
    """Denied, whatever the context is."""
    DEPENDS = "depends"
    """The context has to be known."""


ACTIONS_MAX: Final = 256
"""Actions that one object keeps: more than DynamoDB has, whatever callers ask for."""


class Compiled:
    """One caller's rights at one resource. It is good as long as the rights are: who keeps it
    compares the version of the policies."""

    __slots__ = ("_left", "_verdicts", "resource", "rights")

    def __init__(self, rights: Rights, resource: str) -> None:
        self.rights = rights
        self.resource = resource
        self._verdicts: dict[str, Verdict] = {}
        self._left: dict[str, _Left] = {}
        """Of actions that depend on the request."""

    def verdict(self, action: str) -> Verdict:
        """Of an action as in ``dynamodb:GetItem``: one look-up, but for the first time."""
        found = self._verdicts.get(action)
        return self._look(action).verdict if found is None else found

    def allows(self, action: str, context: Context) -> bool:
        """Whether ``decide`` would allow it. Why not is for ``decide`` to say."""
        verdict = self.verdict(action)
        if verdict is not Verdict.DEPENDS:
            return verdict is Verdict.ALWAYS
        left = self._left.get(action) or self._look(action)
        return left.allows(context, self.rights.caller)

    def _look(self, action: str) -> _Left:
        left = _look(self.rights, action.lower(), self.resource)
        if len(self._verdicts) < ACTIONS_MAX:
            self._verdicts[action] = left.verdict
            if left.verdict is Verdict.DEPENDS:
                self._left[action] = left
        return left


@dataclass(frozen=True, slots=True)
class _Open:
    """What is left to be asked of a statement."""

    conditions: tuple[Condition, ...]
    statement: Statement | None
    """Its resource depends on the request, too."""

    def applies(self, resource: str, context: Context) -> bool:
        if self.statement is not None and not self.statement.has_resource(resource, context):
            return False
        return all(one.holds(context) for one in self.conditions)


_Any = bool | tuple[_Open, ...]
"""Whether a statement of several applies: surely, surely not, or if one of these does."""


@dataclass(frozen=True, slots=True)
class _Left:
    """What is left to be asked about an action."""

    verdict: Verdict
    resource: str
    denied: _Any
    allowed: _Any
    narrowed: _Any
    asks_of_caller: bool

    def allows(self, context: Context, caller: Caller) -> bool:
        if self.asks_of_caller:
            context = whole_context(caller, context)
        return (
            not self._holds(self.denied, context)
            and self._holds(self.allowed, context)
            and self._holds(self.narrowed, context)
        )

    def _holds(self, some: _Any, context: Context) -> bool:
        if isinstance(some, bool):
            return some
        return any(one.applies(self.resource, context) for one in some)


def _look(rights: Rights, action: str, resource: str) -> _Left:
    if any(policy.error is not None for policy in rights.all()):
        return _Left(Verdict.NEVER, resource, True, False, False, False)
    denied = _any(rights.all(), Effect.DENY, rights, action, resource)
    allowed = _any((*rights.identity, *rights.table), Effect.ALLOW, rights, action, resource)
    narrowed: _Any = True
    if rights.session is not None:
        narrowed = _any(rights.session, Effect.ALLOW, rights, action, resource)
    if denied is True or allowed is False or narrowed is False:
        verdict = Verdict.NEVER
    elif denied is False and allowed is True and narrowed is True:
        verdict = Verdict.ALWAYS
    else:
        verdict = Verdict.DEPENDS
    asks = any(
        _asks_of_caller(one)
        for some in (denied, allowed, narrowed)
        if not isinstance(some, bool)
        for one in some
    )
    return _Left(verdict, resource, denied, allowed, narrowed, asks)


def _asks_of_caller(one: _Open) -> bool:
    if one.statement is not None:
        return True
    return any(is_of_caller(key) for condition in one.conditions for key in condition.keys)


def _any(
    policies: Iterable[Policy], effect: Effect, rights: Rights, action: str, resource: str
) -> _Any:
    caller = rights.caller
    found: list[_Open] = []
    for policy in policies:
        for one in policy.statements:
            if one.effect is not effect:
                continue
            surely = one.surely(caller, action, resource)
            if surely:
                return True
            if surely is None:
                found.append(_opened(one, caller))
    return tuple(found) if found else False


def _opened(statement: Statement, caller: Caller) -> _Open:
    """Without what is known of the caller, which holds: else it would surely not apply."""
    conditions = tuple(
        one.settled(caller.context)
        for one in statement.conditions
        if not all(map(is_of_caller, one.keys))
    )
    varies = not all(is_of_caller(key) for one in statement.resources for key in one.keys)
    return _Open(conditions, statement if varies else None)
