"""Random small histories: every method against the definition of linearizability itself.

``PACELINE_SEED=N`` runs other ones.
"""

import math
import os
import random
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import pytest

from paceline_local.testing.linearizability import (
    Answer,
    KeyValue,
    Leaves,
    Model,
    Operation,
    Register,
    check,
    sessions,
    staleness,
)
from paceline_local.testing.linearizability import Counter as CounterModel
from paceline_local.testing.linearizability.intervals import intervals
from paceline_local.testing.linearizability.search import search
from tests.unit.local.testing.random_histories import (
    Opaque,
    Respond,
    key_value,
    legal_history,
    linearizable,
    register,
    varied,
)

SEED = int(os.environ.get("PACELINE_SEED", "1"))
HISTORIES = 2_000
"""Of each kind; there are six."""


def counter(state: Hashable, kind: str, argument: Hashable) -> tuple[Hashable, Hashable]:
    return key_value(state, kind, argument)


ALL = ["read", "write", "delete", "swap", "write_if", "write_if_present", "add", "add_and_get"]

Kind = tuple[list[str], Respond, Model[Any], int | None, Hashable]
KINDS: dict[str, Kind] = {
    "register, unique values": (["read", "read", "write"], register, Register(), None, None),
    "register, equal values": (["read", "read", "write"], register, Register(1), 3, 1),
    "store, unique values": (
        ["read", "read", "write", "delete"],
        key_value,
        KeyValue(),
        None,
        None,
    ),
    "chains": (
        ["read", "write", "swap", "write_if", "write_if"],
        key_value,
        KeyValue(),
        None,
        None,
    ),
    "store": (ALL, key_value, KeyValue(), 2, None),
    "counter": (["read", "add", "add_and_get"], counter, CounterModel(), 2, 0),
}


def histories(
    rng: random.Random, kind: Kind, count: int
) -> list[tuple[list[Operation], bool | None]]:
    """With True where it is legal by construction, else None."""
    kinds, respond, _, values, initial = kind
    made: list[tuple[list[Operation], bool | None]] = []
    for _ in range(count):
        size = rng.choice([3, 5, 7])
        history = legal_history(
            rng, kinds, respond, operations=size, values=values, initial=initial
        )
        legal = rng.random() < 0.3
        made.append((history, True) if legal else (varied(rng, history, size), None))
    return made


@pytest.mark.parametrize("name", list(KINDS))
def test_every_method_agrees_with_the_definition(name: str) -> None:
    print(f"seed {SEED}")
    rng = random.Random(f"{SEED} {name}")
    kind = KINDS[name]
    model = kind[2]
    seen: Counter[Answer] = Counter()
    methods: Counter[str] = Counter()
    for history, legal in histories(rng, kind, HISTORIES):
        expected = linearizable(history, model)
        assert expected or legal is None, history
        answer = Answer.OK if expected else Answer.ILLEGAL
        (by_zones,) = check(history, model, explanations_max=0).keys.values()
        (by_search,) = check(history, model, explanations_max=0, zones=False).keys.values()
        (unaided,) = check(history, Opaque(model), explanations_max=0).keys.values()
        found = (by_zones.answer, by_search.answer, unaided.answer)
        assert found == (answer, answer, answer), history
        seen[answer] += 1
        methods[by_zones.method] += 1
    assert min(seen[Answer.OK], seen[Answer.ILLEGAL]) > HISTORIES // 20
    if name in ("register, unique values", "chains"):
        assert methods["zones"] > HISTORIES // 2


@pytest.mark.parametrize("name", list(KINDS))
def test_the_search_shows_a_legal_order(name: str) -> None:
    print(f"seed {SEED}")
    rng = random.Random(f"order {SEED} {name}")
    kind = KINDS[name]
    model = kind[2]
    for history, _ in histories(rng, kind, 500):
        order = search(intervals(history), model, 10**6).order
        if order is None:
            continue
        state = model.initial()
        for position, operation in enumerate(order):
            state = model.step(state, operation)
            assert not any(operation.precedes(earlier) for earlier in order[:position]), history
        must = {id(o) for o in history if not o.failed and not o.unknown}
        assert must <= set(map(id, order)), history
        assert len(order) == len(set(map(id, order)))


