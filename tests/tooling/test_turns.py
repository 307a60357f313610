"""The turns that clients take in the fast tier leave none out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import turns

CONFORMANCE = Path(__file__).parents[1] / "conformance"


def test_every_client_has_its_turn() -> None:
    for module in turns.TURNS:
        assert (CONFORMANCE / f"{module}.py").is_file()
    taken = [
        module
        for number in range(len(turns.TURNS))
        for module in turns.TURNS
        if turns.is_theirs(module, str(number))
    ]
    assert sorted(taken) == sorted(turns.TURNS)
    assert all(turns.is_theirs(module, "all") for module in turns.TURNS)
    assert turns.is_theirs("test_python_client", "0")


def test_the_number_is_told_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(turns.CLIENTS, "4")
    assert turns.choose() == f"PACELINE_CLIENTS=4: every operation by {turns.TURNS[1]}"
    monkeypatch.delenv(turns.CLIENTS)
    told = turns.choose()
    assert turns.choose() == told
