"""What a run's history says: linearizable or not, and whether the counters add up."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from paceline_local.testing.linearizability import Answer, KeyValue, Operation, Verdict, check
from tests.chaos.workload import COUNTERS, KEYS, Value, key, value_of


def judge(operations: Sequence[Operation], repeats: Sequence[Operation]) -> Verdict:
    """``repeats``: attempts that may have happened besides the operations of their own calls.

    Without them the values written are unique, which the checker judges without search; a key that
    is legal without them is legal with them, since an operation of unknown outcome need never take
    effect.
    """
    first = check(operations, KeyValue(), explanations_max=0)
    doubtful = {verdict.key for verdict in first.keys.values() if verdict.answer is not Answer.OK}
    if not doubtful:
        return first
    more = [*operations, *repeats]
    second = check([one for one in more if one.key in doubtful], KeyValue())
    return Verdict({**first.keys, **second.keys})


def miscounted(operations: Sequence[Operation], repeats: Sequence[Operation]) -> list[str]:
    """Counters that differ from their acknowledged increments by more than the unknown ones.

    The history has to end with a reading of every counter.
    """
    problems = []
    for counter in COUNTERS:
        adds = [
            one
            for one in (*operations, *repeats)
            if one.key == counter and one.kind == "add_and_get" and not one.failed
        ]
        sure = sum(not one.unknown for one in adds)
        final = next(
            one for one in reversed(operations) if one.key == counter and one.kind == "read"
        )
        found = final.result or 0
        assert isinstance(found, int)
        if not sure <= found <= len(adds):
            problems.append(
                f"counter {counter} is {found} after {sure} acknowledged increments and "
                f"{len(adds) - sure} of unknown outcome"
            )
        twice = [
            value
            for value, times in Counter(one.result for one in adds if not one.unknown).items()
            if times > 1
        ]
        if twice:
            problems.append(f"increments of {counter} were told the same result: {twice[:5]}")
    return problems


def read_back(plain: Any, table: str) -> list[Operation]:
    """Every key as DynamoDB has it, when nothing is under way any more: what is missing there is
    lost. ``plain``: boto3 straight on it."""
    found: list[Operation] = []
    for sk in KEYS:
        begun = time.monotonic()
        answer = plain.get_item(TableName=table, Key=key(sk), ConsistentRead=True)
        value: Value = value_of(sk, answer.get("Item"))
        found.append(Operation("DynamoDB", "read", sk, None, value, begun, time.monotonic()))
    return found
