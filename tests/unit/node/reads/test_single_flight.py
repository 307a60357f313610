"""Single flight: who shares a load, who may not, and what cancellation must not break."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.reads.single_flight import SingleFlight, _Flight
from paceline.errors import Unavailable
from tests.support.waiting import until


@dataclass
class Origin:
    """A DynamoDB that answers when told to; ``tokens`` names the loads in the order of start."""

    tokens: list[str | None] = field(default_factory=list)
    answers: list[asyncio.Future[str]] = field(default_factory=list)
    next_token: str | None = "t1"
    joinable: bool = True

    async def load(self, token: str | None) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.tokens.append(token)
        self.answers.append(answer)
        return await answer

    def read(self, flights: SingleFlight[str, str, str], key: str = "k") -> asyncio.Task[str]:
        return asyncio.create_task(
            flights.run(
                key,
                begin=lambda: self.next_token,
                load=self.load,
                joinable=lambda _token: self.joinable,
            )
        )


@pytest.fixture
async def flights() -> AsyncIterator[SingleFlight[str, str, str]]:
    single = SingleFlight[str, str, str](loads_max=8)
    yield single
    await single.aclose()


@pytest.fixture
def origin() -> Origin:
    return Origin()


@pytest.fixture
async def loop_errors() -> AsyncIterator[list[dict[str, Any]]]:
    """What asyncio reports when nobody retrieves a task's exception."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    yield errors
    asyncio.get_running_loop().set_exception_handler(None)


async def test_reads_of_one_key_share_one_load(
    flights: SingleFlight[str, str, str], origin: Origin
) -> None:
    reads = [origin.read(flights) for _ in range(5)]
    await until(lambda: flights.joined == 4 and len(origin.answers) == 1)
    assert origin.tokens == ["t1"]
    origin.answers[0].set_result("item")
    assert await asyncio.gather(*reads) == ["item"] * 5
    await until(lambda: flights.running == 0)
    assert (flights.started, flights.joined, flights.alone) == (1, 4, 0)


async def test_keys_do_not_wait_for_each_other(
    flights: SingleFlight[str, str, str], origin: Origin
) -> None:
    first, second = origin.read(flights, "a"), origin.read(flights, "b")
    await until(lambda: len(origin.answers) == 2)
    origin.answers[1].set_result("of b")
    assert await second == "of b"
    assert not first.done()
    origin.answers[0].set_result("of a")
    assert await first == "of a"


async def test_a_read_that_may_not_join_loads_alone_and_is_not_joined(
    flights: SingleFlight[str, str, str], origin: Origin
) -> None:
    before = origin.read(flights)
    await until(lambda: len(origin.answers) == 1)
    origin.joinable, origin.next_token = False, "t2"
    after = [origin.read(flights), origin.read(flights)]
    await until(lambda: len(origin.answers) == 3)
    assert origin.tokens == ["t1", None, None], "only one keepable load of the key at a time"
    origin.answers[0].set_result("old")
    origin.answers[1].set_result("new")
    origin.answers[2].set_result("newer")
    assert await before == "old"
    assert sorted(await asyncio.gather(*after)) == ["new", "newer"]


async def test_the_join_check_sees_the_token_of_the_running_load_each_time(
    flights: SingleFlight[str, str, str],
) -> None:
    origin = Origin()
    asked: list[str] = []

    def joinable(token: str) -> bool:
        asked.append(token)
        return len(asked) < 2

    def read() -> asyncio.Task[str]:
        return asyncio.create_task(
            flights.run("k", begin=lambda: "mine", load=origin.load, joinable=joinable)
        )

    reads = [read(), read(), read()]
    await until(lambda: len(origin.answers) == 2)
    assert asked == ["mine", "mine"]
    assert sorted(map(str, origin.tokens)) == ["None", "mine"]
    for answer in origin.answers:
        answer.set_result("x")
    await asyncio.gather(*reads)


async def test_without_a_token_nothing_is_shared(
    flights: SingleFlight[str, str, str], origin: Origin
) -> None:
    origin.next_token = None
    reads = [origin.read(flights), origin.read(flights)]
    await until(lambda: len(origin.answers) == 2)
    assert origin.tokens == [None, None]
    assert flights.running == 2
    origin.answers[0].set_result("1")
    origin.answers[1].set_result("2")
    assert await asyncio.gather(*reads) == ["1", "2"]
    assert (flights.running, flights.alone) == (0, 2)


