"""Requests in callers' own names: simulated nodes that may do nothing at DynamoDB themselves."""

from __future__ import annotations

import random

import pytest

from tests.simulation.options import Options
from tests.simulation.simulation import simulate
from tests.simulation.worlds import WORLDS

WORLD = "in callers' names"


@pytest.mark.parametrize("number", range(2))
def test_what_is_read_in_ones_own_name_is_as_true_as_ever(number: int) -> None:
    seed = random.randrange(1 << 30) if number else 1
    print(f"seed {seed}")
    report = simulate(seed, Options.in_world(WORLDS[WORLD], seed, operations=400))
    assert report.good, report.violation
    assert report.counts["hits"] > 0
    assert report.counts["rights judged"] > 0
