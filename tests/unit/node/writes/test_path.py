"""Writes at the primary: order of fence, send and settle, and what the caller is told."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from cluster.coherence.effects import Effect
from cluster.coherence.guard import Guard
from cluster.coherence.messages import WHOLE, Ack, Image, LeaseRequest, Position, Subscribe
from cluster.settings import CacheSettings, LeaseSettings
from node.backend.client import WriteResult
from node.cache.caches import Caches
from node.replication.coordinator import Here, There
from node.replication.primary_driver import EpochOver, Link, PrimaryDriver
from node.requests.reach import RAW, raw_params
from node.tables import attribute_lists
from node.tables.attribute_lists import AttributeLists
from node.tables.schemas import Upstream
from node.writes.fencing import PrimaryAccess
from node.writes.in_doubt import REPORT_IN_DOUBT
from node.writes.path import SCHEMAS_S, WritePath
from node.writes.plan import WritePlan
from paceline.dax.attribute_lists import encode_values
from paceline.errors import DynamoDBError, NotSent, OutcomeUnknown
from paceline.types import Params, Result
from tests.support.waiting import until
from tests.unit.node.fakes import Clock, FakeAgent, FakeBackend, FakeTables, WatchedWork

PUT: Params = {"TableName": "t", "Item": {"id": {"S": "a"}, "v": {"N": "1"}}}
KEY = ("t", b"a")
FAILED = DynamoDBError("ConditionalCheckFailedException", "The conditional request failed")


class FakeCoordinator:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.current: Here | There | None = None
        self.waits = 0

    def route(self) -> Here | There | None:
        return self.current

    async def changed(self, timeout_s: float) -> None:
        """Time passes only here."""
        self.waits += 1
        self.clock.time += max(timeout_s, 0.001)
        await asyncio.sleep(0)


class FakeForwarder:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self.operations: list[str] = []
        self.params: list[Params] = []
        self.answer: Any = None
        self.unreachable: set[str] = set()
        self.reached: list[str] = []

    def at_hand(self, node_id: str) -> bool:
        return False

    async def share(self, *_: Any) -> None: ...

    async def reach(self, address: str, deadline: float) -> None:
        self.reached.append(address)
        if address in self.unreachable:
            await asyncio.Event().wait()

    async def forward(
        self, address: str, operation: str, params: Params, deadline: float, _by: Any = None
    ) -> Result:
        self.sent.append(address)
        self.operations.append(operation)
        self.params.append(params)
        answer = self.answer
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return {}
        result: Result = answer
        return result


class Node:
    """A primary of one, or of three whose replicas the test plays."""

    def __init__(self, members: int = 1) -> None:
        self.clock = Clock()
        self.caches = Caches.from_settings(CacheSettings())
        self.guard = Guard(self.caches, 10.0)
        self.backend: Any = FakeBackend()
        self.agent: Any = FakeAgent()
        self.tables = FakeTables()
        self.driver = PrimaryDriver("n1", self.guard, LeaseSettings(), self.clock)
        self.coordinator: Any = FakeCoordinator(self.clock)
        self.forwarder: Any = FakeForwarder()
        self.members = frozenset(f"n{index + 1}" for index in range(members))
        self.writes = WritePath(
            Upstream(self.backend, self.tables, AttributeLists(self.agent)),
            PrimaryAccess(self.coordinator, self.driver, self.forwarder, self.clock),
        )

    def hold(self, epoch: int = 1) -> None:
        self.driver.begin_epoch(
            epoch, self.members, reset=epoch > 1, lease_until=self.clock.time + 1.5
        )
        assert self.driver.primary is not None
        self.coordinator.current = Here(self.driver.primary)

    def put(self, params: Params = PUT, within_s: float = 10.0) -> asyncio.Task[Result]:
        return asyncio.create_task(
            self.writes.execute("PutItem", params, self.clock.time + within_s)
        )

    def cached(self) -> bool:
        return self.caches.items.lookup("t", b"a", self.clock.time) is not None

    def answers(self, result: WriteResult) -> None:
        async def answer(operation: str, params: Params) -> WriteResult:
            return result

        self.backend.write_answer = answer


@pytest.fixture
def node() -> Node:
    node = Node()
    node.hold()
    return node


async def test_a_put_leaves_its_image_in_the_cache(node: Node) -> None:
    assert await node.put() == {}
    assert node.cached()
    assert node.guard.open_fences() == ()


async def test_many_values_are_encoded_on_another_thread_before_they_are_sent(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []

    def encode(*args: Any) -> bytes:
        seen.append((threading.current_thread() is threading.main_thread(), sent()))
        return encode_values(*args)

    def sent() -> int:
        return len(node.backend.writes)

    monkeypatch.setattr(attribute_lists, "encode_values", encode)
    await node.put()
    await node.put({**PUT, "Item": {**PUT["Item"], "l": {"L": [{"N": "7"}] * 5000}}})
    assert node.cached()
    assert seen == [(True, 1), (False, 1)]


async def test_a_new_item_of_many_values_is_left_to_the_next_read(node: Node) -> None:
    await node.put()
    update = {"TableName": "t", "Key": {"id": {"S": "a"}}, "ReturnValues": "ALL_NEW"}
    for count, kept in ((10, True), (5000, False)):
        new = {**PUT["Item"], "v": {"L": [{"N": "7"}] * count}}
        node.answers(WriteResult({"Attributes": new}, None, ambiguous=False))
        deadline = node.clock.time + 10.0
        assert await node.writes.execute("UpdateItem", update, deadline) == {"Attributes": new}
        assert node.cached() is kept
    assert node.guard.unknown_keys(node.clock.time) == ()


async def test_the_key_is_fenced_while_dynamodb_has_the_write(node: Node) -> None:
    await node.put()
    release = asyncio.Event()

    async def answer(operation: str, params: Params) -> WriteResult:
        await release.wait()
        return WriteResult({}, None, ambiguous=False)

    node.backend.write_answer = answer
    writing = node.put()
    await until(lambda: len(node.backend.writes) == 2)
    assert not node.cached()
    assert [fence.keys for fence in node.guard.open_fences()] == [(KEY,)]
    release.set()
    await writing
    assert node.cached()


async def test_an_operation_that_is_no_write_is_not_sent_as_one(node: Node) -> None:
    for operation in ("GetItem", "PutItemOfTomorrow"):
        with pytest.raises(NotSent):
            await node.writes.execute(operation, PUT, node.clock.time + 10.0)
    assert node.backend.writes == []
    assert node.guard.open_fences() == ()


async def test_a_failed_condition_is_passed_on_and_the_old_entry_stays(node: Node) -> None:
    await node.put()
    node.answers(WriteResult(None, FAILED, ambiguous=False))
    with pytest.raises(DynamoDBError) as caught:
        await node.put()
    assert caught.value is FAILED
    assert node.cached()


async def test_a_refusal_is_told_at_once_though_the_lease_has_lapsed(node: Node) -> None:
    """It has changed nothing of which anybody would have to be told first."""
    began = node.clock.time

    async def answer(operation: str, params: Params) -> WriteResult:
        node.clock.time += 2.0
        return WriteResult(None, FAILED, ambiguous=False)

    node.backend.write_answer = answer
    with pytest.raises(DynamoDBError):
        await node.put()
    assert node.clock.time == began + 2.0


async def test_an_ambiguous_write_is_reported_unknown_and_its_key_quarantined(node: Node) -> None:
    await node.put()
    node.answers(WriteResult(None, OutcomeUnknown("no answer"), ambiguous=True))
    with pytest.raises(OutcomeUnknown):
        await node.put()
    assert not node.cached()
    assert node.guard.unknown_keys(node.clock.time) == (KEY,)


async def test_a_late_success_after_an_unanswered_attempt_is_told_but_not_kept(node: Node) -> None:
    node.answers(WriteResult({}, None, ambiguous=True))
    assert await node.put() == {}
    assert not node.cached()
    assert node.guard.unknown_keys(node.clock.time) == (KEY,)


async def test_an_orphaned_success_that_nobody_could_be_told_of_is_unknown(node: Node) -> None:
    async def answer(operation: str, params: Params) -> WriteResult:
        node.clock.time += 2.0
        return WriteResult({}, None, ambiguous=False)

    node.backend.write_answer = answer
    with pytest.raises(OutcomeUnknown):
        await node.put()
    assert node.guard.unknown_keys(node.clock.time) == (KEY,)


async def test_a_refusal_is_a_refusal_also_after_the_lease_lapsed(node: Node) -> None:
    async def answer(operation: str, params: Params) -> WriteResult:
        node.clock.time += 2.0
        return WriteResult(None, FAILED, ambiguous=False)

    node.backend.write_answer = answer
    with pytest.raises(DynamoDBError):
        await node.put()


async def test_a_write_waits_for_the_lease_to_be_renewed(node: Node) -> None:
    node.clock.time += 2.0
    writing = node.put()
    await until(lambda: node.coordinator.waits > 3)
    assert node.backend.writes == []
    node.driver.renewed(node.clock.time + 100)
    await writing
    assert len(node.backend.writes) == 1


async def test_without_a_primary_until_the_deadline_the_write_was_not_sent() -> None:
    node = Node()
    deadline = node.clock.time + 10.0
    with pytest.raises(NotSent):
        await node.put(within_s=10.0)
    assert node.clock.time >= deadline  # it waits for one as long as it may
    assert node.backend.writes == []


async def test_a_write_that_meets_no_primary_waits_for_one() -> None:
    node = Node()
    writing = node.put()
    await until(lambda: node.coordinator.waits > 3)
    node.hold()
    await writing
    assert len(node.backend.writes) == 1


async def test_an_epoch_that_ends_before_the_write_is_sent_starts_it_again() -> None:
    node = Node(members=3)
    node.hold()
    writing = node.put()  # waits for a majority that does not come
    await until(lambda: bool(node.guard.open_fences()))
    node.coordinator.current = There("n2", 2)
    node.forwarder.answer = {"from": "n2"}
    node.driver.end_epoch("n2 holds epoch 2")
    assert await writing == {"from": "n2"}
    assert node.backend.writes == []


async def test_a_write_waits_for_a_majority_and_for_every_read_lease() -> None:
    node = Node(members=3)
    node.hold()
    primary = node.driver.primary
    assert primary is not None
    for number, name in ((1, "n2"), (2, "n3")):
        node.driver._links[number] = Link(number)
        primary.subscribed(number, Subscribe(name, "i", 1, None), node.clock.time)
        primary.received(number, Ack(Position(1, 0)), node.clock.time)
        primary.received(number, LeaseRequest(1), node.clock.time)
    writing = node.put()
    await until(lambda: bool(node.guard.open_fences()))
    fence = node.guard.open_fences()[0].position
    node.driver._run(primary.received(1, Ack(fence), node.clock.time))
    await asyncio.sleep(0)
    assert node.backend.writes == []  # n3 may still serve the old value
    node.driver._run(primary.received(2, Ack(fence), node.clock.time))
    await writing
    assert len(node.backend.writes) == 1


async def test_a_caller_that_goes_away_leaves_the_write_to_its_end(node: Node) -> None:
    release = asyncio.Event()

    async def answer(operation: str, params: Params) -> WriteResult:
        await release.wait()
        return WriteResult({}, None, ambiguous=False)

    node.backend.write_answer = answer
    writing = node.put()
    await until(lambda: bool(node.backend.writes))
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert node.writes.running == 1
    release.set()
    await until(lambda: node.writes.running == 0)
    assert node.cached()


async def test_a_forwarded_write_is_never_sent_twice() -> None:
    node = Node()
    node.coordinator.current = There("n2", 1)
    node.forwarder.answer = OutcomeUnknown("the link broke")
    with pytest.raises(OutcomeUnknown):
        await node.put()
    assert node.forwarder.sent == ["n2"]


async def test_a_primary_that_is_slow_is_waited_for_while_it_is_the_primary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.writes.fencing.NEW_PRIMARY_GRACE_S", 0.0)
    monkeypatch.setattr("node.writes.fencing.CHECK_S", 0.0)
    node = Node()
    node.coordinator.current = There("n2", 1)
    node.forwarder.answer = asyncio.Event()
    looks = 0

    def route() -> There:
        nonlocal looks
        looks += 1
        return There("n2", 1)

    monkeypatch.setattr(node.coordinator, "route", route)
    writing = node.put()
    await until(lambda: looks > 10 or writing.done())
    assert not writing.done()
    node.forwarder.answer.set()
    assert await writing == {}


async def test_a_write_refused_by_a_former_primary_is_routed_again() -> None:
    node = Node()
    node.coordinator.current = There("n2", 1)
    node.forwarder.answer = EpochOver("not the primary")
    writing = node.put()
    await until(lambda: len(node.forwarder.sent) >= 1)
    node.coordinator.current = There("n3", 2)
    node.forwarder.answer = {"from": "n3"}
    assert await writing == {"from": "n3"}


async def test_a_write_stops_waiting_for_a_dead_primary_when_there_is_another() -> None:
    node = Node()
    node.coordinator.current = There("n2", 1)
    node.forwarder.unreachable.add("n2")
    writing = node.put(within_s=1e6)
    await until(lambda: node.coordinator.waits > 3)
    node.coordinator.current = There("n3", 2)
    node.forwarder.answer = {"from": "n3"}
    assert await writing == {"from": "n3"}
    assert node.forwarder.sent == ["n3"]


async def test_a_write_waits_for_its_way_to_the_primary_while_nothing_changes() -> None:
    node = Node()
    node.coordinator.current = There("n2", 1)
    node.forwarder.unreachable.add("n2")
    writing = node.put(within_s=1e6)
    await until(lambda: node.coordinator.waits > 20)
    assert not writing.done()
    assert node.forwarder.reached == ["n2"]  # one wait, however often it was looked at
    writing.cancel()
    await node.writes.aclose(0.0)


async def test_a_forwarded_write_is_answered_with_what_dynamodb_answered(node: Node) -> None:
    node.answers(WriteResult({"ConsumedCapacity": {}}, None, ambiguous=False))
    answer = await node.writes.execute_here("PutItem", PUT, node.clock.time + 1)
    assert answer == {"ConsumedCapacity": {}}


async def test_a_forwarded_write_for_a_node_that_is_not_the_primary_is_refused() -> None:
    node = Node()
    with pytest.raises(EpochOver):
        await node.writes.execute_here("PutItem", PUT, node.clock.time + 1)


async def test_a_closing_node_takes_no_more_writes_and_cancels_none_that_it_took(
    node: Node,
) -> None:
    release = asyncio.Event()

    async def answer(operation: str, params: Params) -> WriteResult:
        await release.wait()
        return WriteResult({}, None, ambiguous=False)

    node.backend.write_answer = answer
    writing = node.put()
    await until(lambda: bool(node.backend.writes))
    closing = asyncio.create_task(node.writes.aclose(10.0))
    await asyncio.sleep(0)
    with pytest.raises(NotSent):
        await node.put()
    with pytest.raises(EpochOver):
        await node.writes.execute_here("PutItem", PUT, node.clock.time + 1)
    release.set()
    assert await writing == {}
    await closing


async def test_a_write_cut_off_by_the_end_of_its_node_has_an_unknown_outcome(node: Node) -> None:
    async def answer(operation: str, params: Params) -> WriteResult:
        await asyncio.Event().wait()
        raise AssertionError

    node.backend.write_answer = answer
    writing = node.put()
    await until(lambda: bool(node.backend.writes))
    await node.writes.aclose(0.0)
    with pytest.raises(OutcomeUnknown):
        await writing
    assert node.guard.unknown_keys(node.clock.time) == (KEY,)


async def test_a_write_that_never_got_its_fence_leaves_no_quarantine() -> None:
    node = Node(members=3)
    node.hold()
    writing = node.put()
    await until(lambda: bool(node.guard.open_fences()))
    await node.writes.aclose(0.0)
    with pytest.raises(OutcomeUnknown):
        await writing
    assert node.guard.open_fences() == ()
    assert node.guard.unknown_keys(node.clock.time) == ()


async def test_a_mistake_of_ours_before_the_write_is_sent_does_not_put_it_in_doubt(
    node: Node,
) -> None:
    with pytest.raises(NotSent):
        await node.put({"TableName": "t"})
    assert node.backend.writes == []


# -- plans -----------------------------------------------------------------------------------


def orphaned(node: Node) -> None:
    """DynamoDB does the next write, and its answer comes after the lease has lapsed."""

    async def answer(operation: str, params: Params) -> WriteResult:
        node.clock.time += 2.0
        return WriteResult({}, None, ambiguous=False)

    node.backend.write_answer = answer


async def test_a_write_of_unknown_keys_fences_its_whole_table(node: Node) -> None:
    """Nothing of it is served or kept until the write has ended, however it ends."""
    await node.put()
    release = asyncio.Event()

    async def answer(operation: str, params: Params) -> WriteResult:
        await release.wait()
        return WriteResult({"Body": b"{}", "RequestId": "R"}, None, ambiguous=False)

    node.backend.write_answer = answer
    params = raw_params("DynamoDB_20120810.ExecuteStatement", b"body", (("t", WHOLE),))
    writing = asyncio.create_task(node.writes.execute(RAW, params, node.clock.time + 10))
    await until(lambda: len(node.backend.writes) == 2)
    assert not node.cached()
    assert [fence.keys for fence in node.guard.open_fences()] == [(("t", WHOLE),)]
    assert node.guard.begin_fill(("t", b"b"), node.clock.time) is None
    release.set()
    assert await writing == {"Body": b"{}", "RequestId": "R"}
    assert not node.cached()
    fill = node.guard.begin_fill(("t", b"b"), node.clock.time)
    assert fill is not None
    assert fill.consistent


async def test_an_orphaned_success_is_told_once_the_new_primary_knows_of_it(node: Node) -> None:
    orphaned(node)
    node.forwarder.answer = {}
    writing = node.put()
    await until(lambda: node.coordinator.waits > 0)
    assert not writing.done()
    node.driver.end_epoch("another one began")
    node.coordinator.current = There("n2", 2)
    assert await writing == {}
    assert node.forwarder.operations == [REPORT_IN_DOUBT]
    assert node.forwarder.params == [{"Keys": [["t", b"a"]]}]
    assert not node.cached()


async def test_a_report_that_is_lost_is_repeated(node: Node) -> None:
    orphaned(node)
    node.forwarder.answer = OutcomeUnknown("the link broke")
    writing = node.put()
    await until(lambda: node.coordinator.waits > 0)
    node.driver.end_epoch("another one began")
    node.coordinator.current = There("n2", 2)
    await until(lambda: len(node.forwarder.sent) > 2)
    node.forwarder.answer = {}
    assert await writing == {}


async def test_a_primary_that_is_told_of_an_orphan_treats_its_keys_as_unknown() -> None:
    node = Node(members=3)
    node.hold()
    node.caches.install(("t", b"a"), Image(None), node.clock.time)
    primary = node.driver.primary
    assert primary is not None
    params = {"Keys": [["t", b"a"]]}
    telling = asyncio.create_task(
        node.writes.execute_here(REPORT_IN_DOUBT, params, node.clock.time + 5.0)
    )
    await until(lambda: bool(node.guard.open_fences()))
    assert not node.cached()
    assert not telling.done()  # the others do not know yet
    node.driver._links[1] = Link(1)
    primary.subscribed(1, Subscribe("n2", "i", 1, None), node.clock.time)
    node.driver._run(primary.received(1, Ack(primary.position), node.clock.time))
    assert await telling == {}
    assert node.guard.unknown_keys(node.clock.time) == (("t", b"a"),)
    assert node.backend.writes == []
    node.coordinator.current = There("n2", 2)
    with pytest.raises(EpochOver):
        await node.writes.execute_here(REPORT_IN_DOUBT, params, node.clock.time + 5.0)


# -- what a write changes in indexes --------------------------------------------------------------


class Places:
    """The effects of every write, as the primary works them out."""

    def __init__(self) -> None:
        self.asked: list[WritePlan] = []

    def of(self, plan: WritePlan) -> tuple[Effect | None, ...]:
        self.asked.append(plan)
        return tuple(Effect(7, ()) for _ in plan.keys)


async def test_what_a_write_changes_in_indexes_goes_with_its_fence(node: Node) -> None:
    node.writes._effects = cast(Any, Places())
    fences: list[tuple[Effect | None, ...]] = []

    async def answer(operation: str, params: Params) -> WriteResult:
        fences.extend(fence.effects for fence in node.guard.open_fences())
        return WriteResult({}, None, ambiguous=False)

    node.backend.write_answer = answer
    await node.put()
    assert fences == [(Effect(7, ()),)]


async def test_a_write_of_unknown_keys_may_change_any_place_of_any_index(node: Node) -> None:
    places = Places()
    node.writes._effects = cast(Any, places)
    params = raw_params("DynamoDB_20120810.Future", b"{}", (("t", WHOLE),), remakes=False)
    fences: list[tuple[Effect | None, ...]] = []

    async def answer(operation: str, params: Params) -> WriteResult:
        fences.extend(fence.effects for fence in node.guard.open_fences())
        return WriteResult({}, None, ambiguous=False)

    node.backend.write_answer = answer
    await node.writes.execute(RAW, params, node.clock.time + 1)
    assert fences == [()]
    assert places.asked == []


async def test_schemas_are_waited_for_no_longer_than_the_write_has_time(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    told = node.tables.schemas_told

    async def recorded(tables: tuple[str, ...], within_s: float, *, anew: bool = False) -> Any:
        waits.append(within_s)
        return await told(tables, within_s, anew=anew)

    monkeypatch.setattr(node.tables, "schemas_told", recorded)
    for left_s in (10.0, 0.5):
        await node.put(within_s=left_s)
    assert waits == [SCHEMAS_S, pytest.approx(0.5)]


async def test_a_write_of_many_values_lets_them_go_at_its_end_whoever_waits_for_it() -> None:
    work, node = WatchedWork(), Node()
    upstream = Upstream(node.backend, node.tables, AttributeLists(node.agent), work)
    node.writes = WritePath(
        upstream, PrimaryAccess(node.coordinator, node.driver, node.forwarder, node.clock)
    )
    node.hold()
    release = asyncio.Event()

    async def answer(operation: str, params: Params) -> WriteResult:
        await release.wait()
        return WriteResult({}, None, ambiguous=False)

    node.backend.write_answer = answer
    many = {**PUT, "Item": {**PUT["Item"], "l": {"L": [{"N": "7"}] * 5000}}}
    for params in (PUT, many):
        writing = node.put(params)
        sent = len(node.backend.writes)
        await until(lambda: len(node.backend.writes) > sent)  # noqa: B023 - awaited here
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert work.gone == []
    release.set()
    await until(lambda: node.writes.running == 0)
    assert work.gone == [many]
    await work.aclose()