async def test_cancelling_the_first_caller_leaves_the_others_their_answer(
    flights: SingleFlight[str, str, str], origin: Origin
) -> None:
    first = origin.read(flights)
    await until(lambda: len(origin.answers) == 1)
    second = origin.read(flights)
    await until(lambda: flights.joined == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    origin.answers[0].set_result("item")
    assert await second == "item"


async def test_a_load_goes_on_when_every_caller_is_gone(
    flights: SingleFlight[str, str, str],
    origin: Origin,
    loop_errors: list[dict[str, Any]],
) -> None:
    reads = [origin.read(flights) for _ in range(3)]
    await until(lambda: flights.joined == 2 and len(origin.answers) == 1)
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)
    assert all(read.cancelled() for read in reads)
    assert flights.running == 1
    late = origin.read(flights)
    await until(lambda: flights.joined == 3 and len(origin.answers) == 1)
    origin.answers[0].set_result("item")
    assert await late == "item"
    assert origin.tokens == ["t1"]
    assert loop_errors == []


async def test_an_error_nobody_waits_for_is_retrieved(
    flights: SingleFlight[str, str, str],
    origin: Origin,
    loop_errors: list[dict[str, Any]],
) -> None:
    read = origin.read(flights)
    await until(lambda: len(origin.answers) == 1)
    read.cancel()
    await asyncio.gather(read, return_exceptions=True)
    origin.answers.pop().set_exception(OSError("connection lost"))
    await until(lambda: flights.running == 0)
    del read
    gc.collect()
    await asyncio.sleep(0)
    assert loop_errors == []


async def test_an_error_reaches_every_waiter_and_ends_the_flight(
    flights: SingleFlight[str, str, str], origin: Origin
) -> None:
    reads = [origin.read(flights) for _ in range(3)]
    await until(lambda: flights.joined == 2 and len(origin.answers) == 1)
    origin.answers[0].set_exception(OSError("connection lost"))
    for read in reads:
        with pytest.raises(OSError, match="connection lost"):
            await read
    again = origin.read(flights)
    await until(lambda: len(origin.answers) == 2)
    origin.answers[1].set_result("item")
    assert await again == "item"


async def test_cancelling_an_unshared_read_cancels_its_load(
    flights: SingleFlight[str, str, str], origin: Origin
) -> None:
    origin.next_token = None
    read = origin.read(flights)
    await until(lambda: len(origin.answers) == 1)
    read.cancel()
    await asyncio.gather(read, return_exceptions=True)
    assert origin.answers[0].cancelled()
    assert flights.running == 0


async def test_loads_are_bounded_and_joins_are_not_loads(origin: Origin) -> None:
    flights = SingleFlight[str, str, str](loads_max=2)
    shared = origin.read(flights, "a")
    await until(lambda: flights.running == 1)
    origin.next_token = None
    alone = origin.read(flights, "b")
    await until(lambda: flights.running == 2)
    with pytest.raises(Unavailable, match="2 reads from DynamoDB are under way"):
        await origin.read(flights, "c")
    joined = origin.read(flights, "a")
    await until(lambda: flights.joined == 1)
    for answer in origin.answers:
        answer.set_result("x")
    assert list(await asyncio.gather(shared, alone, joined)) == ["x"] * 3
    await until(lambda: flights.running == 0)
    after = origin.read(flights, "c")
    await until(lambda: len(origin.answers) == 3)
    origin.answers[2].set_result("y")
    assert await after == "y"
    await flights.aclose()


async def test_the_end_of_a_load_of_before_does_not_end_the_one_that_runs(
    flights: SingleFlight[str, str, str], origin: Origin
) -> None:
    first = origin.read(flights)
    await until(lambda: len(origin.answers) == 1)
    over: asyncio.Task[str] = asyncio.create_task(asyncio.sleep(0, "of before"))
    await over
    before = _Flight("t0", over)
    flights._land("k", before)
    flights._land("another", before)
    second = origin.read(flights)
    await asyncio.sleep(0)
    origin.answers[0].set_result("new")
    assert await asyncio.gather(first, second) == ["new", "new"]
    assert len(origin.answers) == 1


async def test_close_ends_loads_and_tells_waiters_why(
    origin: Origin, loop_errors: list[dict[str, Any]]
) -> None:
    flights = SingleFlight[str, str, str](loads_max=8)
    reads = [origin.read(flights), origin.read(flights)]
    await until(lambda: flights.joined == 1 and len(origin.answers) == 1)
    await flights.aclose()
    results = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results), results
    assert origin.answers[0].cancelled()
    assert flights.running == 0
    with pytest.raises(Unavailable, match="stopping"):
        await origin.read(flights)
    assert loop_errors == []


async def test_close_right_after_start_leaves_nothing_behind(origin: Origin) -> None:
    flights = SingleFlight[str, str, str](loads_max=8)
    read = origin.read(flights)
    await until(lambda: flights.running == 1)
    assert origin.tokens == [], "the load has not had its first step"
    await flights.aclose()
    with pytest.raises(Unavailable):
        await read
    assert flights.running == 0
