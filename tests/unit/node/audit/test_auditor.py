"""The auditor finds what it must, accuses nobody wrongly, and leaves the caches as they were.

Three nodes: the auditor's own, one behind a real gRPC server, one that does not answer.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Image, Outcome, Position
from cluster.log.view import Member
from cluster.service.metrics import SeriesCollector
from cluster.settings import CacheSettings
from cluster.transport import large_work
from cluster.transport.large_work import INLINE_VALUES_MAX
from node.audit import auditor as auditor_module
from node.audit.auditor import TROUBLE_FIRST_S, TROUBLE_MAX_S, Auditor
from node.audit.judging import Finding
from node.audit.peeking import Peeker, Peers
from node.audit.sampling import Sampler
from node.cache.caches import Caches
from node.tables.attribute_lists import AttributeLists
from node.tables.schemas import Upstream
from paceline.dax.attribute_lists import encode_item
from paceline.dax.responses import item_reply
from paceline.errors import DynamoDBError, Unavailable
from paceline.types import Item, Key, Params, Result
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc as pb_grpc
from tests.support.grpc_channels import channels_of, member, serving_members
from tests.support.waiting import until
from tests.unit.node.fakes import SCHEMA, Clock, FakeAgent, FakeBackend, FakeTables

SEED = 7
KEY: Key = ("t", b"a")
ATTRIBUTES: Item = {"id": {"S": "a"}}
OLD: Item = {**ATTRIBUTES, "v": {"N": "1"}}
NEW: Item = {**ATTRIBUTES, "v": {"N": "2"}}


class Part:
    """What of a node the auditor looks at."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.caches = Caches.from_settings(CacheSettings())
        self.guard = Guard(self.caches, 10.0)
        self.guard.extend(clock.time + 1, clock.time)
        sampler = Sampler(self.caches.items, random.Random(SEED))
        self.peeker = Peeker(self.caches.items, self.guard, sampler, clock)


class Servicer(pb_grpc.ReplicationServicer):
    def __init__(self, peeker: Peeker) -> None:
        self._peeker = peeker

    async def Peek(self, request: pb.PeekRequest, context: Any) -> pb.PeekReply:
        return self._peeker.serve(request)


class Audited:
    def __init__(self, remote: Part, address: str, channel: Any) -> None:
        self.clock = remote.clock
        self.channels = {"n2": channel}
        self.here = Part(self.clock)
        self.remote = remote
        self.primary = True
        self.items: dict[str, Item] = {}
        self.backend = cast(Any, FakeBackend())
        self.backend.read_answer = self._answer
        agent = cast(Any, FakeAgent())
        self.lists = AttributeLists(agent)
        self.members = [
            Member("n1", "a", "i"),
            Member("n2", "b", "i", addresses={"members": address}),
        ]
        self.auditor = Auditor(
            2.0,
            lambda: self.primary,
            lambda: self.members,
            Peers("n1", self.here.peeker, self._channel),
            self.here.guard,
            Upstream(self.backend, FakeTables(), self.lists),
            self.clock,
            random.Random(SEED),
        )
        agent.lists[99] = ("v",)

    def _channel(self, node_id: str) -> Any:
        """As ``node.replication.channels.Channels.get``."""
        if node_id not in self.channels:
            raise Unavailable(f"{node_id} is no member that could be reached")
        return self.channels[node_id]

    async def _answer(self, operation: str, params: Params) -> Result:
        assert operation == "GetItem"
        assert params["ConsistentRead"] is True
        item = self.items.get(params["Key"]["id"]["S"])
        return {} if item is None else {"Item": item}

    def encoded(self, item: Item | None) -> bytes | None:
        return None if item is None else encode_item(item, SCHEMA, self.lists.list_id)

    def keep(self, part: Part, item: Item | None) -> None:
        part.caches.install(KEY, Image(self.encoded(item)), self.clock.time)

    def keep_everywhere(self, item: Item | None) -> None:
        for part in (self.here, self.remote):
            self.keep(part, item)
        if item is not None:
            self.items["a"] = item

    def corrupt(self, part: Part, item: Item) -> None:
        """Behind everybody's back, as a bug or a broken memory would."""
        columns = part.caches.items.columns
        columns.values[columns.keys.index(b"a")] = item_reply(self.encoded(item) or b"")

    async def findings(self) -> dict[str, Finding]:
        """Of one sample."""
        before = {(n, v): count for n, v, count in self.auditor.ledger.counts()}
        assert await self.auditor.sample()
        return {
            n: v for n, v, count in self.auditor.ledger.counts() if count > before.get((n, v), 0)
        }


