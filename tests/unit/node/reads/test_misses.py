"""Misses that meet: one request for them, each one's answer and error as if it had been alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster.coherence.messages import Outcome, Position
from cluster.transport.charges import ReadRefused, admit_read
from cluster.transport.memory import MemoryBudget
from node.reads.misses import DENIED_S, Found
from paceline.errors import DynamoDBError, PacelineError, Unavailable
from paceline.types import Item, Key, Params, Result
from tests.support.waiting import until
from tests.unit.node.fakes import TABLE
from tests.unit.node.reads.test_items import DEADLINE, Node

THROTTLED = DynamoDBError("ProvisionedThroughputExceededException", "slow down", 400)
DENIED = DynamoDBError("AccessDeniedException", "no", 400)


def item(word: str) -> Item:
    return {"id": {"S": word}, "v": {"S": f"of {word}"}}


class Rig(Node):
    """``items``: what DynamoDB has. ``undone``: keys that a batch leaves out. ``batch_error``: how
    batches end, ``errors``: how the GetItem of a key does."""

    def __init__(self) -> None:
        super().__init__()
        self.items = {word: item(word) for word in "abcdefgh"}
        self.undone: set[str] = set()
        self.batch_error: Exception | None = None
        self.errors: dict[str, Exception] = {}
        self.release = asyncio.Event()
        self.release.set()
        self.backend.read_answer = self._answer

    async def _answer(self, operation: str, params: Params) -> Result:
        await self.release.wait()
        if operation == "GetItem":
            word = params["Key"]["id"]["S"]
            if word in self.errors:
                raise self.errors[word]
            return {"Item": self.items[word]} if word in self.items else {}
        if self.batch_error is not None:
            raise self.batch_error
        words = [key["id"]["S"] for key in params["RequestItems"]["t"]["Keys"]]
        there = [self.items[w] for w in reversed(words) if w in self.items and w not in self.undone]
        left = [{"id": {"S": word}} for word in words if word in self.undone]
        unprocessed = {"t": {"Keys": left}} if left else {}
        return {"Responses": {"t": there}, "UnprocessedKeys": unprocessed}

    def read(
        self, word: str, deadline: float = DEADLINE, capacity: str = "NONE"
    ) -> asyncio.Task[Found]:
        key: Key = ("t", word.encode())
        read = self.reads.item(TABLE, key, {"id": {"S": word}}, deadline, capacity=capacity)
        return asyncio.create_task(read)

    async def values(self, *reads: asyncio.Task[Found]) -> list[Any]:
        """What each read brought: a value, None for no item, or its error."""

        def value(end: Found | BaseException) -> Any:
            if isinstance(end, BaseException):
                return end
            return None if end.item is None else self.lists.decode(end.item)["v"]["S"]

        return [value(end) for end in await asyncio.gather(*reads, return_exceptions=True)]

    @property
    def asked(self) -> list[str]:
        """The keys of each request so far."""

        def words(operation: str, params: Params) -> str:
            if operation == "GetItem":
                return str(params["Key"]["id"]["S"])
            return "+".join(key["id"]["S"] for key in params["RequestItems"]["t"]["Keys"])

        return [words(*read) for read in self.backend.reads]


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_those_that_meet_go_as_one_request_and_are_kept(rig: Rig) -> None:
    reads = [rig.read(word) for word in ("a", "b", "nothing")]
    assert await rig.values(*reads) == ["of a", "of b", None]
    assert rig.asked == ["a+b+nothing"]
    assert await rig.values(*(rig.read(word) for word in ("a", "b", "nothing"))) == [
        "of a",
        "of b",
        None,
    ]
    assert len(rig.backend.reads) == 1
    counters = rig.reads.misses.counters
    assert (counters.batches, counters.keys, counters.again) == (1, 3, 0)
    assert (rig.reads.counters.misses, rig.reads.counters.hits) == (3, 3)


async def test_a_single_one_is_a_getitem_within_a_turn(rig: Rig) -> None:
    read = rig.read("a")
    for _ in range(5):
        await asyncio.sleep(0)
    assert rig.backend.reads == [("GetItem", {"TableName": "t", "Key": {"id": {"S": "a"}}})]
    assert await rig.values(read) == ["of a"]


async def test_reads_of_one_key_are_one_in_a_batch(rig: Rig) -> None:
    reads = [rig.read(word) for word in "abab"]
    assert await rig.values(*reads) == ["of a", "of b", "of a", "of b"]
    assert rig.asked == ["a+b"]


async def test_consistent_ones_go_apart_from_others(rig: Rig) -> None:
    rig.guard.fence(Position(1, 1), [("t", b"a")], rig.clock.time)
    reads = [rig.read(word) for word in "abcad"]
    assert await rig.values(*reads) == ["of a", "of b", "of c", "of a", "of d"]
    assert sorted(rig.asked) == ["a", "a", "b+c+d"]
    for operation, params in rig.backend.reads:
        assert ("ConsistentRead" in params) == (operation == "GetItem")


async def test_whoever_wants_to_know_what_it_consumed_is_asked_for_alone(rig: Rig) -> None:
    reads = [rig.read("a"), rig.read("b", capacity="TOTAL"), rig.read("c")]
    assert await rig.values(*reads) == ["of a", "of b", "of c"]
    assert sorted(rig.asked) == ["a+c", "b"]


@pytest.mark.parametrize(
    "error",
    [
        THROTTLED,
        DENIED,
        DynamoDBError("ResourceNotFoundException", "no table", 400),
        DynamoDBError("ValidationException", "one of the keys", 400),
        DynamoDBError("InternalServerError", "", 500),
        Unavailable("no answer"),
        ReadRefused(),
    ],
    ids=lambda error: getattr(error, "name", type(error).__name__),
)
async def test_after_a_failed_batch_each_ends_as_its_own_getitem(
    rig: Rig, error: Exception
) -> None:
    rig.batch_error = error
    own = DynamoDBError("ValidationException", "the key of b", 400)
    rig.errors = {"b": own}
    assert await rig.values(*(rig.read(word) for word in "abc")) == ["of a", own, "of c"]
    assert rig.asked == ["a+b+c", "a", "b", "c"]
    assert rig.reads.misses.counters.again == 3


async def test_an_answer_to_something_else_is_none(rig: Rig) -> None:
    rig.items["a"] = item("x")
    read, other = rig.read("a"), rig.read("b")
    await until(lambda: len(rig.backend.reads) == 1)
    rig.items["a"] = item("a")
    assert await rig.values(read, other) == ["of a", "of b"]
    assert rig.asked == ["a+b", "a", "b"]


async def test_keys_left_undone_are_asked_for_and_not_taken_for_absent(rig: Rig) -> None:
    rig.undone = {"b", "nothing"}
    rig.errors = {"nothing": THROTTLED}
    reads = [rig.read(word) for word in ("a", "b", "nothing")]
    assert await rig.values(*reads) == ["of a", "of b", THROTTLED]
    assert rig.asked == ["a+b+nothing", "b", "nothing"]


async def test_a_denied_batch_is_not_tried_again_for_a_while(rig: Rig) -> None:
    rig.batch_error = DENIED
    assert await rig.values(rig.read("a"), rig.read("b")) == ["of a", "of b"]
    rig.guard.extend(rig.clock.time + 1000, rig.clock.time)
    rig.clock.time += DENIED_S - 1
    assert await rig.values(rig.read("c"), rig.read("d")) == ["of c", "of d"]
    assert rig.asked == ["a+b", "a", "b", "c", "d"]
    rig.clock.time += 2
    rig.batch_error = None
    assert await rig.values(rig.read("e"), rig.read("f")) == ["of e", "of f"]
    assert rig.asked[5:] == ["e+f"]


async def test_a_fill_that_a_write_overtook_is_not_kept_and_the_others_are(rig: Rig) -> None:
    rig.release.clear()
    reads = [rig.read(word) for word in "abc"]
    await until(lambda: bool(rig.backend.reads))
    rig.guard.fence(Position(1, 1), [("t", b"b")], rig.clock.time)
    rig.guard.settle(Position(1, 1), Outcome.SUCCESS, (None,), rig.clock.time)
    rig.release.set()
    assert await rig.values(*reads) == ["of a", "of b", "of c"]
    kept = [rig.reads.cached(("t", word.encode())) is not None for word in "abc"]
    assert kept == [True, False, True]


async def test_every_fill_ends(rig: Rig) -> None:
    rig.batch_error, rig.errors = THROTTLED, {"a": THROTTLED}
    rig.items["b"] = {"id": {"S": "b"}, "v": {"new type": 1}}
    await rig.values(*(rig.read(word) for word in "abc"))
    rig.batch_error = None
    await rig.values(*(rig.read(word) for word in "bde"))
    assert not rig.guard._fills._items


async def test_an_item_of_a_new_form_is_answered_and_hurts_no_other(rig: Rig) -> None:
    odd: Item = {"id": {"S": "b"}, "v": {"new type": 1}}
    rig.items["b"] = odd
    first, second = await asyncio.gather(rig.read("a"), rig.read("b"))
    assert second == Found(None, None, odd)
    assert first.item is not None
    assert rig.asked == ["a+b"]


async def test_one_that_gives_up_takes_nothing_from_the_others(rig: Rig) -> None:
    rig.release.clear()
    reads = [rig.read(word) for word in "ab"]
    await until(lambda: bool(rig.backend.reads))
    reads[0].cancel()
    rig.release.set()
    ends = await rig.values(*reads)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1] == "of b"
    assert rig.reads.cached(("t", b"a")) is not None, "the fill goes on"


async def test_a_read_that_passes_through_and_is_given_up_is_not_asked_for(rig: Rig) -> None:
    rig.guard.lapse(rig.clock.time)
    reads = [rig.read(word) for word in "ab"]
    await asyncio.sleep(0)
    reads[0].cancel()
    assert (await rig.values(*reads))[1] == "of b"
    assert rig.asked == ["b"]


# -- while no connection is free ---------------------------------------------------------------


async def test_while_one_waits_for_its_connection_others_gather(rig: Rig) -> None:
    misses = rig.reads.misses
    rig.backend.connections.clear()
    reads = [rig.read("a")]
    await until(lambda: misses._unsent == 1)
    for count, word in enumerate("bcd", 1):
        reads.append(rig.read(word))
        await until(lambda: len(misses._gathered) == count and misses._turn is None)  # noqa: B023
    rig.backend.connections.set()
    assert await rig.values(*reads) == ["of a", "of b", "of c", "of d"]
    assert rig.asked == ["a", "b+c+d"]


async def test_nothing_gathers_while_connections_are_free(rig: Rig) -> None:
    rig.release.clear()
    reads = []
    for word in "abc":
        reads.append(rig.read(word))
        await until(lambda: len(rig.backend.reads) == len(reads))
    rig.release.set()
    assert await rig.values(*reads) == ["of a", "of b", "of c"]
    assert rig.asked == ["a", "b", "c"]


async def test_who_has_no_more_time_does_not_wait_for_others_connections(rig: Rig) -> None:
    misses = rig.reads.misses
    rig.backend.connections.clear()
    first = rig.read("a")
    await until(lambda: misses._unsent == 1)
    late = rig.read("b", deadline=rig.clock.time + 0.05)
    await until(lambda: bool(misses._gathered))
    await until(lambda: misses._unsent == 2)
    assert not late.done(), "its own request says how it ends"
    rig.backend.connections.set()
    assert await rig.values(first, late) == ["of a", "of b"]


# -- memory, and the end -----------------------------------------------------------------------


async def test_what_a_batch_holds_counts_while_it_is_worked_on(rig: Rig) -> None:
    memory = MemoryBudget(1 << 30)
    rig.reads.misses._memory = memory
    held: list[int] = []
    whole = rig.backend.read_answer

    async def answer(operation: str, params: Params) -> Result:
        before = memory.held_bytes
        admit_read(1000)
        held.append(memory.held_bytes - before)
        return await whole(operation, params)  # type: ignore[no-any-return]

    rig.backend.read_answer = answer
    before = memory.held_bytes
    assert await rig.values(rig.read("a"), rig.read("b")) == ["of a", "of b"]
    assert held == [1000]
    assert memory.held_bytes == before


async def test_the_end_tells_everyone(rig: Rig) -> None:
    rig.release.clear()
    under_way = [rig.read(word) for word in "ab"]
    await until(lambda: bool(rig.backend.reads))
    gathered = rig.read("c")
    await asyncio.sleep(0)
    await rig.reads.aclose()
    ends = await rig.values(*under_way, gathered)
    assert all(isinstance(end, PacelineError) for end in ends)
    assert not rig.guard._fills._items
