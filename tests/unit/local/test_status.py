"""Who is shown the operators' token, which is good for commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paceline.errors import Unavailable
from paceline_local import status
from paceline_local.probes import WantsToken

OPEN, CLOSED = "http://127.0.0.1:1", "http://127.0.0.1:2"
TOKEN = "ab" * 32


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, bool]]:
    """(URL, whether it was shown the token), of two nodes of which one wants it."""
    file = tmp_path / "admin-token"
    file.write_text(TOKEN)
    monkeypatch.setenv("PACELINE_ADMIN_TOKEN_FILE", str(file))
    seen: list[tuple[str, bool]] = []

    def get_json(url: str, _: float, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        shown = (headers or {}).get("Authorization") == f"Bearer {TOKEN}"
        seen.append((url, shown))
        if url.startswith(CLOSED) and not shown:
            raise WantsToken("401")
        return {"members": []}

    monkeypatch.setattr(status, "get_json", get_json)
    return seen


def test_only_who_asks_for_it_is_shown_the_token(asked: list[tuple[str, bool]]) -> None:
    found = status.fetch_statuses([OPEN, CLOSED])
    assert all(isinstance(one, dict) for one in found.values())
    assert sorted(asked) == [
        (f"{OPEN}/status", False),
        (f"{CLOSED}/status", False),
        (f"{CLOSED}/status", True),
    ]


def test_who_answers_at_a_guessed_port_never_is(asked: list[tuple[str, bool]]) -> None:
    found = status.fetch_statuses([OPEN, CLOSED], guessed=True)
    assert isinstance(found[CLOSED], Unavailable)
    assert not any(shown for _, shown in asked)
