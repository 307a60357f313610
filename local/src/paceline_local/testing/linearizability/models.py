"""Sequential specifications: what one object answers when its operations come one at a time."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

from paceline_local.testing.linearizability.history import Operation

State = TypeVar("State", bound=Hashable)


class Illegal(Enum):
    """The answer of a step that contradicts the recorded result. None could not say so, as it may
    be a state."""

    ILLEGAL = "illegal"


ILLEGAL: Final = Illegal.ILLEGAL


class Needs(Enum):
    """What an operation needs of the state, where that is not one certain state."""

    NOTHING = "nothing"
    """The operation is legal in every state."""
    SOMETHING = "something"
    """The operation may be legal in several states; which ones is not said."""


class Leaves(Enum):
    """What an operation leaves, where that is not one certain state."""

    SAME = "same"
    """The state is left as it was: with its result, the operation only observes."""
    SOMETHING = "something"
    """The state that is left depends on something that is not said."""


class Transition(NamedTuple):
    """What an operation and its result say before the state is known.

    ``needs`` is the one state in which the operation is legal. ``leaves`` is the one state that it
    can leave instead of another. An operation of unknown outcome may also leave the state as it
    was, unless ``needs`` is ``Needs.NOTHING``.
    """

    needs: Hashable
    leaves: Hashable


UNDESCRIBED: Final = Transition(Needs.SOMETHING, Leaves.SOMETHING)


class Model(ABC, Generic[State]):
    """A sequential object. Its methods are pure functions of their arguments.

    States are hashable and compare equal exactly if no operation can tell them apart.
    """

    @abstractmethod
    def initial(self) -> State: ...

    @abstractmethod
    def step(self, state: State, operation: Operation) -> State | Illegal:
        """Returns the state after ``operation``, or ILLEGAL if in ``state`` it answers other than
        recorded.

        The result of an operation of unknown outcome is not known, so it is never ILLEGAL: where it
        would have been refused, the state stays.
        """

    def transition(self, operation: Operation) -> Transition:
        """Returns what is known of ``operation`` beforehand. UNDESCRIBED is always right.

        A model that says more makes the search faster by orders of magnitude. Keys that are plain
        registers need no search then; staleness and session guarantees are defined for these alone.
        """
        return UNDESCRIBED


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

    def transition(self, operation: Operation) -> Transition:
        if operation.kind == "write":
            return Transition(Needs.NOTHING, operation.argument)
        return _read(operation) if operation.kind == "read" else UNDESCRIBED


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

    def transition(self, operation: Operation) -> Transition:
        if operation.kind == "read":
            return _read(operation)
        if operation.kind == "add_and_get" and not operation.unknown:
            return Transition(_difference(operation), operation.result)
        return UNDESCRIBED


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

    def transition(self, operation: Operation) -> Transition:
        kind, argument = operation.kind, operation.argument
        if kind == "read":
            return _read(operation)
        if kind == "write":
            return Transition(Needs.NOTHING, argument)
        if kind == "delete":
            return Transition(Needs.NOTHING, None)
        if kind == "swap":
            return Transition(Needs.NOTHING if operation.unknown else operation.result, argument)
        if kind == "write_if" and isinstance(argument, tuple):
            if operation.result is False and not operation.unknown:
                return Transition(Needs.SOMETHING, Leaves.SAME)
            return Transition(argument[0], argument[1])
        if kind == "write_if_present":
            if operation.result is False and not operation.unknown:
                return Transition(None, Leaves.SAME)
            return Transition(Needs.SOMETHING, argument)
        if kind == "add_and_get" and not operation.unknown:
            before = _difference(operation)
            # Nothing and 0 are different states, and both count as 0.
            return Transition(before or Needs.SOMETHING, operation.result)
        return UNDESCRIBED

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


def _read(operation: Operation) -> Transition:
    return Transition(Needs.NOTHING if operation.unknown else operation.result, Leaves.SAME)


def _difference(operation: Operation) -> Hashable:
    if isinstance(operation.result, int) and isinstance(operation.argument, int):
        return operation.result - operation.argument
    return Needs.SOMETHING


def _unknown_kind(model: Model[Hashable] | Counter, operation: Operation) -> ValueError:
    return ValueError(f"{operation}: {type(model).__name__} has no operation {operation.kind!r}")
