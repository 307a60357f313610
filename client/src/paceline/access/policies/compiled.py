"""What can be said of an action before the context of a request is known. Pure.

A hit in a cache costs a few look-ups; to go through statements for each would cost more than all
of it. So for one caller at one resource each action is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from paceline.access.policies.policy import Policy
from paceline.access.policies.rights import Rights
from paceline.access.policies.statements import Effect


class Verdict(Enum):
    ALWAYS = "always"
    """Allowed, whatever the context is."""
    NEVER = "never"
    """Denied, whatever the context is."""
    DEPENDS = "depends"
    """``decide`` has to be asked, with the context."""


ACTIONS_MAX: Final = 256
"""Verdicts that one object keeps: more than DynamoDB has actions, whatever callers ask for."""


class Compiled:
    """Verdicts for one caller's rights at one resource. It is good as long as the rights are: who
    keeps it compares the version of the policies."""

    __slots__ = ("_verdicts", "resource", "rights")

    def __init__(self, rights: Rights, resource: str) -> None:
        self.rights = rights
        self.resource = resource
        self._verdicts: dict[str, Verdict] = {}

    def verdict(self, action: str) -> Verdict:
        """Of an action as in ``dynamodb:GetItem``: one look-up, but for the first time."""
        found = self._verdicts.get(action)
        if found is None:
            found = _verdict(self.rights, action.lower(), self.resource)
            if len(self._verdicts) < ACTIONS_MAX:
                self._verdicts[action] = found
        return found


def _verdict(rights: Rights, action: str, resource: str) -> Verdict:
    if any(policy.error is not None for policy in rights.all()):
        return Verdict.NEVER
    denied = _any(rights.all(), Effect.DENY, rights, action, resource)
    if denied:
        return Verdict.NEVER
    allowed = _any((*rights.identity, *rights.table), Effect.ALLOW, rights, action, resource)
    narrowed: bool | None = True
    if rights.session is not None:
        narrowed = _any(rights.session, Effect.ALLOW, rights, action, resource)
    if allowed is False or narrowed is False:
        return Verdict.NEVER
    if allowed and narrowed and denied is False:
        return Verdict.ALWAYS
    return Verdict.DEPENDS


def _any(
    policies: Iterable[Policy], effect: Effect, rights: Rights, action: str, resource: str
) -> bool | None:
    """Whether a statement of this effect applies, in all contexts or none; else None."""
    found: bool | None = False
    for policy in policies:
        for one in policy.statements:
            if one.effect is effect:
                surely = one.surely(rights.caller, action, resource)
                if surely:
                    return True
                if surely is None:
                    found = None
    return found