@pytest.fixture
async def audited() -> AsyncIterator[Audited]:
    part = Part(Clock())
    servicer = Servicer(part.peeker)
    async with serving_members(
        "n2", lambda it: pb_grpc.add_ReplicationServicer_to_server(servicer, it)
    ) as address:
        channel = channels_of(member("n1")).open(address, "n2", use="replication")
        yield Audited(part, address, channel)
        await channel.close(None)


@pytest.mark.parametrize("item", [OLD, None])
async def test_right_answers_agree_at_the_price_of_one_read(
    audited: Audited, item: Item | None
) -> None:
    audited.keep_everywhere(item)
    for _ in range(3):
        assert await audited.findings() == dict.fromkeys(("n1", "n2"), Finding.AGREE)
    assert audited.auditor.reads == len(audited.backend.reads) == 3
    assert audited.auditor.last is None


async def test_nothing_of_a_large_item_is_left_to_be_compared_or_freed_on_the_loop(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    large: Item = {**ATTRIBUTES, "v": {"L": [{"L": [{"N": "1"}]}] * 2 * INLINE_VALUES_MAX}}
    audited.keep_everywhere(large)
    freed: list[tuple[Any, bool]] = []

    def free(values: list[Any]) -> None:
        main = threading.current_thread() is threading.main_thread()
        freed.extend((value, main) for value in values)

    monkeypatch.setattr(auditor_module, "free", free)
    monkeypatch.setattr(large_work, "free", free)
    assert await audited.findings() == dict.fromkeys(("n1", "n2"), Finding.AGREE)
    await until(lambda: len(freed) == 3)
    assert [main for _, main in freed] == [False, False, False]
    values = [value for value, _ in freed]
    assert {"Item": large} in values, "DynamoDB's"
    assert values.count({"v": large["v"]}) == 2, "each node's"


async def test_a_corrupted_entry_of_another_node_is_found(audited: Audited) -> None:
    audited.keep_everywhere(NEW)
    audited.corrupt(audited.remote, OLD)
    audited.clock.time += 0.5
    with structlog.testing.capture_logs() as logs:
        assert await audited.findings() == {"n1": Finding.AGREE, "n2": Finding.DISAGREE}
    assert audited.auditor.reads == 2
    last = audited.auditor.as_dict()["last_disagreement"]
    assert last["table"] == "t"
    assert last["dynamodb"] == "item"
    assert last["nodes"] == ({"node": "n2", "cached": "item", "age_s": 0.5},)
    (line,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert line["table"] == "t"
    assert "a" != line["key_sha256"] == last["key_sha256"]
    assert len(line["key_sha256"]) == 16
    assert audited.auditor.ledger.since_start.disagreements == 1


async def test_its_own_wrong_entry_is_found_too(audited: Audited) -> None:
    audited.keep_everywhere(None)
    audited.items["a"] = NEW
    assert await audited.findings() == dict.fromkeys(("n1", "n2"), Finding.DISAGREE)
    assert audited.auditor.last is not None
    assert [accused.cached for accused in audited.auditor.last.nodes] == ["absent", "absent"]


async def test_disagreements_in_a_row_are_all_counted_and_logged_once(audited: Audited) -> None:
    audited.keep_everywhere(NEW)
    audited.corrupt(audited.remote, OLD)
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await audited.auditor.sample()
    assert len([entry for entry in logs if entry["log_level"] == "error"]) == 1
    assert audited.auditor.ledger.since_start.disagreements == 5


async def test_a_key_that_only_another_node_has_is_sampled(audited: Audited) -> None:
    audited.items["a"] = NEW
    audited.keep(audited.remote, OLD)
    assert await audited.findings() == {"n1": Finding.NOT_CACHED, "n2": Finding.DISAGREE}


async def test_a_node_without_a_lease_or_with_an_expired_entry_answers_nothing(
    audited: Audited,
) -> None:
    audited.keep_everywhere(OLD)
    audited.items["a"] = NEW
    audited.remote.guard.lapse(audited.clock.time)
    audited.keep(audited.here, NEW)
    assert await audited.findings() == {"n1": Finding.AGREE, "n2": Finding.NOT_CACHED}
    audited.clock.time += 400
    for part in (audited.here, audited.remote):
        part.guard.extend(audited.clock.time + 1, audited.clock.time)
    audited.keep(audited.here, NEW)
    assert await audited.findings() == {"n1": Finding.AGREE, "n2": Finding.NOT_CACHED}


async def test_a_node_that_cannot_be_asked_is_not_accused(audited: Audited) -> None:
    audited.keep_everywhere(NEW)
    audited.members.append(Member("n3", "c", "i"))
    assert await audited.findings() == {
        "n1": Finding.AGREE,
        "n2": Finding.AGREE,
        "n3": Finding.INCONCLUSIVE,
    }


async def test_an_answer_of_unknown_attributes_is_not_judged(audited: Audited) -> None:
    audited.keep_everywhere(NEW)
    unknown = encode_item(NEW, SCHEMA, lambda names: 4711)
    audited.remote.caches.install(KEY, Image(unknown), audited.clock.time)
    assert await audited.findings() == {"n1": Finding.AGREE, "n2": Finding.INCONCLUSIVE}


async def test_numbers_and_sets_may_be_spelt_differently(audited: Audited) -> None:
    audited.keep_everywhere({**ATTRIBUTES, "v": {"NS": ["1.50", "2"]}})
    audited.items["a"] = {**ATTRIBUTES, "v": {"NS": ["2.0", "1.5"]}}
    assert set((await audited.findings()).values()) == {Finding.AGREE}


# -- writes at the same time -----------------------------------------------------------------


@pytest.mark.parametrize("reads_before", [1, 2])
async def test_a_write_through_the_cluster_meanwhile_makes_it_inconclusive(
    audited: Audited, reads_before: int
) -> None:
    """Also if DynamoDB has the same before and after: it may have had something else between."""
    audited.keep_everywhere(NEW)
    audited.corrupt(audited.remote, OLD)

    async def answer(operation: str, params: Params) -> Result:
        if len(audited.backend.reads) == reads_before:
            fence = Position(1, 1)
            audited.here.guard.fence(fence, [KEY], audited.clock.time)
            audited.here.guard.settle(fence, Outcome.SUCCESS, [None], audited.clock.time)
        return {"Item": NEW}

    audited.backend.read_answer = answer
    assert await audited.findings() == {
        "n1": Finding.INCONCLUSIVE if reads_before == 2 else Finding.NOT_CACHED,
        "n2": Finding.INCONCLUSIVE,
    }
    assert audited.auditor.last is None


async def test_a_write_under_way_costs_no_read(audited: Audited) -> None:
    audited.keep_everywhere(NEW)
    audited.here.guard.fence(Position(1, 1), [KEY], audited.clock.time)
    assert set((await audited.findings()).values()) == {Finding.INCONCLUSIVE}
    assert audited.auditor.reads == 0


async def test_a_write_of_unknown_outcome_meanwhile_makes_it_inconclusive(
    audited: Audited,
) -> None:
    audited.keep_everywhere(OLD)

    async def answer(operation: str, params: Params) -> Result:
        audited.here.guard.quarantine([KEY], audited.clock.time)
        return {"Item": NEW}

    audited.backend.read_answer = answer
    assert (await audited.findings())["n2"] is Finding.INCONCLUSIVE


async def test_a_lapse_meanwhile_makes_it_inconclusive(audited: Audited) -> None:
    """Another primary may have written what this one's Guard knows nothing of."""
    audited.keep_everywhere(OLD)
    audited.items["a"] = NEW

    async def answer(operation: str, params: Params) -> Result:
        audited.here.guard.lapse(audited.clock.time)
        audited.here.guard.extend(audited.clock.time + 1, audited.clock.time)
        return {"Item": NEW}

    audited.backend.read_answer = answer
    assert set((await audited.findings()).values()) == {Finding.INCONCLUSIVE}


async def test_a_change_by_somebody_else_meanwhile_makes_it_inconclusive(audited: Audited) -> None:
    audited.keep_everywhere(OLD)

    async def answer(operation: str, params: Params) -> Result:
        return {"Item": NEW if len(audited.backend.reads) == 1 else OLD}

    audited.backend.read_answer = answer
    assert set((await audited.findings()).values()) == {Finding.INCONCLUSIVE}
    assert audited.auditor.reads == 2


# -- no traces, no load ----------------------------------------------------------------------


async def test_sampling_leaves_the_caches_as_they_were(audited: Audited) -> None:
    audited.keep_everywhere(OLD)
    audited.items["a"] = NEW
    parts = (audited.here, audited.remote)
    before = [part.caches.items.peek(*KEY) for part in parts]
    for _ in range(3):
        await audited.auditor.sample()
    for part, entry in zip(parts, before, strict=True):
        assert entry is not None
        assert part.caches.items.peek(*KEY) == entry, "repaired, or filled anew"
        assert not any(part.caches.items.columns.hits)
    assert audited.here.guard.begin_fill(KEY, audited.clock.time) is not None


async def test_nothing_cached_costs_no_read(audited: Audited) -> None:
    assert not await audited.auditor.sample()
    assert audited.auditor.reads == 0


class Pauses:
    """Takes the place of ``asyncio.sleep``: time goes on at once, and after ``count`` it ends."""

    def __init__(self, clock: Clock, count: int) -> None:
        self.clock = clock
        self.count = count
        self.seen: list[float] = []

    async def __call__(self, pause_s: float) -> None:
        self.seen.append(pause_s)
        self.clock.time += pause_s
        if len(self.seen) == self.count:
            raise asyncio.CancelledError


async def run(audited: Audited, monkeypatch: pytest.MonkeyPatch, count: int) -> list[float]:
    """The first pauses of the auditor's loop. Leases last."""
    pauses = Pauses(audited.clock, count)
    for part in (audited.here, audited.remote):
        part.guard.extend(audited.clock.time + 1e6, audited.clock.time)
    own = type("asyncio", (), {"sleep": staticmethod(pauses), "gather": asyncio.gather})
    monkeypatch.setattr(auditor_module, "asyncio", own)
    with structlog.testing.capture_logs(), pytest.raises(asyncio.CancelledError):
        await audited.auditor.run()
    return pauses.seen


async def test_reads_keep_to_the_budget(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    audited.keep_everywhere(NEW)
    assert await run(audited, monkeypatch, 3) == [0.5] * 3
    audited.corrupt(audited.remote, OLD)
    assert await run(audited, monkeypatch, 3) == [1.0] * 3, "two reads a sample"


async def test_it_looks_less_often_where_nothing_is_cached(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await run(audited, monkeypatch, 5) == [1.0, 2.0, 4.0, 8.0, 8.0]
    audited.keep_everywhere(NEW)
    assert await run(audited, monkeypatch, 2) == [0.5] * 2


async def test_a_replica_does_not_sample(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    audited.keep_everywhere(NEW)
    audited.primary = False
    assert await run(audited, monkeypatch, 3) == [1.0] * 3
    assert audited.auditor.reads == 0


@pytest.mark.parametrize(
    "error",
    [
        DynamoDBError("ProvisionedThroughputExceededException", "slow down", 400),
        Unavailable("no answer"),
        RuntimeError("a bug of our own"),
    ],
)
async def test_trouble_makes_it_pause_ever_longer_and_is_forgotten(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    audited.keep_everywhere(NEW)

    async def answer(operation: str, params: Params) -> Result:
        if len(audited.backend.reads) <= 8:
            raise error
        return {"Item": NEW}

    audited.backend.read_answer = answer
    pauses = await run(audited, monkeypatch, 10)
    assert pauses[:7] == [TROUBLE_FIRST_S * 2**n for n in range(6)] + [TROUBLE_MAX_S]
    # The entries, 300 s old by then at most, are still there, and everything is well again.
    assert pauses[8:] == [0.5, 0.5]
    assert audited.auditor.ledger.since_start.keys == 2


def test_metrics_carry_node_and_result(audited: Audited) -> None:
    audited.auditor.ledger.record({"n1": Finding.AGREE, "n2": Finding.DISAGREE}, 100.0)
    registry = CollectorRegistry()
    registry.register(SeriesCollector(audited.auditor.series()))
    text = generate_latest(registry).decode()
    assert 'paceline_audit_samples_total{node="n2",result="disagree"} 1.0' in text
    assert 'paceline_audit_samples_total{node="n1",result="not_cached"} 0.0' in text
    assert 'paceline_audit_agreement_nines{window="hour"} 0.0' in text
    assert 'paceline_audit_agreement_nines{window="start"} 0.0' in text
    assert "paceline_audit_reads_total 0.0" in text
