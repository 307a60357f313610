"""What can be read, and means something else than it seems to: IAM's traps, for authors. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.access.policies.conditions import Sets
from paceline.access.policies.policy import Policy
from paceline.access.policies.statements import Effect, Statement


def remarks(policy: Policy) -> Iterator[str]:
    for one in policy.statements:
        for said in _remarks(one):
            yield f"statement {one.name} of {policy.name}: {said}"


def _remarks(statement: Statement) -> Iterator[str]:
    guarded = {one.key for one in statement.conditions if one.wanted == {False}}
    for one in statement.conditions:
        if one.is_blind:
            yield (
                f"{one.written} never matches {one.key}, which may have several values: put "
                "ForAllValues: or ForAnyValue: before it"
            )
        allows = statement.effect is Effect.ALLOW
        if allows and one.sets is Sets.ALL and one.key not in guarded:
            yield (
                f"{one.written} also holds where {one.key} is not in the request: add "
                f'"Null": {{"{one.key}": "false"}} unless that is meant'
            )
    if statement.effect is Effect.ALLOW and (statement.not_actions or statement.not_resources):
        what = "NotAction" if statement.not_actions else "NotResource"
        yield f"Allow with {what} allows all that is not named, also what does not exist yet"
