"""All policies that apply to one caller at one table. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from paceline.access.policies.context import Caller
from paceline.access.policies.policy import Policy


@dataclass(frozen=True, slots=True)
class Rights:
    """``identity`` are the caller's own policies. ``session`` narrows them to what it allows, too:
    None is no session policy, and () allows nothing. ``table`` are those of the table.

    Caller and table are taken to belong to one account.
    """

    caller: Caller
    identity: tuple[Policy, ...] = ()
    session: tuple[Policy, ...] | None = None
    table: tuple[Policy, ...] = ()

    def all(self) -> Iterator[Policy]:
        yield from self.identity
        yield from self.session or ()
        yield from self.table

    @property
    def keys(self) -> frozenset[str]:
        """All condition keys, in small letters, that any of these policies looks at."""
        found: set[str] = set()
        for policy in self.all():
            for statement in policy.statements:
                found.update(key for one in statement.conditions for key in one.keys)
                found.update(key for one in statement.resources for key in one.keys)
        return frozenset(found)
