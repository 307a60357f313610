"""Both ways that requests go from a node to DynamoDB, for tests that hold for either."""

from __future__ import annotations

import pytest

from node.backend.lean.way import LeanWay, NotLean

LEAN = "lean"
AIOBOTOCORE = "aiobotocore"
WAYS = (LEAN, AIOBOTOCORE)
MOSTLY_LEAN = (LEAN, pytest.param(AIOBOTOCORE, marks=pytest.mark.full(minutes=0.5)))
"""For suites that wait much: the rare operations' way in the full tier only."""


def go_by(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on: backends that are started later."""
    if way == LEAN:
        return

    async def start(_: LeanWay) -> None:
        raise NotLean("a test wants the other one")

    monkeypatch.setattr(LeanWay, "start", start)
