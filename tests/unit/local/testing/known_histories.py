"""Small histories of which the verdict is known: ones that a checker must refuse, and ones that
naive checkers refuse wrongly.

An operation is (process, kind, argument, result, invoked_at, returned_at). The time of return is
UNKNOWN where the outcome is, and (time, "failed") where it surely had no effect.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from paceline_local.testing.linearizability import Counter, KeyValue, Model, Operation, Register

UNKNOWN: Final = None

Row = tuple[Hashable, str, Hashable, Hashable, float, float | tuple[float, str] | None]


@dataclass(frozen=True, slots=True)
class Known:
    name: str
    model: Model[Any]
    rows: Sequence[Row]
    explained_by: int = 0
    """Operations that are needed to show that it is illegal."""

    def operations(self) -> list[Operation]:
        return [operation(row) for row in self.rows]


def operation(row: Row, key: Hashable = "key") -> Operation:
    process, kind, argument, result, invoked_at, end = row
    failed = isinstance(end, tuple)
    returned_at = end[0] if isinstance(end, tuple) else end
    return Operation(process, kind, key, argument, result, invoked_at, returned_at, failed)


REGISTER = Register()
STORE = KeyValue()
COUNTER = Counter()

W1: Final[Row] = ("w", "write", 1, None, 0, 1)
W2: Final[Row] = ("w", "write", 2, None, 2, 3)


def read(process: Hashable, result: Hashable, invoked_at: float, returned_at: float | None) -> Row:
    return (process, "read", None, result, invoked_at, returned_at)


ILLEGAL_HISTORIES: Final = [
    Known("stale read", REGISTER, [W1, W2, read("r", 1, 4, 5)], 3),
    Known("stale read of the initial value", REGISTER, [W1, read("r", None, 2, 3)], 2),
    Known("read of a value that nobody wrote", REGISTER, [W1, read("r", 7, 2, 3)], 1),
    Known("read from the future", REGISTER, [read("r", 1, 0, 1), ("w", "write", 1, None, 2, 3)], 1),
    Known(
        "read from the future, of a write of unknown outcome",
        REGISTER,
        [read("r", 1, 0, 1), ("w", "write", 1, None, 2, UNKNOWN)],
        1,
    ),
    Known(
        "two readers one after the other, the second sees less, while the write runs",
        REGISTER,
        [W1, ("w", "write", 2, None, 2, 9), read("a", 2, 3, 4), read("b", 1, 5, 6)],
        3,
    ),
    Known(
        "two readers disagree on the order of two concurrent writes",
        REGISTER,
        [
            ("x", "write", 1, None, 0, 10),
            ("y", "write", 2, None, 0, 10),
            read("a", 1, 1, 2),
            read("a", 2, 3, 4),
            read("b", 2, 5, 6),
            read("b", 1, 7, 8),
        ],
        3,
    ),
    Known(
        "a write that failed for sure is seen",
        REGISTER,
        [("w", "write", 1, None, 0, (1, "failed")), read("r", 1, 2, 3)],
        1,
    ),
    Known(
        "a write of unknown outcome is seen, then not",
        REGISTER,
        [W1, ("x", "write", 2, None, 2, UNKNOWN), read("r", 2, 4, 5), read("r", 1, 6, 7)],
        3,
    ),
    Known(
        "a write of unknown outcome surfaces twice",
        REGISTER,
        [
            ("x", "write", 1, None, 0, UNKNOWN),
            read("r", 1, 1, 2),
            ("w", "write", 2, None, 3, 4),
            read("r", 2, 5, 6),
            read("r", 1, 7, 8),
        ],
        3,
    ),
    Known("an acknowledged write is lost", STORE, [W1, W2, read("r", None, 4, 5)], 2),
    Known(
        "lost update: two conditional writes succeed on one value",
        STORE,
        [
            W1,
            ("a", "write_if", (1, 2), True, 2, 5),
            ("b", "write_if", (1, 3), True, 3, 6),
        ],
        2,
    ),
    Known(
        "two creations succeed",
        STORE,
        [("a", "write_if", (None, 1), True, 0, 5), ("b", "write_if", (None, 2), True, 0, 5)],
        2,
    ),
    Known(
        "a conditional write that was rejected is seen",
        STORE,
        [W1, ("a", "write_if", (None, 2), False, 2, 3), read("r", 2, 4, 5)],
        1,
    ),
    Known(
        "a conditional write is rejected although its condition held",
        STORE,
        [W1, ("a", "write_if", (1, 2), False, 2, 3)],
        2,
    ),
    Known(
        "a conditional write succeeds on a value of the past",
        STORE,
        [W1, W2, ("a", "write_if", (1, 3), True, 4, 5)],
        3,
    ),
    Known(
        "ABA: the first value is seen between, and never comes back",
        STORE,
        [
            W1,
            W2,
            ("w", "write", 1, None, 4, 5),
            read("r", 2, 6, 7),
        ],
        3,
    ),
    Known(
        "a deleted value is seen again",
        STORE,
        [W1, ("w", "delete", None, None, 2, 3), read("r", None, 4, 5), read("r", 1, 6, 7)],
        3,
    ),
    Known(
        "update of what is absent",
        STORE,
        [W1, ("w", "delete", None, None, 2, 3), ("a", "write_if_present", 2, True, 4, 5)],
        3,
    ),
    Known(
        "two swaps get the same value",
        STORE,
        [W1, ("a", "swap", 2, 1, 2, 9), ("b", "swap", 3, 1, 2, 9)],
        2,
    ),
    Known(
        "swaps that can only have followed each other",
        STORE,
        [("a", "swap", 1, 2, 0, 9), ("b", "swap", 2, 1, 0, 9)],
        2,
    ),
    Known(
        "a value is seen after the swap that took it away was seen",
        STORE,
        [W1, ("a", "swap", 2, 1, 2, 9), read("r", 2, 3, 4), read("s", 1, 5, 6)],
        3,
    ),
    Known(
        "an increment is applied twice",
        COUNTER,
        [("a", "add", 1, None, 0, 1), read("r", 2, 2, 3)],
        1,
    ),
    Known(
        "an increment of unknown outcome is applied twice",
        COUNTER,
        [("a", "add", 1, None, 0, UNKNOWN), read("r", 1, 2, 3), read("r", 2, 4, 5)],
        1,
    ),
    Known(
        "an increment is lost",
        COUNTER,
        [("a", "add", 1, None, 0, 1), ("b", "add", 1, None, 0, 1), read("r", 1, 2, 3)],
        3,
    ),
    Known(
        "two increments get the same number",
        COUNTER,
        [("a", "add_and_get", 1, 1, 0, 5), ("b", "add_and_get", 1, 1, 0, 5)],
        2,
    ),
    Known(
        "an unknown increment counts in a later result, then no more",
        STORE,
        [
            ("a", "add", 1, None, 0, UNKNOWN),
            ("b", "add_and_get", 1, 2, 2, 3),
            ("b", "add_and_get", 1, 2, 4, 5),
        ],
        2,
    ),
]

LEGAL_HISTORIES: Final = [
    Known("nothing happened", REGISTER, []),
    Known("reads of the initial value", REGISTER, [read("r", None, 0, 1), read("s", None, 0, 1)]),
    Known(
        "a read during the write sees the old value or the new one",
        REGISTER,
        [W1, ("w", "write", 2, None, 2, 9), read("a", 1, 3, 8), read("b", 2, 3, 8)],
    ),
    Known(
        "a long read sees a value that came and went meanwhile",
        REGISTER,
        [W1, W2, ("w", "write", 3, None, 4, 5), read("r", 2, 0.5, 9)],
    ),
    Known(
        "of overlapping writes the one that returned first may be the last",
        REGISTER,
        [("x", "write", 1, None, 0, 9), ("y", "write", 2, None, 1, 2), read("r", 2, 10, 11)],
    ),
    Known(
        "a write of unknown outcome that never happened",
        REGISTER,
        [W1, ("x", "write", 2, None, 2, UNKNOWN), read("r", 1, 90, 91)],
    ),
    Known(
        "a write of unknown outcome surfaces late, over a newer one",
        REGISTER,
        [
            ("x", "write", 1, None, 0, UNKNOWN),
            ("w", "write", 2, None, 5, 6),
            read("r", 2, 7, 8),
            read("r", 1, 90, 91),
        ],
    ),
    Known(
        "three unknown writes surface in the reverse order",
        REGISTER,
        [
            *((name, "write", name, None, name, UNKNOWN) for name in (1, 2, 3)),
            *(read("r", value, 20 - 2 * value, 21 - 2 * value) for value in (3, 2, 1)),
        ],
    ),
    Known(
        "operations open at the end: reads saw one of them",
        REGISTER,
        [("x", "write", 1, None, 0, UNKNOWN), read("r", 1, 1, 2), read("s", None, 0, UNKNOWN)],
    ),
    Known(
        "a write that failed for sure is not seen",
        REGISTER,
        [W1, ("x", "write", 2, None, 2, (3, "failed")), read("r", 1, 4, 5)],
    ),
    Known(
        "a write that failed and was repeated",
        REGISTER,
        [
            ("x", "write", 1, None, 0, (1, "failed")),
            ("x", "write", 1, None, 2, 3),
            read("r", 1, 4, 5),
        ],
    ),
    Known("equal times: the write may be last", REGISTER, [W1, read("r", None, 1, 2)]),
    Known("equal times: the write may be first", REGISTER, [W1, read("r", 1, 0, 0)]),
    Known(
        "all at one instant",
        REGISTER,
        [("w", "write", 1, None, 0, 0), read("a", None, 0, 0), read("b", 1, 0, 0)],
    ),
    Known(
        "ABA: the same value twice, and another between",
        STORE,
        [W1, W2, read("r", 2, 3.5, 3.7), ("w", "write", 1, None, 4, 5), read("r", 1, 6, 7)],
    ),
    Known(
        "a value is written twice and deleted twice",
        STORE,
        [
            W1,
            ("d", "delete", None, None, 2, 3),
            ("w", "write", 1, None, 2, 5),
            ("d", "delete", None, None, 4, 9),
            read("r", 1, 5, 6),
            read("r", None, 7, 8),
        ],
    ),
    Known(
        "an unknown conditional write whose condition came true later",
        STORE,
        [
            ("x", "write_if", (1, 5), None, 0, UNKNOWN),
            ("w", "write", 1, None, 2, 3),
            read("r", 1, 4, 5),
            read("r", 5, 6, 7),
        ],
    ),
    Known(
        "an unknown conditional write whose condition never held",
        STORE,
        [("x", "write_if", (1, 5), None, 0, UNKNOWN), read("r", None, 2, 3)],
    ),
    Known(
        "a rejected condition saw an unknown write that is seen by nobody else",
        STORE,
        [
            ("x", "write", 1, None, 0, UNKNOWN),
            ("a", "write_if", (None, 2), False, 2, 3),
            ("w", "write", 3, None, 4, 5),
            read("r", 3, 6, 7),
        ],
    ),
    Known(
        "a chain of swaps, in the order of what they got",
        STORE,
        [
            ("a", "swap", 1, None, 0, 9),
            ("b", "swap", 2, 1, 0, 9),
            ("c", "swap", 3, 2, 0, 9),
            read("r", 2, 5, 9),
        ],
    ),
    Known(
        "an increment of unknown outcome shows late",
        COUNTER,
        [
            ("a", "add", 1, None, 0, UNKNOWN),
            ("b", "add_and_get", 1, 1, 2, 3),
            read("r", 1, 4, 5),
            read("r", 2, 6, 7),
        ],
    ),
    Known(
        "concurrent increments are counted in any order",
        COUNTER,
        [
            ("a", "add_and_get", 2, 5, 0, 9),
            ("b", "add_and_get", 3, 3, 0, 9),
            read("r", 3, 1, 8),
            read("s", 5, 1, 8),
        ],
    ),
    Known(
        "adding begins with nothing as with 0",
        STORE,
        [
            ("a", "add_and_get", 2, 2, 0, 1),
            ("b", "delete", None, None, 2, 3),
            ("a", "add", 5, None, 4, 5),
            read("r", 5, 6, 7),
        ],
    ),
]
