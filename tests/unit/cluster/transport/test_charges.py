"""What answers take is counted while their requests hold them."""

from __future__ import annotations

import asyncio

import pytest

from cluster.transport import charges
from cluster.transport.charges import ReadRefused, admit_read, admit_write, charged
from cluster.transport.memory import FAIR_BYTES, MemoryBudget

WANTED = 2 * FAIR_BYTES


def budget(room: int) -> MemoryBudget:
    memory = MemoryBudget(10 * WANTED)
    memory.change(0, memory.bytes_max - room)
    return memory


async def test_an_answer_counts_until_its_request_ends() -> None:
    memory = MemoryBudget(10 * WANTED)
    with charged(memory):
        admit_read(WANTED)
        await admit_write(WANTED)
        assert memory.held_bytes == 2 * WANTED
    assert memory.held_bytes == 0


async def test_a_read_without_room_is_refused_and_counts_for_nothing() -> None:
    memory = budget(WANTED - 1)
    with charged(memory):
        held = memory.held_bytes
        with pytest.raises(ReadRefused):
            admit_read(WANTED)
        assert memory.held_bytes == held
        admit_read(FAIR_BYTES)


async def test_one_at_a_time_may_be_larger_than_all_there_is() -> None:
    memory = MemoryBudget(WANTED)
    with charged(memory):
        admit_read(WANTED + 1)
        admit_read(WANTED + 1)  # of the same request
        with charged(memory), pytest.raises(ReadRefused):
            admit_read(WANTED + 1)
        admit_read(WANTED + 1)
    with charged(memory):
        admit_read(WANTED + 1)
    assert memory.held_bytes == 0


async def test_an_answer_to_a_write_waits_for_room() -> None:
    memory = budget(0)
    with charged(memory):
        waiting = asyncio.create_task(admit_write(WANTED))
        await asyncio.sleep(0)
        assert not waiting.done()
        memory.change(WANTED, 0)
        await waiting
        assert memory.held_bytes == memory.bytes_max


async def test_an_answer_to_a_write_is_taken_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charges, "WRITE_WAITS_S", 0.0)
    memory = budget(0)
    with charged(memory):
        await admit_write(WANTED)
        assert memory.held_bytes == memory.bytes_max + WANTED
    assert memory.held_bytes == memory.bytes_max


async def test_what_a_task_of_a_request_holds_is_the_requests() -> None:
    """A read that others have joined may go on when its request has ended: it counts for nobody."""
    memory = MemoryBudget(10 * WANTED)
    go_on = asyncio.Event()

    async def load() -> None:
        admit_read(WANTED)
        await go_on.wait()
        admit_read(WANTED)

    with charged(memory):
        task = asyncio.create_task(load())
        await asyncio.sleep(0)
        assert memory.held_bytes == WANTED
    assert memory.held_bytes == 0
    go_on.set()
    await task
    assert memory.held_bytes == 0


async def test_what_nobody_asked_for_is_not_counted() -> None:
    admit_read(WANTED)
    await admit_write(WANTED)
