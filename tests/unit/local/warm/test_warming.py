"""Which keys are read by whom, what counts as an error, and where a run goes on."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.errors import ConfigError, DynamoDBError, Unavailable
from paceline.types import Item, KeyAttribute, KeySchema, Params, Result
from paceline_local.warm import state, warming
from paceline_local.warm.sources import Chunk, FileSource, PageSource
from paceline_local.warm.state import SourcePosition
from paceline_local.warm.warming import RateLimit, Warmer

SCHEMA = KeySchema(KeyAttribute("id", "S"))


@pytest.fixture(autouse=True)
def _no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "BACKOFF_S", 0.0)


def key(number: int) -> Item:
    return {"id": {"S": str(number)}}


class FakeNode:
    """Answers batches; ``troubles``: what the next calls end with instead."""

    def __init__(self, node_id: str, *troubles: Exception) -> None:
        self.node_id = node_id
        self.troubles = list(troubles)
        self.dead = False
        self.bad: set[str] = set()
        self.unprocessed = 0
        self.read: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def call(self, operation: str, params: Params) -> Result:
        assert operation == "BatchGetItem"
        await self.gate.wait()
        if self.dead:
            raise Unavailable(f"{self.node_id} does not answer")
        if self.troubles:
            raise self.troubles.pop(0)
        keys = params["RequestItems"]["t"]["Keys"]
        if any(one["id"]["S"] in self.bad for one in keys):
            raise DynamoDBError("ValidationException", "One or more parameter values were invalid")
        done, left = keys, []
        if self.unprocessed and len(keys) > 1:
            self.unprocessed -= 1
            done, left = keys[:1], keys[1:]
        self.read += [one["id"]["S"] for one in done]
        return {
            "Responses": {"t": list(done)},
            "UnprocessedKeys": {"t": {"Keys": left}} if left else {},
        }


async def chunks(count: int, size: int = 2, bad: tuple[str, ...] = ()) -> AsyncGenerator[Chunk]:
    for begin in range(0, count, size):
        numbers = range(begin, min(begin + size, count))
        yield Chunk(tuple(key(n) for n in numbers), bad, SourcePosition(numbers[-1] + 1))


def warmer(*nodes: FakeNode, **more: Any) -> Warmer:
    return Warmer("t", SCHEMA, nodes, lambda: 0.0, **more)


async def test_every_node_reads_every_key_once() -> None:
    nodes = [FakeNode("node-1"), FakeNode("node-2")]
    positions: list[SourcePosition] = []
    run = warmer(*nodes, checkpoint=positions.append)
    assert await run.run(chunks(25), asyncio.Event())
    for node in nodes:
        assert sorted(node.read, key=int) == [str(n) for n in range(25)]
    assert [position.records for position in positions] == [*range(2, 25, 2), 25]
    assert (run.counts.records, run.counts.reads, run.counts.found) == (25, 50, 50)
    assert run.counts.errors == 0


async def test_a_key_that_is_named_twice_is_asked_once() -> None:
    async def twice() -> AsyncGenerator[Chunk]:
        yield Chunk((key(1), key(2), key(1)), ("line 4: bad",), SourcePosition(4))

    node = FakeNode("node-1")
    run = warmer(node)
    assert await run.run(twice(), asyncio.Event())
    assert node.read == ["1", "2"]
    assert (run.counts.records, run.counts.errors) == (4, 1)
    assert run.counts.problems == {"line 4: bad": 1}


async def test_what_may_be_repeated_is_repeated() -> None:
    node = FakeNode(
        "node-1", DynamoDBError("ThrottlingException", "slow down"), Unavailable("closed")
    )
    node.unprocessed = 2
    run = warmer(node)
    assert await run.run(chunks(3, size=3), asyncio.Event())
    assert node.read == ["0", "1", "2"]
    assert (run.counts.reads, run.counts.errors) == (3, 0)


async def test_one_refused_key_does_not_spoil_its_batch() -> None:
    node = FakeNode("node-1")
    node.bad = {"5"}
    run = warmer(node)
    assert await run.run(chunks(10, size=10), asyncio.Event())
    assert sorted(node.read) == [str(n) for n in range(10) if n != 5]
    assert run.counts.errors == 1


async def test_a_node_that_is_gone_is_counted_and_not_waited_for() -> None:
    good, gone = FakeNode("node-1"), FakeNode("node-2")
    gone.dead = True
    run = warmer(good, gone)
    assert await run.run(chunks(30), asyncio.Event())
    assert len(good.read) == 30
    assert run.counts.errors == 30
    assert run.counts.problems == {"node-2 does not answer": 30}


async def test_without_any_node_it_ends() -> None:
    gone = FakeNode("node-1")
    gone.dead = True
    with pytest.raises(Unavailable, match="no node can be reached"):
        await warmer(gone).run(chunks(1000), asyncio.Event())


async def test_when_stopped_what_was_begun_is_finished() -> None:
    node, stop = FakeNode("node-1"), asyncio.Event()
    node.gate.clear()
    positions: list[SourcePosition] = []
    run = warmer(node, checkpoint=positions.append)
    running = asyncio.create_task(run.run(chunks(1000), stop))
    while run.counts.records == 0 and not node.gate.is_set():
        await asyncio.sleep(0)
        stop.set()
        node.gate.set()
    assert not await running
    assert len(node.read) < 1000
    assert (positions[-1].records if positions else 0) == len(node.read)


def test_a_rate_is_kept_whatever_the_pauses() -> None:
    limit = RateLimit(100.0, now=0.0)
    assert limit.take(10, 0.0) == 0.0
    assert limit.take(10, 0.0) == pytest.approx(0.1)
    assert limit.take(1, 0.05) == pytest.approx(0.15)
    # After a long pause, no more than a burst is made up for.
    assert limit.take(10, 100.0) == 0.0
    assert limit.take(10, 100.0) == pytest.approx(0.0)
    assert limit.take(10, 100.0) == pytest.approx(0.1)


def test_batches_of_a_low_rate_are_small() -> None:
    assert Warmer.batch_size(3, None) == 100
    assert Warmer.batch_size(3, 1e6) == 100
    assert Warmer.batch_size(3, 120.0) == 10
    assert Warmer.batch_size(3, 0.5) == 1


async def collected(generator: AsyncGenerator[Chunk]) -> list[Chunk]:
    return [chunk async for chunk in generator]


@pytest.mark.parametrize("name", ["keys.txt", "keys.txt.gz"])
async def test_a_file_goes_on_from_any_position(tmp_path: Path, name: str) -> None:
    text = "".join(f"{n}\n" for n in range(10)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    source = FileSource(str(path), SCHEMA)
    assert source.total() == 10
    whole = await collected(source.chunks(3, SourcePosition()))
    assert [len(chunk.keys) for chunk in whole] == [3, 3, 3, 1]
    rest = await collected(source.chunks(3, whole[1].position))
    assert [one for chunk in rest for one in chunk.keys] == [key(n) for n in range(6, 10)]
    limited = FileSource(str(path), SCHEMA, limit=7)
    assert limited.total() == 7
    assert (await collected(limited.chunks(3, whole[1].position)))[-1].position == SourcePosition(7)


async def test_a_csv_file_is_counted_without_its_header(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    path.write_text("id\na\nb\n")
    assert FileSource(str(path), SCHEMA).total() == 2
    with pytest.raises(ConfigError, match="cannot be read"):
        FileSource(str(tmp_path / "none"), SCHEMA).total()
    path.write_bytes(b"id\n\xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        await collected(FileSource(str(path), SCHEMA).chunks(3, SourcePosition()))


def pages(count: int, page: int, asked: list[Params]) -> Callable[..., Any]:
    async def read(operation: str, params: Params) -> Result:
        assert operation == "Scan"
        asked.append(params)
        start = int(params.get("ExclusiveStartKey", key(-1))["id"]["S"]) + 1
        numbers = range(start, min(start + page, count))
        result: Result = {"Items": [{**key(n), "more": {"S": "x"}} for n in numbers]}
        if numbers and numbers[-1] < count - 1:
            result["LastEvaluatedKey"] = key(numbers[-1])
        return result

    return read


async def test_pages_go_on_from_any_position(tmp_path: Path) -> None:
    asked: list[Params] = []
    source = PageSource(pages(20, 7, asked), "Scan", {"TableName": "t"}, SCHEMA)
    whole = await collected(source.chunks(3, SourcePosition()))
    assert [one for chunk in whole for one in chunk.keys] == [key(n) for n in range(20)]
    assert asked[0]["ProjectionExpression"] == "#paceline_0"
    for index, chunk in enumerate(whole):
        state.save(tmp_path / "state", {"table": "t"}, chunk.position)
        position = state.load(tmp_path / "state", {"table": "t"})
        assert position == chunk.position
        assert position is not None
        rest = await collected(source.chunks(3, position))
        assert [one for c in rest for one in c.keys] == [
            one for c in whole[index + 1 :] for one in c.keys
        ]


async def test_pages_end_at_the_limit() -> None:
    source = PageSource(pages(20, 7, []), "Scan", {"TableName": "t"}, SCHEMA, limit=10)
    found = await collected(source.chunks(4, SourcePosition()))
    assert [one for chunk in found for one in chunk.keys] == [key(n) for n in range(10)]
    assert await collected(source.chunks(4, found[-1].position)) == []


def test_the_state_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert state.load(path, {"table": "t"}) is None
    binary = SourcePosition(5, {"id": {"B": b"\0\1"}}, 2)
    state.save(path, {"table": "t"}, binary)
    assert state.load(path, {"table": "t"}) == binary
    with pytest.raises(ConfigError, match="another run"):
        state.load(path, {"table": "u"})
    path.write_text("[]")
    with pytest.raises(ConfigError, match="no state"):
        state.load(path, {"table": "t"})
    path.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        state.load(path, {"table": "t"})
    with pytest.raises(ConfigError, match="cannot be written"):
        state.save(tmp_path / "none" / "state", {}, SourcePosition())
