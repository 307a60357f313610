"""Long legal histories of clients that call one after the other, against a store with one state."""

import heapq
import random
from collections.abc import Hashable, Sequence

from paceline_local.testing.linearizability import History, Operation
from tests.unit.local.testing.random_histories import key_value

NEVER = 1e9


def long_history(
    seed: int,
    *,
    operations: int,
    keys: int,
    processes: int,
    kinds: Sequence[str],
    reads: float = 0.7,
    unknown: float = 0.01,
) -> History:
    """Values are written once. A call takes a second on average, and is applied at some time
    during it; one of unknown outcome perhaps long after, perhaps never."""
    rng = random.Random(seed)
    idle = [(rng.random(), process) for process in range(processes)]
    heapq.heapify(idle)
    calls = []
    for number in range(operations):
        begin, process = heapq.heappop(idle)
        end = begin + rng.expovariate(1.0)
        heapq.heappush(idle, (end + 0.1 * rng.random(), process))
        kind = rng.choice(kinds) if rng.random() > reads else "read"
        point = begin + rng.random() * (end - begin)
        lost = kind != "read" and rng.random() < unknown
        if lost:
            point = begin + rng.choice([0.5, 3.0, 20.0, NEVER])
        argument = None if kind in ("read", "delete") else 1 if "add" in kind else number + 1
        calls.append((point, process, kind, rng.randrange(keys), argument, begin, end, lost))
    states: dict[int, Hashable] = {}
    history = []
    for point, process, kind, key, argument, begin, end, lost in sorted(calls):
        result: Hashable = None
        asked: Hashable = argument
        if kind == "write_if":
            asked = (rng.choice([states.get(key), states.get(key), None]), argument)
        if point < NEVER:
            states[key], result = key_value(states.get(key), kind, asked)
        history.append(
            Operation(
                process,
                kind,
                key,
                asked,
                None if lost else result,
                begin,
                None if lost else end,
            )
        )
    return History(history)
