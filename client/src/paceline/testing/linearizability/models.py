"""Sequential specifications: what one object answers when its operations come one at a time."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

from paceline.testing.linearizability.history import Operation

State = TypeVar("State", bound=Hashable)


class Illegal(Enum):
    """The answer of a step that contradicts the recorded result; a state may well be None."""

    ILLEGAL = "illegal"


ILLEGAL: Final = Illegal.ILLEGAL


class Access(NamedTuple):
    """An operation of a plain register: a write of ``value``, or a read that returned it."""

    is_write: bool
    value: Hashable


class Model(ABC, Generic[State]):
    """A sequential object. Its methods are pure functions of their arguments.

    States are hashable and compare equal exactly if no operation can tell them apart.
    """

    @abstractmethod
    def initial(self) -> State: ...

    @abstractmethod
    def step(self, state: State, operation: Operation) -> State | Illegal:
        """The state after ``operation``; ILLEGAL if in ``state`` it answers other than recorded.

        The result of an operation of unknown outcome is not known: such a one is never ILLEGAL; if
        it would have been refused, the state stays.
        """

    def observes_only(self, operation: Operation) -> bool:
        """Whether ``operation``, with its result, leaves every state as it is.

        Saying so makes the search faster by orders of magnitude.
        """
        return False

    def access(self, operation: Operation) -> Access | None:
        """What it is on a plain register, None if it is anything else.

        A key with nothing but reads and writes, where each read value has one possible write, is
        checked without search. Staleness and session guarantees are defined on these alone.
        """
        return None


class Register(Model[Hashable]):
    """``write`` (argument: the value) and ``read`` (result: the value)."""

    def __init__(self, initial: Hashable = None) -> None:
        self._initial = initial

    def initial(self) -> Hashable:
        return self._initial

    def step(self, state: Hashable, operation: Operation) -> Hashable | Illegal:
        if operation.kind == "write":
            return operation.argument
        if operation.kind == "read":
            return state if operation.unknown or operation.result == state else ILLEGAL
        raise _unknown_kind(self, operation)

    def observes_only(self, operation: Operation) -> bool:
        return operation.kind == "read"

    def access(self, operation: Operation) -> Access | None:
        if operation.kind == "write":
            return Access(True, operation.argument)
        if operation.kind == "read":
            return Access(False, operation.result)
        return None


class Counter(Model[int]):
    """``add`` (argument: the amount), ``add_and_get`` (result: the new value) and ``read``."""

    def __init__(self, initial: int = 0) -> None:
        self._initial = initial

    def initial(self) -> int:
        return self._initial

    def step(self, state: int, operation: Operation) -> int | Illegal:
        if operation.kind == "read":
            return state if operation.unknown or operation.result == state else ILLEGAL
        if operation.kind not in ("add", "add_and_get"):
            raise _unknown_kind(self, operation)
        if not isinstance(operation.argument, int):
            raise ValueError(f"{operation}: the amount is to be an int")
        after = state + operation.argument
        if operation.kind == "add" or operation.unknown or operation.result == after:
            return after
        return ILLEGAL

    def observes_only(self, operation: Operation) -> bool:
        return operation.kind == "read"


class KeyValue(Model[Hashable]):
    """One key of a key-value store; None is 'absent', both as a value read and one written.

    ====================  =================  =====================================================
    kind                argument             result
    ====================  =================  =====================================================
    ``read``            -                    the value
    ``write``           the value            -
    ``delete``          -                    -
    ``swap``            the value            the value before
    ``write_if``        (expected, value)    True, or False: the value was another than expected
    ``write_if_present``  the value          True, or False: there was none
    ``add``             the amount           -  (absent counts as 0)
    ``add_and_get``     the amount           the new value
    ====================  =================  =====================================================

    ``write_if`` expecting None creates only; writing None deletes.
    """

    _CONDITIONAL = frozenset(("write_if", "write_if_present"))

    def __init__(self, initial: Hashable = None) -> None:
        self._initial = initial

    def initial(self) -> Hashable:
        return self._initial

    def step(self, state: Hashable, operation: Operation) -> Hashable | Illegal:
        kind = operation.kind
        if kind == "read":
            return state if operation.unknown or operation.result == state else ILLEGAL
        if kind == "write":
            return operation.argument
        if kind == "delete":
            return None
        if kind == "swap":
            legal = operation.unknown or operation.result == state
            return operation.argument if legal else ILLEGAL
        if kind in self._CONDITIONAL:
            return self._conditional(state, operation)
        if kind in ("add", "add_and_get"):
            return self._add(state, operation)
        raise _unknown_kind(self, operation)

    def observes_only(self, operation: Operation) -> bool:
        return operation.kind == "read" or (
            operation.kind in self._CONDITIONAL
            and not operation.unknown
            and operation.result is False
        )

    def access(self, operation: Operation) -> Access | None:
        if operation.kind == "read":
            return Access(False, operation.result)
        if operation.kind == "write":
            return Access(True, operation.argument)
        if operation.kind == "delete":
            return Access(True, None)
        return None

    def _conditional(self, state: Hashable, operation: Operation) -> Hashable | Illegal:
        if operation.kind == "write_if":
            if not isinstance(operation.argument, tuple) or len(operation.argument) != 2:
                raise ValueError(f"{operation}: the argument is to be (expected, value)")
            expected, value = operation.argument
            holds = state == expected
        else:
            holds, value = state is not None, operation.argument
        if not operation.unknown and operation.result is not holds:
            return ILLEGAL
        return value if holds else state

    def _add(self, state: Hashable, operation: Operation) -> Hashable | Illegal:
        if not isinstance(operation.argument, int):
            raise ValueError(f"{operation}: the amount is to be an int")
        before = 0 if state is None else state
        if not isinstance(before, int):  # what a store refuses to add to
            return state if operation.unknown else ILLEGAL
        after = before + operation.argument
        if operation.kind == "add" or operation.unknown or operation.result == after:
            return after
        return ILLEGAL


def _unknown_kind(model: Model[Hashable] | Counter, operation: Operation) -> ValueError:
    return ValueError(f"{operation}: {type(model).__name__} has no operation {operation.kind!r}")