@pytest.mark.parametrize("zones", [True, False])
@pytest.mark.parametrize("name", list(KINDS))
def test_explanations_hold_and_nothing_can_be_left_out(name: str, zones: bool) -> None:
    print(f"seed {SEED}")
    rng = random.Random(f"why {SEED} {name}")
    kind = KINDS[name]
    model = kind[2]
    explained = 0
    for history, _ in histories(rng, kind, 600):
        (verdict,) = check(history, model, zones=zones).keys.values()
        why = verdict.explanation
        if why is None:
            assert verdict.answer is Answer.OK
            continue
        explained += 1
        assert why.complete
        core = list(why.operations)
        assert not linearizable(reduced(history, core, model), model), (history, str(why))
        end = max((o.returned_at or 0, o.returned_order) for o in core)
        before = [o for o in history if (o.invoked_at, o.invoked_order) <= end]
        for left_out in core:
            rest = [o for o in core if o is not left_out]
            assert linearizable(reduced(before, rest, model), model), (history, str(why))
    assert explained > 20


def reduced(history: list[Operation], core: list[Operation], model: Model[Any]) -> list[Operation]:
    """Beyond the core, only what may change the state, and that with unknown outcome."""
    inside = set(map(id, core))
    return [
        o if id(o) in inside else replace(o, returned_at=None, returned_order=0, result=None)
        for o in history
        if not o.failed and (id(o) in inside or model.transition(o).leaves is not Leaves.SAME)
    ]


@pytest.mark.parametrize("kinds", [["read", "read", "write"], ["read", "read", "write", "swap"]])
def test_staleness_is_the_smallest_delta_that_makes_it_linearizable(kinds: list[str]) -> None:
    print(f"seed {SEED}")
    rng = random.Random(f"staleness {SEED} {kinds}")
    model = KeyValue()
    found: Counter[str] = Counter()
    for _ in range(1_200):
        history = varied(rng, legal_history(rng, kinds, key_value, values=None), 6)
        (measured,) = staleness(history, model).keys.values()
        expected = smallest_delta(history, model)
        if measured.exact:
            assert measured.delta == expected, history
        else:
            assert measured.delta <= expected, history
        assert (measured.read is None) == (measured.delta == 0)
        found["exact" if measured.exact else "bound"] += 1
        found["stale" if 0 < measured.delta < math.inf else "other"] += 1
    assert found["exact"] > 300
    assert found["stale"] > 15


def smallest_delta(history: list[Operation], model: Model[Any]) -> float:
    gaps = {
        read.invoked_at - other.returned_at
        for read in history
        for other in history
        if other.returned_at is not None and read.invoked_at > other.returned_at
    }
    return next(
        (delta for delta in sorted({0.0, *gaps}) if linearizable(earlier(history, delta), model)),
        math.inf,
    )


def earlier(history: list[Operation], delta: float) -> list[Operation]:
    return [replace(o, invoked_at=o.invoked_at - delta) if o.kind == "read" else o for o in history]


def test_what_is_linearizable_breaks_no_session_guarantee() -> None:
    print(f"seed {SEED}")
    rng = random.Random(f"sessions {SEED}")
    broken = 0
    for history, _ in histories(rng, KINDS["register, unique values"], 3_000):
        found = sessions(history, Register())
        if linearizable(history, Register()):
            assert found, history
        broken += not found
    assert broken > 5


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_many_more(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SEED", f"{SEED} {seed}")
    tests: list[Callable[[str], None]] = [test_every_method_agrees_with_the_definition]
    for test in tests:
        for name in KINDS:
            test(name)


def test_staleness_of_longer_histories_is_allowed_and_nothing_less_is() -> None:
    """Times are whole numbers, so the next smaller Delta is one less."""
    print(f"seed {SEED}")
    rng = random.Random(f"longer {SEED}")
    stale = 0
    for _ in range(300):
        history = [
            Operation(0, "write", "key", value, None, 10 * value, 10 * value + rng.randint(1, 60))
            for value in range(20)
        ]
        for _ in range(15):
            value = rng.randrange(20)
            begin = 10 * value + rng.randint(0, 120)
            history.append(
                Operation(1, "read", "key", None, value, begin, begin + rng.randint(1, 60))
            )
        (measured,) = staleness(history, Register()).keys.values()
        assert measured.exact
        assert measured.delta < math.inf
        allowed = earlier(history, measured.delta)
        assert check(allowed, Register(), explanations_max=0), history
        if measured.delta > 0:
            stale += 1
            assert not check(
                earlier(history, measured.delta - 1), Register(), explanations_max=0
            ), history
    assert stale > 100
