"""Search for a legal order of one key's operations.

Wing & Gong ("Testing and Verifying Concurrent Objects", J. Parallel and Distributed Computing 17,
1993) try, at every point, each operation that no other one must precede. Lowe ("Testing for
Linearizability", Concurrency and Computation 29(4), 2017) remembers every configuration (set of
operations taken, state) that was tried, and takes operations just in time: what the next return
needs comes first, the rest waits.

Five rules keep the tree small. For every configuration that has a legal completion, each leaves an
explored one with a completion that is shorter, or as short from a configuration that is at least as
free; so by induction on its length a legal order is found if there is one.

* An operation that only observes is taken as soon as its result is right.
* Of operations under way that are alike (kind, argument, result), the one that must return first is
  taken; of unknown ones, any.
* One of unknown outcome is left out if it changes nothing, and if what follows right after it leads
  to the same state without it: it may never have happened.
* A configuration is given up if one with the same state and the same returned operations, but no
  more unknown ones taken, has been tried.
* A state is not left while a returned operation needs it that nothing can bring it back for.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar, cast

from paceline_local.testing.linearizability.history import Operation
from paceline_local.testing.linearizability.intervals import OPEN, Intervals
from paceline_local.testing.linearizability.models import ILLEGAL, Leaves, Model, Needs, Transition
from paceline_local.testing.linearizability.verdict import Answer

State = TypeVar("State", bound=Hashable)

_NOTHING: Final = object()


class Search(NamedTuple):
    answer: Answer
    steps: int
    """The number of operations looked at, to which the time is proportional."""
    order: tuple[Operation, ...] | None
    """A legal order, if the answer is OK. Operations of unknown outcome that it leaves out did not
    happen."""


class _OutOfSteps(Exception):
    pass


class _Configuration:
    """The operations taken so far: all closed ones before ``base``, those whose bit (counted from
    ``base``) is set in ``taken``, and those of unknown outcome in ``opened``."""

    __slots__ = ("base", "before", "choices", "opened", "path", "state", "taken")

    def __init__(
        self, base: int, taken: int, opened: int, state: Hashable, before: Hashable, path: list[int]
    ) -> None:
        self.base = base
        self.taken = taken
        self.opened = opened
        self.state = state
        self.before = before
        """The state before the last operation, if that one had an unknown outcome; else
        _NOTHING."""
        self.path = path
        """The operations taken since the configuration above; those of unknown outcome as
        ``~index``."""
        self.choices: list[int] = []

    def lacks_any(self, indices: Sequence[int]) -> bool:
        """True if any of ``indices`` was not taken. They hold operations of unknown outcome first,
        then the others from the last to the first."""
        for index in indices:
            if index < 0:
                if not self.opened >> ~index & 1:
                    return True
            elif index < self.base:
                return False
            elif not self.taken >> (index - self.base) & 1:
                return True
        return False

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
        transitions = [model.transition(operation) for operation in history.operations]
        returned = history.returned
        closed = [i for i in range(len(history)) if returned[i] != OPEN]
        opened = _worth_taking(
            [transitions[i] for i in closed],
            {i: transitions[i] for i in range(len(history)) if returned[i] == OPEN},
        )
        self.closed = [history.operations[i] for i in closed]
        self.transitions = [transitions[i] for i in closed]
        self.invoked = [history.invoked[i] for i in closed]
        self.returned = [returned[i] for i in closed]
        self.alike = [(o.kind, o.argument, o.result) for o in self.closed]
        self.open = [history.operations[i] for i in opened]
        self.open_transitions = [transitions[i] for i in opened]
        self.open_invoked = [history.invoked[i] for i in opened]
        self.open_alike = [(o.kind, o.argument) for o in self.open]
        self.states = _States(self.transitions, self.open_transitions)
        self.rank = self._ranks()
        self.tried: dict[tuple[int, int, Hashable], list[int]] = {}

    def _ranks(self) -> list[int]:
        """Returns for each operation the beginning of the zone of the state that it leaves (see the
        zones module).

        If the key has only reads and writes of unique values, taking operations in this order fails
        on illegal histories alone; else the order is a guess. A state that several operations leave
        has no zone: of these operations the first to return is taken first.
        """
        ranks = []
        for index, transition in enumerate(self.transitions):
            if self.states.sources(transition.leaves) != 1:
                ranks.append(self.returned[index])
                continue
            members = [index, *self.states.needed.get(transition.leaves, ())]
            first_return = min(self.returned[member] for member in members)
            last_invocation = max(self.invoked[member] for member in members)
            ranks.append(min(first_return, last_invocation))
        return ranks

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
        initial = self.model.initial()
        if self.states.unreachable(initial):
            return False, []
        here = _Configuration(0, 0, 0, initial, _NOTHING, [])
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
        self._spend(1)
        return self.model.step(cast(State, state), operation)

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self.steps_max:
            raise _OutOfSteps

    def _follow(self, here: _Configuration, index: int) -> _Configuration | None:
        """Returns ``here`` with ``index`` taken; None if that is illegal or useless."""
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
            following = _Configuration(here.base, here.taken, opened, state, here.state, [index])
        else:
            following = _Configuration(here.base, here.taken, here.opened, state, _NOTHING, [])
            following.take(index)
        if state != here.state and self.states.stranded(here.state, following):
            return None
        return following

    def _enter(self, here: _Configuration) -> bool:
        """Takes operations that only observe, then lists the choices. Returns False if ``here``
        need not be explored."""
        while True:
            pending, limit = self._pending(here)
            self._spend(len(pending))
            observed = [index for index in pending if self._observes(here.state, index)]
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

    def _observes(self, state: Hashable, index: int) -> bool:
        needs, leaves = self.transitions[index]
        return (
            leaves is Leaves.SAME
            and (isinstance(needs, Needs) or needs == state)
            and self._step(state, self.closed[index]) is not ILLEGAL
        )

    def _pending(self, here: _Configuration) -> tuple[list[int], int]:
        """Returns the closed operations that may come next, and the event before which one of them
        must."""
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
        """Returns the operations that may come next and change the state. The best is last, since
        they are popped."""
        if not pending:
            return []
        state = here.state
        urgent = min(pending, key=self.returned.__getitem__)
        wanted = self.transitions[urgent].needs
        first: dict[object, int] = {}
        for index in sorted(pending, key=self.returned.__getitem__):
            needs, leaves = self.transitions[index]
            if leaves is not Leaves.SAME and (isinstance(needs, Needs) or needs == state):
                first.setdefault(self.alike[index], index)
        choices = sorted(first.values(), key=self.rank.__getitem__)
        first.clear()
        for index, invoked in enumerate(self.open_invoked):
            if invoked > limit:
                break
            if here.opened >> index & 1:
                continue
            needs = self.open_transitions[index].needs
            if isinstance(needs, Needs) or needs == state:
                first.setdefault(self.open_alike[index], ~index)
        choices.extend(first.values())
        if not isinstance(wanted, Needs) and wanted != state:
            choices.sort(key=lambda index: self._leaves(index) != wanted)
        choices.reverse()
        return choices

    def _leaves(self, index: int) -> Hashable:
        transitions = self.transitions if index >= 0 else self.open_transitions
        return transitions[index if index >= 0 else ~index].leaves


def _worth_taking(closed: Sequence[Transition], opened: Mapping[int, Transition]) -> list[int]:
    """Returns the operations of unknown outcome, without those that leave a state on which nothing
    depends."""
    depending = set(closed)
    candidates = {i: t for i, t in opened.items() if t.leaves is not Leaves.SAME}
    worth: set[int] = set()
    while True:
        states = {transition.needs for transition in depending}
        anything = Needs.SOMETHING in states or any(
            transition.leaves is Leaves.SOMETHING for transition in depending
        )
        more = {
            index
            for index, (_, leaves) in candidates.items()
            if index not in worth and (anything or leaves in states or leaves is Leaves.SOMETHING)
        }
        if not more:
            return sorted(worth)
        worth |= more
        depending = {candidates[index] for index in more}


class _States:
    """Indexes which operations need each state and which bring it about; those of unknown outcome
    are ``~index``."""

    def __init__(self, closed: Sequence[Transition], opened: Sequence[Transition]) -> None:
        self.needed: dict[Hashable, list[int]] = {}
        self._brought: dict[Hashable, list[int]] = {}
        for index in reversed(range(len(closed))):
            needs = closed[index].needs
            if not isinstance(needs, Needs):
                self.needed.setdefault(needs, []).append(index)
        for index in [*(~i for i in range(len(opened))), *reversed(range(len(closed)))]:
            leaves = closed[index].leaves if index >= 0 else opened[~index].leaves
            if leaves is not Leaves.SAME:
                self._brought.setdefault(leaves, []).append(index)

    def sources(self, state: Hashable) -> int:
        return len(self._brought.get(state, ()))

    def unreachable(self, initial: Hashable) -> bool:
        """True if some operation needs a state that no operation brings about."""
        return Leaves.SOMETHING not in self._brought and any(
            state != initial and state not in self._brought for state in self.needed
        )

    def stranded(self, state: Hashable, after: _Configuration) -> bool:
        """True if an operation that is not taken yet needs ``state``, and none can bring it
        back."""
        return (
            after.lacks_any(self.needed.get(state, ()))
            and not after.lacks_any(self._brought.get(state, ()))
            and not after.lacks_any(self._brought.get(Leaves.SOMETHING, ()))
        )


def search(history: Intervals, model: Model[State], steps_max: int) -> Search:
    return _Searcher(history, model, steps_max).run()
