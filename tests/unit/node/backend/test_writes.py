"""Every way the attempts of one write can end, and what may be said of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

import pytest

from cluster.settings import DynamoDBSettings
from node.backend.calls import Caller, End, Refusal, Silence, Success
from node.backend.client import BATCH_GET_ROUNDS_MAX, Backend, Reads
from node.backend.retry import meaning_of
from node.backend.writes import (
    CONNECTS_MAX,
    TRANSACTION_REPEATS_MAX,
    SendForbidden,
    WriteResult,
    Writes,
)
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    RequestError,
    Unavailable,
)
from paceline.types import Params

DEADLINE = 100.0


def refusal(name: str, status: int = 400) -> Refusal:
    return Refusal(DynamoDBError(name, "because", status), meaning_of(name, status))


OK = Success({"fine": True})
THROTTLED = refusal("ThrottlingException")
CONDITION = refusal("ConditionalCheckFailedException")
CANCELED = refusal("TransactionCanceledException")
IN_PROGRESS = refusal("TransactionInProgressException")
BROKEN = refusal("InternalServerError", 500)
LOST = Silence("connection closed", sent=True)
NO_CONNECTION = Silence("connection refused", sent=False)
FORBIDDEN = Silence("no lease", sent=False, forbidden=True)


class Scripted:
    """Stands for Caller; the clock stands still but for ``tick_s`` per attempt."""

    def __init__(self, ends: list[End], tick_s: float = 0.0) -> None:
        self.ends = ends
        self.calls: list[Params] = []
        self.time = 0.0
        self.tick_s = tick_s
        self.endpoint = "http://test"

    def now(self) -> float:
        return self.time

    async def call(
        self,
        operation: str,
        params: Params,
        deadline: float,
        may_send: Callable[[], bool] | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> End:
        self.calls.append(params)
        self.time += self.tick_s
        return self.ends[min(len(self.calls), len(self.ends)) - 1]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: float) -> None: ...

    monkeypatch.setattr("node.backend.writes.asyncio.sleep", at_once)


async def write(caller: Scripted, operation: str = "PutItem", **params: Any) -> WriteResult:
    writes = Writes(cast(Caller, caller), caller.now, random.Random(1))
    return await writes.write(operation, params, DEADLINE, lambda: True)


@pytest.mark.parametrize(
    ("ends", "calls", "error", "ambiguous"),
    [
        ([OK], 1, None, False),
        ([CONDITION], 1, DynamoDBError, False),
        ([refusal("TransactionConflictException")], 1, DynamoDBError, False),
        ([THROTTLED, THROTTLED, OK], 3, None, False),
        ([THROTTLED, CONDITION], 2, DynamoDBError, False),
        ([NO_CONNECTION, OK], 2, None, False),
        ([NO_CONNECTION], CONNECTS_MAX, NotSent, False),
        ([FORBIDDEN], 1, SendForbidden, False),
        ([THROTTLED, FORBIDDEN], 2, SendForbidden, False),
        ([LOST, OK], 1, OutcomeUnknown, True),
        ([BROKEN, OK], 1, OutcomeUnknown, True),
        ([THROTTLED, LOST, OK], 2, OutcomeUnknown, True),
        ([NO_CONNECTION, BROKEN, OK], 2, OutcomeUnknown, True),
        ([refusal("404", 404)], 1, OutcomeUnknown, True),
    ],
)
async def test_single_writes(
    ends: list[End], calls: int, error: type[Exception] | None, ambiguous: bool
) -> None:
    caller = Scripted(ends)
    ended = await write(caller)
    assert len(caller.calls) == calls
    assert type(ended.error) is (error or type(None))
    assert (ended.result is None) is (error is not None)
    assert ended.ambiguous is ambiguous


@pytest.mark.parametrize(
    ("ends", "calls", "error", "ambiguous"),
    [
        ([OK], 1, None, False),
        ([CANCELED], 1, DynamoDBError, False),
        # Done in the end, but for the caches the first attempt is open for ever.
        ([LOST, OK], 2, None, True),
        ([BROKEN, OK], 2, None, True),
        # The lost attempt may still be carried out later: never 'rejected'.
        ([LOST, CANCELED], 2, OutcomeUnknown, True),
        ([LOST, FORBIDDEN], 2, OutcomeUnknown, True),
        ([LOST, NO_CONNECTION, OK], 3, None, True),
        ([LOST, THROTTLED, CANCELED], 3, OutcomeUnknown, True),
        ([LOST, IN_PROGRESS, OK], 3, None, True),
        ([LOST], 1 + TRANSACTION_REPEATS_MAX, OutcomeUnknown, True),
        # Somebody else's transaction with the same token.
        ([IN_PROGRESS], 1 + TRANSACTION_REPEATS_MAX, DynamoDBError, True),
        ([IN_PROGRESS, CANCELED], 2, DynamoDBError, True),
        ([IN_PROGRESS, OK], 2, None, True),
    ],
)
async def test_transactions_are_repeated_under_one_token(
    ends: list[End], calls: int, error: type[Exception] | None, ambiguous: bool
) -> None:
    caller = Scripted(ends)
    ended = await write(caller, "TransactWriteItems", TransactItems=[])
    assert len(caller.calls) == calls
    assert len({params["ClientRequestToken"] for params in caller.calls}) == 1
    assert type(ended.error) is (error or type(None))
    assert ended.ambiguous is ambiguous


async def test_the_callers_token_is_kept_and_ours_are_new() -> None:
    caller = Scripted([OK])
    await write(caller, "TransactWriteItems", TransactItems=[], ClientRequestToken="mine")
    await write(caller, "TransactWriteItems", TransactItems=[])
    await write(caller, "TransactWriteItems", TransactItems=[])
    tokens = [params["ClientRequestToken"] for params in caller.calls]
    assert tokens[0] == "mine"
    assert len(set(tokens)) == 3


async def test_throttling_that_outlasts_the_deadline_is_passed_on() -> None:
    caller = Scripted([THROTTLED], tick_s=40.0)
    ended = await write(caller)
    assert len(caller.calls) == 3
    assert ended.error is THROTTLED.error
    assert not ended.ambiguous


async def test_a_deadline_in_the_past_sends_nothing() -> None:
    caller = Scripted([OK])
    caller.time = DEADLINE
    ended = await write(caller)
    assert caller.calls == []
    assert type(ended.error) is NotSent
    assert not ended.ambiguous
    with pytest.raises(NotSent):
        ended.reply()


async def test_parameters_that_cannot_be_encoded() -> None:
    class Raising(Scripted):
        async def call(self, *args: Any, **kwargs: Any) -> End:
            raise RequestError("SerializationException", "no")

    ended = await write(Raising([]))
    assert isinstance(ended.error, RequestError)
    assert not ended.ambiguous


# -- batches ------------------------------------------------------------------------------------


def puts(*ids: str) -> dict[str, Any]:
    return {"t": [{"PutRequest": {"Item": {"id": {"S": id_}}}} for id_ in ids]}


def left(*ids: str) -> Success:
    return Success({"UnprocessedItems": puts(*ids) if ids else {}})


async def batch_write(caller: Scripted, *ids: str) -> WriteResult:
    return await write(caller, "BatchWriteItem", RequestItems=puts(*ids))


async def test_unprocessed_items_are_sent_again_and_only_they() -> None:
    caller = Scripted([left("2", "3"), THROTTLED, left("3"), left()])
    ended = await batch_write(caller, "1", "2", "3")
    assert [params["RequestItems"] for params in caller.calls] == [
        puts("1", "2", "3"),
        puts("2", "3"),
        puts("2", "3"),
        puts("3"),
    ]
    assert ended == WriteResult({"UnprocessedItems": {}}, None, ambiguous=False)


async def test_a_batch_of_which_nothing_was_done_is_refused_cleanly() -> None:
    ended = await batch_write(Scripted([refusal("ValidationException")]), "1", "2")
    assert isinstance(ended.error, DynamoDBError)
    assert not ended.ambiguous
    ended = await batch_write(Scripted([left("1", "2")], tick_s=60.0), "1", "2")
    assert isinstance(ended.error, DynamoDBError)
    assert ended.error.name == "ProvisionedThroughputExceededException"
    assert not ended.ambiguous


@pytest.mark.parametrize(
    ("second", "error", "words"),
    [
        (left("2"), DynamoDBError, "1 of 2 writes of the batch were done"),
        (THROTTLED, DynamoDBError, "1 of 2 writes of the batch were done"),
        (LOST, OutcomeUnknown, "1 of 2 writes"),
        (FORBIDDEN, OutcomeUnknown, "1 of 2 writes"),
        (refusal("ResourceNotFoundException"), OutcomeUnknown, "1 of 2 writes"),
    ],
)
async def test_a_batch_written_in_part_is_neither_done_nor_refused(
    second: End, error: type[Exception], words: str
) -> None:
    ended = await batch_write(Scripted([left("2"), second], tick_s=30.0), "1", "2")
    assert type(ended.error) is error
    assert words in str(ended.error)
    assert ended.result is None
    assert ended.ambiguous


# -- reads --------------------------------------------------------------------------------------


async def read(caller: Scripted, operation: str = "GetItem", **params: Any) -> Any:
    reads = Reads(cast(Caller, caller), caller.now, random.Random(1))
    return await reads.read(operation, params, DEADLINE)


async def test_reads_are_repeated_whatever_happened() -> None:
    caller = Scripted([BROKEN, LOST, NO_CONNECTION, THROTTLED, OK])
    assert await read(caller) == {"fine": True}
    assert len(caller.calls) == 5


async def test_a_refused_read_is_not_repeated() -> None:
    caller = Scripted([refusal("ValidationException"), OK])
    with pytest.raises(DynamoDBError, match="ValidationException"):
        await read(caller)
    assert len(caller.calls) == 1


@pytest.mark.parametrize(
    ("end", "error"),
    [(THROTTLED, DynamoDBError), (BROKEN, DynamoDBError), (NO_CONNECTION, Unavailable)],
)
async def test_the_last_reason_when_the_deadline_is_reached(
    end: End, error: type[Exception]
) -> None:
    caller = Scripted([end], tick_s=30.0)
    with pytest.raises(error):
        await read(caller)
    assert len(caller.calls) == 4


async def test_an_attempt_cut_off_by_the_deadline_does_not_hide_the_throttling() -> None:
    with pytest.raises(DynamoDBError, match="ThrottlingException"):
        await read(Scripted([THROTTLED, LOST], tick_s=50.0))


def keys(*ids: str) -> dict[str, Any]:
    return {"t": {"Keys": [{"id": {"S": id_}} for id_ in ids]}}


def got(found: str, *missing: str) -> Success:
    return Success(
        {
            "Responses": {"t": [{"id": {"S": id_}} for id_ in found]},
            "UnprocessedKeys": keys(*missing) if missing else {},
        }
    )


async def test_keys_left_out_are_the_callers_to_ask_for() -> None:
    caller = Scripted([got("1", "2", "3")])
    result = await read(caller, "BatchGetItem", RequestItems=keys("1", "2", "3"))
    assert [item["id"]["S"] for item in result["Responses"]["t"]] == ["1"]
    assert result["UnprocessedKeys"] == keys("2", "3")


async def test_a_batch_of_which_nothing_came_back_is_repeated() -> None:
    caller = Scripted([got("", "1", "2"), got("1", "2")])
    result = await read(caller, "BatchGetItem", RequestItems=keys("1", "2"))
    assert [params["RequestItems"] for params in caller.calls] == [keys("1", "2")] * 2
    assert result["UnprocessedKeys"] == keys("2")
    caller = Scripted([got("", "1")])
    result = await read(caller, "BatchGetItem", RequestItems=keys("1"))
    assert len(caller.calls) == BATCH_GET_ROUNDS_MAX
    assert result["UnprocessedKeys"] == keys("1")


async def test_a_batch_get_that_got_nothing_fails() -> None:
    with pytest.raises(Unavailable):
        await read(Scripted([NO_CONNECTION], tick_s=60.0), "BatchGetItem", RequestItems=keys("1"))


@pytest.mark.parametrize(
    ("end", "error"),
    [(THROTTLED, DynamoDBError), (BROKEN, DynamoDBError), (LOST, Unavailable)],
)
async def test_a_single_attempt_is_neither_repeated_nor_observed(
    end: End, error: type[Exception]
) -> None:
    backend = Backend(DynamoDBSettings())
    caller = Scripted([end, OK])
    backend._caller = cast(Caller, caller)
    observed: list[Any] = []
    backend.observe_errors(lambda *what: observed.append(what))
    with pytest.raises(error):
        await backend.attempt("BatchGetItem", {}, DEADLINE)
    assert len(caller.calls) == 1
    assert not observed
    assert await backend.attempt("BatchGetItem", {}, DEADLINE) == {"fine": True}
    with pytest.raises(AssertionError):
        await backend.attempt("PutItem", {}, DEADLINE)
