"""Names of tables in long texts: nothing is missed, and no call looks through much."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.requests import statements, table_names
from node.requests.statements import STATEMENT_CHARACTERS_MAX, Unreadable, written_table
from node.requests.table_names import OVERLAP_CHARACTERS, TABLE_NAME_MAX, spelled
from paceline.errors import RequestError

WORDS = st.text(alphabet="ab", min_size=1, max_size=6)
BREAKS = st.sampled_from([" ", "--", ".", "'", ":", "\n"])
TEXTS = st.lists(st.tuples(WORDS, BREAKS), max_size=60).map(
    lambda pairs: "".join(word + mark for word, mark in pairs)
)


@given(TEXTS, st.integers(1, 60))
def test_every_name_is_found_wherever_a_text_is_cut(text: str, piece: int) -> None:
    try:
        whole = spelled([text])
    except RequestError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_names, "PIECE_CHARACTERS", piece)
        try:
            cut = spelled([text])
        except RequestError:
            return  # what is cut off counts, too, and makes too many
    assert set(whole) <= set(cut)


def test_the_longest_name_is_found_at_every_place() -> None:
    name = "n" * TABLE_NAME_MAX
    for at in range(0, 2 * OVERLAP_CHARACTERS, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(table_names, "PIECE_CHARACTERS", 2 * OVERLAP_CHARACTERS)
            assert name in spelled([" " * at + "--" + name + "--" + " " * 600])


@pytest.mark.parametrize("text", ["x " * 200_000, "x" * 400_000, "x." * 200_000])
def test_no_call_looks_through_much(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_through: list[int] = []

    class Watched:
        def findall(self, piece: str) -> list[Any]:
            looked_through.append(len(piece))
            return re.findall(r"[\w.$-]+", piece)

    monkeypatch.setattr(table_names, "_WORD", Watched())
    spelled({"Statement": text})
    assert max(looked_through) <= table_names.PIECE_CHARACTERS + OVERLAP_CHARACTERS
    assert sum(looked_through) >= len(text)


def test_a_statement_longer_than_any_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "_QUOTED", None)  # nobody asks it
    with pytest.raises(Unreadable):
        written_table("SELECT * FROM t".ljust(STATEMENT_CHARACTERS_MAX + 1))
