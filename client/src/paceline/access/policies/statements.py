"""One statement of a policy, and whether it applies to a request. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from paceline.access.policies.arns import PARTS, ResourcePattern
from paceline.access.policies.conditions import Condition
from paceline.access.policies.context import Caller, Context, account_of, is_of_caller
from paceline.access.policies.problems import Wrong, shown
from paceline.access.policies.templates import Glob, parse


class Effect(Enum):
    ALLOW = "Allow"
    DENY = "Deny"


_ACTION = re.compile(r"\*|(?:[a-z0-9-]+|\*):[a-z0-9*?]+", re.IGNORECASE | re.ASCII)


class ActionPattern:
    """One entry of ``Action`` or ``NotAction``; large and small letters are the same."""

    __slots__ = ("_glob",)

    def __init__(self, text: str) -> None:
        if not _ACTION.fullmatch(text):
            raise Wrong(
                f"{shown(text)} is no action",
                "an action is *, or a service and a name, as in dynamodb:GetItem, whose name may "
                "have * and ?",
            )
        self._glob = Glob(parse(text.lower(), variables=False, wildcards=True))

    def matches(self, action: str) -> bool:
        """``action`` in small letters."""
        return self._glob.matches(action)


_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Named:
    """The ``Principal`` of a table policy's statement."""

    anybody: bool
    arns: frozenset[str]
    accounts: frozenset[str]
    """Whoever is in one is denied by a Deny; an Allow only leaves it to the account to allow it,
    by policies of its own."""

    def includes(self, caller: Caller, effect: Effect, resource: str) -> bool:
        """Callers are in the account that their ARN names, and in that of the table."""
        if self.anybody or caller.arn in self.arns or caller.role_arn in self.arns:
            return True
        if effect is Effect.ALLOW or not self.accounts:
            return False
        return not self.accounts.isdisjoint((caller.account, account_of(resource)))

    @staticmethod
    def read(texts: list[str]) -> Named:
        """Raises Wrong."""
        arns: set[str] = set()
        accounts: set[str] = set()
        for text in texts:
            parts = text.split(":", PARTS - 1)
            if _ACCOUNT.fullmatch(text):
                accounts.add(text)
            elif text == "*":
                pass
            elif len(parts) != PARTS or parts[0] != "arn" or "*" in text or "?" in text:
                raise Wrong(
                    f"{shown(text)} names no principal",
                    'principals are "*", ARNs without wildcards, or accounts of twelve digits',
                )
            elif parts[5] == "root":
                accounts.add(parts[4])
            else:
                arns.add(text)
        return Named("*" in texts, frozenset(arns), frozenset(accounts))


@dataclass(frozen=True, slots=True)
class Statement:
    """``name`` is its Sid, or ``#n`` by its index from 0. ``named`` is None outside of table
    policies: there it is about whoever has the policy."""

    name: str
    effect: Effect
    named: Named | None
    actions: tuple[ActionPattern, ...]
    not_actions: bool
    """All actions but these."""
    resources: tuple[ResourcePattern, ...]
    not_resources: bool
    conditions: tuple[Condition, ...]

    def is_about(self, caller: Caller, action: str, resource: str) -> bool:
        """Caller and action alone; ``action`` in small letters."""
        if self.named is not None and not self.named.includes(caller, self.effect, resource):
            return False
        return any(one.matches(action) for one in self.actions) is not self.not_actions

    def has_resource(self, resource: str, context: Context) -> bool:
        found = any(one.matches(resource, context) for one in self.resources)
        return found is not self.not_resources

    def applies(self, caller: Caller, action: str, resource: str, context: Context) -> bool:
        return (
            self.is_about(caller, action, resource)
            and self.has_resource(resource, context)
            and all(one.holds(context) for one in self.conditions)
        )

    def surely(self, caller: Caller, action: str, resource: str) -> bool | None:
        """Whether it applies in every context that a request of the caller's can have; None if
        that depends on the context."""
        if not self.is_about(caller, action, resource):
            return False
        known = caller.context
        open_ = not all(is_of_caller(key) for one in self.resources for key in one.keys)
        if not open_ and not self.has_resource(resource, known):
            return False
        for one in self.conditions:
            if not all(map(is_of_caller, one.keys)):
                open_ = True
            elif not one.holds(known):
                return False
        return None if open_ else True

    def obstacle(self, caller: Caller, action: str, resource: str, context: Context) -> str | None:
        """Says what keeps it from applying; None if it applies."""
        if self.named is not None and not self.named.includes(caller, self.effect, resource):
            return f"it is not about {caller.arn}"
        if not self.is_about(caller, action, resource):
            return f"it is not about {action}"
        if not self.has_resource(resource, context):
            return f"it is not about {resource}"
        for one in self.conditions:
            if not one.holds(context):
                given = context.get(one.key, ())
                said = f"is {', '.join(map(shown, given))}" if given else "is not in the request"
                return f"its condition {one.written} does not hold: {one.key} {said}"
        return None
