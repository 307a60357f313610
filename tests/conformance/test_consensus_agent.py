"""The agent on a log of one: registration, views, lease, attribute lists."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import structlog.testing

from cluster import agent as agent_module
from cluster.agent import Agent
from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.thread import DiskThread
from cluster.consensus.environment import Disk, NoLinks
from cluster.consensus.interface import ProposalRefused, ProposalUnknown
from cluster.consensus.participant import TIMES, Participant
from cluster.data_dir import DataDir
from cluster.log.commands import SetSetting
from cluster.log.primary_lease import Acquired, LeaseEvent, Lost, Renewed
from cluster.log.state import CommandResult, ReplicatedState
from cluster.log.view import ClusterView, Member
from cluster.settings import LeaseSettings
from paceline.clock import now
from paceline.errors import RequestError, Unavailable
from tests.simulation.raft_disk import RaftDisk
from tests.support.waiting import until

FOUNDERS = {"node-1": "127.0.0.1:8181"}
LEASE = LeaseSettings(primary_s=0.4, renew_s=0.05, read_s=0.2)
TIMEOUT_S = 10.0


class Flaky(Participant):
    """A log whose answers can be spoilt: each entry of ``spoil`` is raised once, before
    (refused) or after (unknown) the command is committed."""

    spoil: list[Exception]
    proposed = 0

    async def propose(
        self, command: bytes, timeout_s: float, *, urgent: bool = True
    ) -> CommandResult:
        self.proposed += 1
        error = self.spoil.pop(0) if getattr(self, "spoil", None) else None
        if isinstance(error, ProposalRefused):
            raise error
        result = await super().propose(command, timeout_s, urgent=urgent)
        if error is not None:
            raise error
        return result


def member(incarnation: str = "i") -> Member:
    return Member("node-1", "a", incarnation, addresses={"grpc": "127.0.0.1:1"})


def flaky(disk: Disk, name: str, machine: ReplicatedState | None = None) -> Flaky:
    jitter = random.Random(1).random
    return Flaky("node-1", name, machine or ReplicatedState(), disk, NoLinks(), jitter, TIMES)


def make(path: Path | None = None, incarnation: str = "i", **kwargs: object) -> Agent:
    disk = RaftDisk() if path is None else DiskThread(OsDirectory(path), "disk")
    data_dir = kwargs.get("data_dir")
    name = data_dir.identity.disk_id if isinstance(data_dir, DataDir) else incarnation
    log = flaky(disk, name)
    return Agent(log, member(incarnation), FOUNDERS, LEASE, **kwargs)  # type: ignore[arg-type]


Make = Callable[..., Awaitable[Agent]]


@pytest_asyncio.fixture
async def started() -> AsyncIterator[Make]:
    agents: list[Agent] = []

    async def start(*args: object, **kwargs: object) -> Agent:
        agent = make(*args, **kwargs)  # type: ignore[arg-type]
        agents.append(agent)
        await agent.start(TIMEOUT_S)
        return agent

    yield start
    for agent in agents:
        await agent.stop()


def holds(agent: Agent) -> bool:
    return agent.primary_until > now()


async def test_registers_founds_the_cluster_and_becomes_primary(started: Make) -> None:
    agent = await started()
    assert agent.registered
    await until(lambda: holds(agent), "it holds the lease")
    view = agent.view
    assert view.cluster_id
    assert view.primary == "node-1"
    assert view.epoch == agent.epoch == 1
    assert view.epoch_members == ("node-1",)
    (registered,) = view.members
    assert registered.number == 1
    assert registered.addresses == {"grpc": "127.0.0.1:1"}


async def test_lease_events_and_renewals(started: Make) -> None:
    agent = make()
    events: list[LeaseEvent] = []
    agent.on_lease(events.append)
    views: list[ClusterView] = []
    end = agent.subscribe(views.append)
    await agent.start(TIMEOUT_S)
    await until(lambda: sum(isinstance(e, Renewed) for e in events) >= 4, "renewals")
    assert isinstance(events[0], Acquired)
    assert events[0].first_epoch
    untils = [e.until for e in events if isinstance(e, Acquired | Renewed)]
    assert untils == sorted(untils)
    assert views[-1] is agent.view
    count = len(views)
    end()
    end()
    await agent.register(Member("node-1", "a", "i", draining=True), TIMEOUT_S)
    assert agent.view.members[0].draining
    assert len(views) == count
    await agent.stop()
    assert isinstance(events[-1], Lost)
    assert not holds(agent)


async def test_a_subscriber_that_fails_stops_nothing(started: Make) -> None:
    agent = make()

    def fail(_: object) -> None:
        raise RuntimeError("planted")

    agent.on_lease(fail)
    agent.subscribe(fail)
    with structlog.testing.capture_logs() as logs:  # to print them takes longer than the lease
        await agent.start(TIMEOUT_S)
        await until(lambda: holds(agent), "it holds the lease")
        await agent.stop()
    assert [one for one in logs if one["event"] == "a subscriber failed"]


async def test_release_and_resume(started: Make) -> None:
    agent = await started()
    await until(lambda: holds(agent), "it holds the lease")
    await agent.release(TIMEOUT_S)
    assert not holds(agent)
    assert agent.view.primary is None
    seen = agent.epoch
    await asyncio.sleep(0.1)
    assert agent.epoch == seen
    agent.resume()
    await until(lambda: holds(agent), "it holds the lease again")
    assert agent.epoch == seen + 1


async def test_begin_epoch_by_the_holder(started: Make) -> None:
    agent = await started()
    await until(lambda: holds(agent), "it holds the lease")
    agent.begin_epoch()
    assert holds(agent)
    await until(lambda: agent.epoch == 2, "the new epoch")
    assert holds(agent)


async def test_attribute_lists(started: Make) -> None:
    agent = await started()
    first = await agent.define_attribute_list(("b", "a"), TIMEOUT_S)
    assert agent.names_of(first) == ("b", "a")
    assert agent.id_of(("b", "a")) == first
    assert agent.names_of(12345) is None
    assert await agent.define_attribute_list((), TIMEOUT_S) == 1
    before = agent.consensus.proposed  # type: ignore[attr-defined]
    assert await agent.define_attribute_list(["b", "a"], TIMEOUT_S) == first
    assert agent.consensus.proposed == before  # type: ignore[attr-defined]
    same = [agent.define_attribute_list(("x",), TIMEOUT_S) for _ in range(20)]
    assert len(set(await asyncio.gather(*same))) == 1
    with pytest.raises(RequestError, match="too many attributes"):
        await agent.define_attribute_list(["n" * 100] * 12_000, TIMEOUT_S)


async def test_a_cancelled_definition_does_not_cancel_the_others(started: Make) -> None:
    agent = await started()
    first = asyncio.create_task(agent.define_attribute_list(("q",), TIMEOUT_S))
    second = asyncio.create_task(agent.define_attribute_list(("q",), TIMEOUT_S))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == agent.id_of(("q",))


async def test_lists_that_collide_get_different_ids(started: Make) -> None:
    log = flaky(RaftDisk(), "i", ReplicatedState(lambda names: 7))
    agent = Agent(log, member(), FOUNDERS, LEASE, list_id=lambda names: 7)
    await agent.start(TIMEOUT_S)
    ids = [await agent.define_attribute_list((n,), TIMEOUT_S) for n in "abc"]
    assert ids == [7, 8, 9]
    await agent.stop()


async def test_answers_that_get_lost_are_asked_for_again(started: Make) -> None:
    agent = await started()
    await agent.release(TIMEOUT_S)  # so that nothing else is proposed
    agent.consensus.spoil = [ProposalRefused("x"), ProposalUnknown("y")]  # type: ignore[attr-defined]
    list_id = await agent.define_attribute_list(("lost",), TIMEOUT_S)
    assert agent.names_of(list_id) == ("lost",)
    assert (await agent.commit(SetSetting("a", "1"), TIMEOUT_S)).ok
    assert agent.state.settings == {"a": "1"}
    agent.consensus.spoil = [ProposalRefused("never") for _ in range(50)]  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match=r"never|not in the log"):
        await agent.define_attribute_list(("z",), 0.3)
    with pytest.raises(Unavailable, match="never"):
        await agent.commit(SetSetting("b", "1"), 0.3)


async def test_renewals_survive_answers_that_get_lost(started: Make) -> None:
    agent = await started()
    await until(lambda: holds(agent), "it holds the lease")
    events: list[LeaseEvent] = []
    agent.on_lease(events.append)
    agent.consensus.spoil = [  # type: ignore[attr-defined]
        ProposalUnknown("x") if n % 2 else ProposalRefused("y") for n in range(8)
    ]
    await until(lambda: not agent.consensus.spoil, "all answers were spoilt")  # type: ignore[attr-defined]
    await until(lambda: sum(isinstance(e, Renewed) for e in events) >= 6, "renewals")
    assert holds(agent)
    assert agent.epoch == 1


async def test_registration_waits_for_a_log_that_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_module, "RETRY_S", 0.01)
    agent = make()
    agent.consensus.spoil = [ProposalRefused("no quorum") for _ in range(10_000)]  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match="more than half of the members"):
        await agent.start(0.2)
    assert not agent.registered
    agent.consensus.spoil = []  # type: ignore[attr-defined]
    await agent.wait_registered(TIMEOUT_S)
    assert agent.registered
    await agent.stop()


async def test_an_epoch_follows_a_restart_and_identity_stays(tmp_path: Path) -> None:
    for incarnation in range(3):
        data_dir = DataDir.open(tmp_path, "node-1", "c")
        agent = make(data_dir.path, str(incarnation), data_dir=data_dir)
        await agent.start(TIMEOUT_S)
        assert data_dir.identity.joined
        await until(lambda a=agent: holds(a), "it holds the lease")  # type: ignore[misc]
        assert agent.epoch == incarnation + 1
        assert agent.view.members[0].number == 1
        await agent.stop()
        data_dir.close()


async def test_a_cluster_of_one_does_not_grow_or_shrink(started: Make) -> None:
    agent = await started()
    with pytest.raises(Unavailable, match="PACELINE_PEERS"):
        await agent.add_member("node-2", "h:1", TIMEOUT_S)
    with pytest.raises(RequestError, match="last member"):
        await agent.remove_member("node-1", TIMEOUT_S)


async def test_stop_ends_those_who_wait(started: Make) -> None:
    agent = await started()
    await agent.release(TIMEOUT_S)
    agent.consensus.spoil = [ProposalRefused("x") for _ in range(1000)]  # type: ignore[attr-defined]
    waiting = asyncio.create_task(agent.define_attribute_list(("w",), TIMEOUT_S))
    await asyncio.sleep(0.05)
    await agent.stop()
    with pytest.raises(Unavailable, match="stopping"):
        await waiting
