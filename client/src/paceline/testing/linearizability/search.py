"""Search for a legal order of one key's operations.

Wing & Gong ("Testing and Verifying Concurrent Objects", J. Parallel and Distributed Computing 17,
1993) try, at every point, each operation that no other one must precede. Lowe ("Testing for
Linearizability", Concurrency and Computation 29(4), 2017) remembers every configuration (set of
operations taken, state) that was tried, and takes operations just in time: what the next return
needs comes first, the rest waits.

Four rules keep the tree small. Each leaves, for every configuration that has a legal completion, an
explored one with a completion that is shorter, or as short from a configuration that is at least as
free; so by induction on its length a legal order is found if there is one.

* An operation that only observes is taken as soon as its result is right.
* Of operations under way that are alike (kind, argument, result), the one that must return first is
  taken; of unknown ones, any.
* One of unknown outcome is left out if it changes nothing, and if what follows right after it leads
  to the same state without it: it may never have happened.
* A configuration is given up if one with the same state and the same returned operations, but no
  more unknown ones taken, has been tried.
"""

from collections.abc import Hashable
from typing import Final, Generic, NamedTuple, TypeVar, cast

from paceline.testing.linearizability.history import Operation
from paceline.testing.linearizability.intervals import OPEN, Intervals
from paceline.testing.linearizability.models import ILLEGAL, Model
from paceline.testing.linearizability.verdict import Answer

State = TypeVar("State", bound=Hashable)

_NOTHING: Final = object()


class Search(NamedTuple):
    answer: Answer
    steps: int
    """Calls of the model's ``step``."""
    order: tuple[Operation, ...] | None
    """A legal order, if the answer is OK. Unknown operations that it leaves out did not happen."""


class _OutOfSteps(Exception):
    pass


class _Configuration:
    """What was taken so far: all closed operations before ``base``, those whose bit (counted from
    ``base``) is set in ``taken``, and the unknown ones in ``opened``."""

    __slots__ = ("base", "before", "choices", "opened", "path", "state", "taken")

    def __init__(
        self, base: int, taken: int, opened: int, state: Hashable, before: Hashable, path: list[int]
    ) -> None:
        self.base = base
        self.taken = taken
        self.opened = opened
        self.state = state
        self.before = before
        """The state before the last operation, if that was an unknown one; else _NOTHING."""
        self.path = path
        """What was taken since the configuration above; unknown operations as ``~index``."""
        self.choices: list[int] = []

    def take(self, index: int) -> None:
        self.path.append(index)
        taken = self.taken | 1 << (index - self.base)
        ones = (~taken & (taken + 1)).bit_length() - 1
        self.base += ones
        self.taken = taken >> ones


class _Searcher(Generic[State]):
    def __init__(self, history: Intervals, model: Model[State], steps_max: int) -> None:
        self.model = model
        self.steps_max = steps_max
        self.steps = 0
        closed = [i for i in range(len(history)) if history.returned[i] != OPEN]
        opened = [
            i
            for i in range(len(history))
            if history.returned[i] == OPEN and not model.observes_only(history.operations[i])
        ]
        self.closed = [history.operations[i] for i in closed]
        self.invoked = [history.invoked[i] for i in closed]
        self.returned = [history.returned[i] for i in closed]
        self.observes = [model.observes_only(operation) for operation in self.closed]
        self.alike = [(o.kind, o.argument, o.result) for o in self.closed]
        self.open = [history.operations[i] for i in opened]
        self.open_invoked = [history.invoked[i] for i in opened]
        self.open_alike = [(o.kind, o.argument) for o in self.open]
        self.tried: dict[tuple[int, int, Hashable], list[int]] = {}

    def run(self) -> Search:
        try:
            found, path = self._run()
        except _OutOfSteps:
            return Search(Answer.UNKNOWN, self.steps, None)
        if not found:
            return Search(Answer.ILLEGAL, self.steps, None)
        order = tuple(self.closed[i] if i >= 0 else self.open[~i] for i in path)
        return Search(Answer.OK, self.steps, order)

    def _run(self) -> tuple[bool, list[int]]:
        here = _Configuration(0, 0, 0, self.model.initial(), _NOTHING, [])
        stack = [here]
        self._enter(here)
        while here.base < len(self.closed):
            if not here.choices:
                stack.pop()
                if not stack:
                    return False, []
                here = stack[-1]
                continue
            following = self._follow(here, here.choices.pop())
            if following is not None and self._enter(following):
                stack.append(following)
                here = following
        return True, [index for configuration in stack for index in configuration.path]

    def _step(self, state: Hashable, operation: Operation) -> Hashable:
        self.steps += 1
        if self.steps > self.steps_max:
            raise _OutOfSteps
        return self.model.step(cast(State, state), operation)

    def _follow(self, here: _Configuration, index: int) -> _Configuration | None:
        """``here`` with ``index`` taken; None if that is illegal or no use."""
        operation = self.closed[index] if index >= 0 else self.open[~index]
        state = self._step(here.state, operation)
        if state is ILLEGAL:
            return None
        if here.before is not _NOTHING and self._step(here.before, operation) == state:
            return None
        if index < 0:
            if state == here.state:
                return None
            opened = here.opened | 1 << ~index
            return _Configuration(here.base, here.taken, opened, state, here.state, [index])
        following = _Configuration(here.base, here.taken, here.opened, state, _NOTHING, [])
        following.take(index)
        return following

    def _enter(self, here: _Configuration) -> bool:
        """Takes what only observes, then lists the choices; False if it need not be explored."""
        while True:
            pending, limit = self._pending(here)
            observed = [
                index
                for index in pending
                if self.observes[index]
                and self._step(here.state, self.closed[index]) is not ILLEGAL
            ]
            if not observed:
                break
            here.before = _NOTHING
            for index in observed:
                here.take(index)
        tried = self.tried.setdefault((here.base, here.taken, here.state), [])
        if any(opened & here.opened == opened for opened in tried):
            return False
        tried.append(here.opened)
        here.choices = self._choices(here, pending, limit)
        return True

    def _pending(self, here: _Configuration) -> tuple[list[int], int]:
        """Closed operations that may come next, and the event before which one of them must."""
        invoked, returned, taken, base = self.invoked, self.returned, here.taken, here.base
        pending: list[int] = []
        limit = OPEN
        for index in range(base, len(invoked)):
            if invoked[index] > limit:
                break
            if not taken >> (index - base) & 1:
                pending.append(index)
                limit = min(limit, returned[index])
        return pending, limit

    def _choices(self, here: _Configuration, pending: list[int], limit: int) -> list[int]:
        """The best last, as they are popped."""
        if not pending:
            return []
        first: dict[object, int] = {}
        pending.sort(key=self.returned.__getitem__)
        for index in pending:
            if not self.observes[index]:
                first.setdefault(self.alike[index], index)
        choices = list(first.values())
        first.clear()
        for index, invoked in enumerate(self.open_invoked):
            if invoked > limit:
                break
            if not here.opened >> index & 1:
                first.setdefault(self.open_alike[index], ~index)
        choices.extend(first.values())
        urgent = pending[0]
        if self.observes[urgent]:
            choices.sort(key=lambda index: not self._enables(here.state, index, urgent))
        choices.reverse()
        return choices

    def _enables(self, state: Hashable, index: int, urgent: int) -> bool:
        operation = self.closed[index] if index >= 0 else self.open[~index]
        after = self._step(state, operation)
        return after is not ILLEGAL and self._step(after, self.closed[urgent]) is not ILLEGAL


def search(history: Intervals, model: Model[State], steps_max: int) -> Search:
    return _Searcher(history, model, steps_max).run()
