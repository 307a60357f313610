"""Random small histories: legal by construction, and variations that mostly are not.

A history is made by a real store that applies each operation at one instant between its two times.
Times are small integers, so that many are equal.
"""

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from paceline_local.testing.linearizability import ILLEGAL, Model, Operation

Respond = Callable[[Hashable, str, Hashable], tuple[Hashable, Hashable]]
"""(state, kind, argument) -> (state, result): a store, written without looking at the models."""

NEVER = 10**6


def register(state: Hashable, kind: str, argument: Hashable) -> tuple[Hashable, Hashable]:
    return (state, state) if kind == "read" else (argument, None)


def key_value(state: Hashable, kind: str, argument: Hashable) -> tuple[Hashable, Hashable]:
    if kind == "read":
        return state, state
    if kind == "write":
        return argument, None
    if kind == "delete":
        return None, None
    if kind == "swap":
        return argument, state
    if kind == "write_if":
        assert isinstance(argument, tuple)
        return (argument[1], True) if state == argument[0] else (state, False)
    if kind == "write_if_present":
        return (state, False) if state is None else (argument, True)
    assert isinstance(argument, int)
    assert state is None or isinstance(state, int)
    total = (state or 0) + argument
    return total, total if kind == "add_and_get" else None


def argument_of(kind: str, value: int, rng: random.Random, values: int) -> Hashable:
    if kind in ("read", "delete"):
        return None
    if kind == "write_if":
        return rng.choice([None, *range(1, values + 1)]), value
    return value


def legal_history(
    rng: random.Random,
    kinds: Sequence[str],
    respond: Respond,
    *,
    initial: Hashable = None,
    operations: int = 6,
    span: int = 10,
    values: int | None = None,
    unknown: float = 0.2,
    failed: float = 0.1,
) -> list[Operation]:
    """``values`` None writes every value once; else values are drawn from 1 to that."""
    calls = []
    for number in range(rng.randint(1, operations)):
        kind = rng.choice(kinds)
        value = number + 1 if values is None else rng.randint(1, values)
        argument = argument_of(kind, value, rng, values or operations)
        invoked_at = rng.randint(0, span)
        returned_at = invoked_at + rng.choice([0, 0, 1, 1, 2, 3, 5])
        calls.append((number % 3, kind, argument, invoked_at, returned_at, rng.random()))
    effects = []
    for number, (_, _, _, invoked_at, returned_at, chance) in enumerate(calls):
        if chance < unknown:
            point = invoked_at + rng.choice([0, 1, 3, 8, NEVER])
        else:
            point = rng.randint(invoked_at, returned_at)
        effects.append((point, rng.random(), number))
    state, results = initial, {}
    for point, _, number in sorted(effects):
        _, kind, argument, _, _, chance = calls[number]
        if point < NEVER and not unknown <= chance < unknown + failed:
            state, results[number] = respond(state, kind, argument)
    history = []
    for number, (process, kind, argument, invoked_at, returned_at, chance) in enumerate(calls):
        lost = chance < unknown
        fails = unknown <= chance < unknown + failed
        history.append(
            Operation(
                process,
                kind,
                "key",
                argument,
                None if lost or fails else results[number],
                invoked_at,
                None if lost else returned_at,
                fails,
            )
        )
    return history


def varied(rng: random.Random, history: list[Operation], values: int) -> list[Operation]:
    """One or two of its operations answer something else, or happen at another time."""
    history = list(history)
    for _ in range(rng.randint(1, 2)):
        index = rng.randrange(len(history))
        operation = history[index]
        if operation.returned_at is None:
            continue
        how = rng.random()
        if (how < 0.6 and operation.result is not None) or operation.kind == "read":
            result: Hashable = rng.choice([None, *range(1, values + 1)])
            if isinstance(operation.result, bool):
                result = not operation.result
            operation = replace(operation, result=result)
        elif how < 0.8 and operation.returned_at is not None:
            invoked_at = rng.randint(0, 12)
            operation = replace(
                operation,
                invoked_at=invoked_at,
                returned_at=invoked_at + (operation.returned_at - operation.invoked_at),
            )
        else:
            operation = replace(operation, failed=True)
        history[index] = operation
    return history


def linearizable(history: Sequence[Operation], model: Model[Hashable]) -> bool:
    """By the definition, without any cleverness: some legal order of the operations that returned
    and some of the unknown ones, in which none comes before one that precedes it."""
    kept = [operation for operation in history if not operation.failed]

    def extend(left: list[Operation], state: Hashable) -> bool:
        if all(operation.unknown for operation in left):
            return True
        for operation in left:
            if any(other.precedes(operation) for other in left):
                continue
            after = model.step(state, operation)
            if after is not ILLEGAL and extend([o for o in left if o is not operation], after):
                return True
        return False

    return extend(kept, model.initial())


class Opaque(Model[Hashable]):
    """A model that tells the checker nothing but its steps."""

    def __init__(self, model: Model[Hashable]) -> None:
        self._model = model

    def initial(self) -> Hashable:
        return self._model.initial()

    def step(self, state: Hashable, operation: Operation) -> Hashable:
        return self._model.step(state, operation)
