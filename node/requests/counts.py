"""What is counted of requests: how many, of what, how they ended, and how long they took. Pure.

A label has few values, whatever callers send: operations that DynamoDB has, tables that an answer
has shown to be there (the first ``TABLES_MAX`` of them), and what ``OTHER`` stands for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from paceline.dynamodb_operations import OPERATIONS, THROTTLING_ERRORS
from paceline.errors import RequestError, ServiceError

End = Literal["ok", "error", "throttled", "fault", "cancelled"]
"""``error``: the caller's; ``fault``: ours, DynamoDB's, or an unknown outcome; ``cancelled``: the
caller went away."""

TABLES_MAX: Final = 100
OTHER: Final = "other"
SEVERAL: Final = ""
"""The table of a request that names several, or none."""

_THROTTLED: Final = frozenset({*THROTTLING_ERRORS, "LimitExceededException"})

BOUNDS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Of the histograms: upper ends, in seconds. What took longer is in the last one, without end."""


def end_of(error: BaseException) -> End:
    """How a request ended that raised ``error``, which is no cancellation."""
    if isinstance(error, ServiceError):
        if error.name in _THROTTLED:
            return "throttled"
        if isinstance(error, RequestError) or (error.status is not None and error.status < 500):
            return "error"
    return "fault"


def error_name(error: BaseException) -> str:
    """As its caller reads it, where it has a name there."""
    return error.name if isinstance(error, ServiceError) else type(error).__name__


def table_of(params: Mapping[str, object] | None) -> str:
    name = None if params is None else params.get("TableName")
    return name if isinstance(name, str) else SEVERAL


class RequestCounts:
    """One per node: all requests that came as far as an operation."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, str], int] = {}
        self._tables: dict[str, str] = {SEVERAL: SEVERAL}

    def add(self, operation: str, table: str, protocol: str, end: End) -> None:
        shown = self._tables.get(table)
        if shown is None:
            shown = self.shown(table) if end == "ok" else OTHER
        if operation not in OPERATIONS:
            operation = OTHER
        label = operation, shown, protocol, end
        self._counts[label] = self._counts.get(label, 0) + 1

    def labelled(
        self, at_once: Mapping[str, Mapping[bytes, int]]
    ) -> Iterable[tuple[tuple[str, str, str, str], float]]:
        """By operation, table, protocol and end. ``at_once``: GetItems that front ends have
        answered by themselves, by protocol and table."""
        counts = dict(self._counts)
        for protocol, by_table in at_once.items():
            for table, count in by_table.items():
                label = "GetItem", self.shown(table.decode("utf-8", "replace")), protocol, "ok"
                counts[label] = counts.get(label, 0) + count
        return list(counts.items())

    def shown(self, table: str) -> str:
        """The label of a table that is there."""
        if table not in self._tables and len(self._tables) > TABLES_MAX:
            return OTHER
        return self._tables.setdefault(table, table)


class Tally:
    """To which table each part of a running count belongs: it is looked at when the table changes,
    so that what counts need not know of tables."""

    def __init__(self, running: Callable[[], int]) -> None:
        self._running = running
        self._by_table: dict[bytes, int] = {}
        self._table = b""
        self._mark = 0

    def turn(self, table: bytes) -> None:
        """From now on it is ``table``'s."""
        count = self._running()
        if count > self._mark:
            self._by_table[self._table] = self._by_table.get(self._table, 0) + count - self._mark
        self._mark = count
        self._table = table

    def by_table(self) -> Mapping[bytes, int]:
        self.turn(self._table)
        return self._by_table


class Seen(NamedTuple):
    """One of those that a bucket counts. ``trace``: its trace's id; ``at``: seconds since the
    epoch."""

    trace: str
    took_s: float
    at: float


Bucket = tuple[str, float] | tuple[str, float, Seen]


class Latencies:
    """Histograms of seconds by a few labels. ``bounds_s``: upper ends, ascending."""

    def __init__(self, bounds_s: tuple[float, ...] = BOUNDS_S) -> None:
        self._bounds_s = bounds_s
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums_s: dict[tuple[str, ...], float] = {}
        self._seen: dict[tuple[tuple[str, ...], int], Seen] = {}

    def add(self, labels: tuple[str, ...], took_s: float, times: int = 1) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self._bounds_s) + 1)
            self._sums_s[labels] = 0.0
        counts[bisect_left(self._bounds_s, took_s)] += times
        self._sums_s[labels] += took_s * times

    def saw(self, labels: tuple[str, ...], seen: Seen) -> None:
        """Of one that was added: it is its bucket's example from now on."""
        self._seen[labels, bisect_left(self._bounds_s, seen.took_s)] = seen

    def distributions(self) -> Iterator[tuple[tuple[str, ...], list[Bucket], float]]:
        """Labels, cumulated counts by upper bound, and the sum, as ``LabelledHistogram`` has
        them."""
        bounds = (*map(repr, self._bounds_s), "+Inf")
        for labels, counts in list(self._counts.items()):
            total = 0
            buckets: list[Bucket] = []
            for place, (bound, count) in enumerate(zip(bounds, counts, strict=True)):
                total += count
                seen = self._seen.get((labels, place))
                buckets.append((bound, total) if seen is None else (bound, total, seen))
            yield labels, buckets, self._sums_s[labels]
