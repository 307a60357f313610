"""Puts one key's operations on a line of numbered events, which is what the algorithms work on."""

import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from paceline_local.testing.linearizability.history import Operation

OPEN: Final = sys.maxsize
"""The return event of an operation that never returned."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """The operations in the order of invocation, and the numbers of their two events.

    No number occurs twice, so that one operation precedes another exactly if ``returned[one] <
    invoked[other]``: at equal times, invocations are numbered before returns. Operations that
    failed for sure are not included.
    """

    operations: Sequence[Operation]
    invoked: Sequence[int]
    returned: Sequence[int]

    def __len__(self) -> int:
        return len(self.operations)

    def prefix(self, event: int) -> "Intervals":
        """Returns the history as it was known right after ``event``: operations that had not
        returned are open.

        Every prefix of a linearizable history is linearizable.
        """
        return Intervals(
            *_columns(
                (operation, invoked, returned)
                if returned <= event
                else (as_unknown(operation), invoked, OPEN)
                for operation, invoked, returned in zip(
                    self.operations, self.invoked, self.returned, strict=True
                )
                if invoked <= event
            )
        )

    def without(self, indices: Collection[int]) -> "Intervals":
        """Returns the history without the operations at ``indices``. These must not change the
        state, as others would depend on them."""
        rows = zip(self.operations, self.invoked, self.returned, strict=True)
        return Intervals(*_columns(row for i, row in enumerate(rows) if i not in indices))

    def weakened(self, indices: Iterable[int]) -> "Intervals":
        """Returns the history with unknown outcomes for the operations at ``indices``.

        It allows more than before: if it is illegal, so is the history with these operations,
        without them, and with any part of them.
        """
        operations, returned = list(self.operations), list(self.returned)
        for index in indices:
            operations[index] = as_unknown(operations[index])
            returned[index] = OPEN
        return Intervals(operations, self.invoked, returned)


def intervals(operations: Iterable[Operation]) -> Intervals:
    kept = [operation for operation in operations if not operation.failed]
    events: list[tuple[float, int, bool, int]] = []
    for index, operation in enumerate(kept):
        events.append((operation.invoked_at, operation.invoked_order, False, index))
        if operation.returned_at is not None:
            events.append((operation.returned_at, operation.returned_order, True, index))
    events.sort()
    order: list[int] = []
    invoked: list[int] = []
    returned_of = [OPEN] * len(kept)
    for number, (_, _, is_return, index) in enumerate(events):
        if is_return:
            returned_of[index] = number
        else:
            order.append(index)
            invoked.append(number)
    return Intervals([kept[i] for i in order], invoked, [returned_of[i] for i in order])


def as_unknown(operation: Operation) -> Operation:
    if operation.unknown:
        return operation
    return replace(operation, result=None, returned_at=None, returned_order=0)


def _columns(
    rows: Iterable[tuple[Operation, int, int]],
) -> tuple[list[Operation], list[int], list[int]]:
    operations: list[Operation] = []
    invoked: list[int] = []
    returned: list[int] = []
    for operation, begin, end in rows:
        operations.append(operation)
        invoked.append(begin)
        returned.append(end)
    return operations, invoked, returned
