"""Records what clients did and saw: operations, with the times of their invocation and return.

A history is judged by the *real-time order* of its operations (Herlihy & Wing, "Linearizability: A
Correctness Condition for Concurrent Objects", ACM TOPLAS 12(3), 1990): an operation precedes
another if it returned before the other was invoked. Two operations of which neither precedes the
other are concurrent.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client.

    Three outcomes are told apart:

    * it returned (``returned_at`` is a time): it took effect once, between its invocation and its
      return, and ``result`` is what the client was told. A condition that did not hold is such a
      result, not a failure;
    * its outcome is unknown (``returned_at`` is None; a time-out, a crash, a closed connection): it
      may take effect once at any time after its invocation, however late, or never;
    * it failed for sure (``failed``): it had no effect and saw nothing. It is left out of every
      check, so a value of which the only write failed counts as never written.

    Times are of any unit, but of one clock for the whole history. Equal times are concurrent:
    an operation invoked at the very time at which another returned may have been first. Whoever
    knows better, as a simulator with a coarse virtual clock does, breaks the tie with
    ``invoked_order`` and ``returned_order``, which ``Recorder`` does by itself.

    A process may have several calls under way; its calls are ordered by time alone. ``argument``,
    ``result`` and ``key`` are hashable; what they mean is up to the model.
    """

    process: Hashable
    kind: str
    key: Hashable
    argument: Hashable
    result: Hashable
    invoked_at: float
    returned_at: float | None
    failed: bool = False
    invoked_order: int = 0
    returned_order: int = 0

    def __post_init__(self) -> None:
        if self.returned_at is None:
            if self.failed:
                raise ValueError(
                    f"{self}: an operation that failed for sure has returned: set returned_at, or "
                    "leave out failed if its outcome is unknown"
                )
        elif (self.returned_at, self.returned_order) < (self.invoked_at, self.invoked_order):
            raise ValueError(f"{self}: it returns before it is invoked")

    @property
    def unknown(self) -> bool:
        return self.returned_at is None

    def precedes(self, other: "Operation") -> bool:
        """True if this operation returned before ``other`` was invoked."""
        return self.returned_at is not None and (self.returned_at, self.returned_order) < (
            other.invoked_at,
            other.invoked_order,
        )

    def __str__(self) -> str:
        argument = "" if self.argument is None else f" {self.argument!r}"
        if self.unknown:
            told = " -> ?"
        elif self.failed:
            told = " -> failed"
        elif self.result is None and self.argument is not None:
            told = ""
        else:
            told = f" -> {self.result!r}"
        end = "" if self.returned_at is None else f"{self.returned_at:.6g}"
        return (
            f"{self.process}: {self.kind}{argument}{told} on {self.key!r} "
            f"[{self.invoked_at:.6g}, {end}]"
        )


@dataclass(frozen=True, slots=True)
class History:
    """Operations in any order; the checks sort them by time."""

    operations: tuple[Operation, ...]

    def __init__(self, operations: Iterable[Operation]) -> None:
        object.__setattr__(self, "operations", tuple(operations))

    def __len__(self) -> int:
        return len(self.operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def by_key(self) -> dict[Hashable, list[Operation]]:
        """The operations of each key, keys in the order in which they first appear.

        A history is linearizable if and only if that of each of its objects is (Herlihy & Wing's
        locality; Horn & Kroening, "Faster Linearizability Checking via P-compositionality", FORTE
        2015), which is what makes long histories over many keys checkable.
        """
        keys: dict[Hashable, list[Operation]] = {}
        for operation in self.operations:
            keys.setdefault(operation.key, []).append(operation)
        return keys


class Recorder:
    """Makes a history out of events, which are handed in as they happen.

    The order of the calls breaks ties between equal times. So the clock may stand still, but must
    not go back. An operation whose end is never told has an unknown outcome.
    """

    def __init__(self) -> None:
        self._events = 0
        self._under_way: dict[int, Operation] = {}
        self._ended: dict[int, Operation] = {}

    def invoke(
        self,
        process: Hashable,
        kind: str,
        key: Hashable,
        argument: Hashable = None,
        *,
        at: float,
    ) -> int:
        """Records an invocation, and returns the ticket by which the operation's end is told."""
        self._events += 1
        ticket = self._events
        self._under_way[ticket] = Operation(
            process, kind, key, argument, None, at, None, invoked_order=ticket
        )
        return ticket

    def returned(self, ticket: int, result: Hashable = None, *, at: float) -> None:
        self._end(ticket, result, at, failed=False)

    def failed(self, ticket: int, *, at: float) -> None:
        """Records that the operation surely had no effect."""
        self._end(ticket, None, at, failed=True)

    def unknown(self, ticket: int) -> None:
        """Records that the outcome will never be known; the same as never telling the end."""
        self._ended[ticket] = self._under_way.pop(ticket)

    def history(self) -> History:
        """Returns all operations until now, in the order of invocation."""
        every = self._ended | self._under_way
        return History(every[ticket] for ticket in sorted(every))

    def _end(self, ticket: int, result: Hashable, at: float, *, failed: bool) -> None:
        begun = self._under_way.pop(ticket)
        self._events += 1
        self._ended[ticket] = Operation(
            begun.process,
            begun.kind,
            begun.key,
            begun.argument,
            result,
            begun.invoked_at,
            at,
            failed,
            begun.invoked_order,
            self._events,
        )


def sequential(
    steps: Sequence[tuple[Hashable, str, Hashable, Hashable]], key: Hashable = None
) -> History:
    """Makes a history without concurrency of ``(process, kind, argument, result)``, for
    examples."""
    return History(
        Operation(process, kind, key, argument, result, 2.0 * at, 2.0 * at + 1)
        for at, (process, kind, argument, result) in enumerate(steps)
    )
