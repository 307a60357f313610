"""What threads share, what a fork must not, and waiters and pages without a cluster."""

import asyncio
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.errorfactory import ClientExceptionsFactory
from botocore.exceptions import WaiterError

from paceline.client.aio.paging import AsyncPaginator
from paceline.client.aio.waiters import AsyncWaiter
from paceline.client.boto import errors, model
from paceline.client.core.call_flow import Core
from paceline.client.core.commands import Broken
from paceline.client.core.roster import Node, Roster
from paceline.client.core.routing import Router
from paceline.client.core.seeds import Seed
from paceline.client.driver_parts import DriverParts
from paceline.client.roster.feed import RosterFeed
from paceline.client.settings import Settings
from paceline.client.signing import Credentials, Signer
from paceline.client.sync.driver import ThreadDriver
from paceline.client.sync.pool import BlockingPool
from paceline.clock import now
from paceline.types import Params, Result
from tests.unit.client.rig import boto_core

DEADLINE_S = 30.0


def core() -> Core:
    return boto_core(Router(lambda n: 0), Settings(), now)


def test_a_thread_catches_what_another_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=DEADLINE_S)
    made = ClientExceptionsFactory.create_client_exceptions

    def slowly(factory: Any, model: Any) -> Any:
        together.wait()
        return made(factory, model)

    monkeypatch.setattr(ClientExceptionsFactory, "create_client_exceptions", slowly)
    monkeypatch.setattr(errors, "_made", {})
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda _: errors.exceptions(), range(2))
    assert one is other


@pytest.mark.parametrize(
    "error",
    [
        errors.OutcomeUnknownException("perhaps", "PutItem", 2),
        errors.ClusterUnavailable(endpoint_url="dax://test", error="nobody there"),
    ],
)
def test_errors_of_our_own_come_whole_out_of_a_process(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert getattr(again, "response", None) == getattr(error, "response", None)


class Taken(list[Any]):
    """Connections that another thread takes between a look and the next step."""

    def __init__(self, *looks: bool) -> None:
        super().__init__()
        self._looks = iter(looks)

    def __bool__(self) -> bool:
        return next(self._looks, False)


def test_a_connection_may_be_taken_by_another_thread() -> None:
    pool = BlockingPool("127.0.0.1", 1, 0, DEADLINE_S, now)
    pool._idle = Taken(False, True, True)
    with pytest.raises(Broken, match="in use") as caught:
        pool.take(0.01)
    assert caught.value.busy
    pool._idle = Taken(True)
    pool.close_idle(now())


def test_no_thread_of_a_fork_gets_at_the_parents_connections() -> None:
    driver = ThreadDriver(DriverParts(core()))
    seen = []

    def forget() -> None:
        seen.append(driver._pid)

    pools: Any = {1: SimpleNamespace(forget=forget)}
    driver._pools = pools
    driver._pid = -1
    for _ in range(2):
        driver._reinit_after_fork()
    assert seen == [-1], "others would take the process for the one that they know"
    assert driver._pid == os.getpid()


def test_a_connection_without_a_signature_is_signed_later() -> None:
    def fail() -> Credentials:
        raise RuntimeError("no credentials yet")

    connection: Any = SimpleNamespace(signed_until=float("-inf"))
    signer = Signer(fail, "eu-west-1", "agent")
    parts = DriverParts(core(), signer=signer)
    with pytest.raises(RuntimeError, match="no credentials yet"):
        parts.signature(connection)
    assert connection.signed_until == float("-inf")


async def test_a_feed_without_grpc_asks_the_nodes_it_knows_or_rests() -> None:
    seeds = (Seed("grpc", "127.0.0.1", 1),)
    problems: list[str] = []

    def feed(roster: Roster | None) -> RosterFeed:
        return RosterFeed(
            seeds, lambda _: None, problems.append, poll_s=1.0, watch=False, roster=roster
        )

    known = feed(Roster((Node(1, "n1", "a", "127.0.0.1", 2, True, grpc="127.0.0.1:3"),)))
    assert known._sources() == [Seed("dax", "127.0.0.1", 2)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await feed(None).run()
    assert "after a fork" in problems[0]


async def test_a_waiter_asks_at_least_once() -> None:
    asked = 0

    async def describe_table(**_: Any) -> Result:
        nonlocal asked
        asked += 1
        return {"Table": {"TableStatus": "CREATING"}}

    config = model.waiter_model().get_waiter("TableExists")
    waiter = AsyncWaiter("TableExists", config, describe_table)
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        await waiter.wait(TableName="t", WaiterConfig={"MaxAttempts": 0})
    assert asked == 1


async def test_pages_are_searched() -> None:
    pages = [
        {"Items": [{"id": 1}, {"id": 2}], "Count": 2, "LastEvaluatedKey": {"id": 2}},
        {"Items": [{"id": 3}], "Count": 1},
    ]

    async def scan(**_: Any) -> Params:
        return pages[0] if _.get("ExclusiveStartKey") is None else pages[1]

    described = model.service_model().operation_model("Scan")
    paginator = AsyncPaginator(scan, model.paginator_configs()["Scan"], described)
    found = [one async for one in paginator.paginate(TableName="t").search("Items[].id")]
    assert found == [1, 2, 3]
    counts = [one async for one in paginator.paginate(TableName="t").search("Count")]
    assert counts == [2, 1]
