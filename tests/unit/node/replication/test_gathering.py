"""How long messages wait for others: as long as turns of the event loop bring some."""

from __future__ import annotations

import asyncio

import pytest

from node.replication import gathering
from node.replication.gathering import QUIET_TURNS, gathered


async def turns_of(adds: list[int]) -> tuple[int, int]:
    """(messages at the end, turns) while each turn adds so many, and then none."""
    messages, turns = 1, 0
    waiting = asyncio.ensure_future(gathered(lambda: messages))
    while not waiting.done():
        await asyncio.sleep(0)
        messages += adds[turns] if turns < len(adds) else 0
        turns += 1
    await waiting
    return messages, turns


async def test_a_few_turns_without_a_message_end_it() -> None:
    messages, turns = await turns_of([])
    assert messages == 1
    assert turns <= QUIET_TURNS + 2


async def test_it_goes_on_while_messages_come() -> None:
    messages, _ = await turns_of([1] * 50)
    assert messages == 51
    messages, _ = await turns_of([1, *[0] * (2 * QUIET_TURNS + 2), 5])
    assert messages == 2  # the pause was too long


async def test_it_ends_though_messages_go_on_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_S", 0.0)
    messages, turns = await turns_of([1] * 1000)
    assert turns <= QUIET_TURNS + 2
    assert messages < 1000
