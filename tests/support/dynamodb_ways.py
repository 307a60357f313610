"""Both ways that requests go from a node to DynamoDB, for tests that hold for either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from node.backend.lean.way import LeanWay, NotLean

LEAN = "lean"
AIOBOTOCORE = "aiobotocore"
WAYS = (LEAN, AIOBOTOCORE)
MOSTLY_LEAN = (LEAN, pytest.param(AIOBOTOCORE, marks=pytest.mark.full(minutes=0.5)))
"""For suites that wait much: the rare operations' way in the full tier only."""


def either_way(ways: Sequence[Any]) -> Any:
    """Returns a fixture for a module whose tests hold for each of ``ways``: backends started in
    them go by that one, which is the fixture's value."""

    @pytest.fixture(autouse=True, params=ways)
    def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        found = str(request.param)
        if found != LEAN:
            monkeypatch.setattr(LeanWay, "start", _not_lean)
        return found

    return way


async def _not_lean(_: LeanWay) -> None:
    raise NotLean("a test wants the other one")
