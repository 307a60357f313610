import asyncio

from cluster.log.view import ClusterView, Member
from cluster.roster.endpoints import AddressFamily, Health
from cluster.roster.live_roster import LiveRoster
from tests.support.rosters import whole_roster


def view(*numbers: int, epoch: int = 1) -> ClusterView:
    members = tuple(
        Member(f"n{n}", "a", "i", n, {"dax/default": f"127.0.0.1:{8120 + n}"}) for n in numbers
    )
    return ClusterView("c", members, epoch=epoch)


def names(live_roster: LiveRoster) -> list[str]:
    reply = live_roster.endpoints_reply("default", AddressFamily.IPV4)
    assert reply is not None
    return [e.hostname for e in whole_roster(reply)]


async def test_reply_follows_view_and_health() -> None:
    live_roster = LiveRoster()
    assert live_roster.endpoints_reply("default", AddressFamily.IPV4) is None
    live_roster.update_view(view(1, 2))
    assert names(live_roster) == ["n1", "n2"]
    live_roster.update_health("n1", Health.UNREACHABLE)
    assert names(live_roster) == ["n2"]
    live_roster.update_health("n2", Health.UNREACHABLE)
    assert names(live_roster) == ["n1", "n2"]


async def test_reply_is_built_once_per_revision() -> None:
    live_roster = LiveRoster()
    live_roster.update_view(view(1))
    first = live_roster.endpoints_reply("default", AddressFamily.IPV4)
    assert live_roster.endpoints_reply("default", AddressFamily.IPV4) is first


async def test_only_changes_raise_the_revision() -> None:
    live_roster = LiveRoster()
    live_roster.update_view(view(1))
    before = live_roster.revision
    live_roster.update_view(view(1))
    live_roster.update_health("stranger", Health.ALIVE)
    live_roster.update_view(ClusterView("c", ()))
    assert live_roster.revision == before
    assert live_roster.view == view(1)
    live_roster.update_health("n1", Health.ALIVE)
    live_roster.update_health("n1", Health.ALIVE)
    assert live_roster.revision == before + 1


async def test_health_of_a_member_that_left_is_forgotten() -> None:
    live_roster = LiveRoster()
    live_roster.update_view(view(1, 2))
    live_roster.update_health("n2", Health.UNREACHABLE)
    live_roster.update_view(view(1))
    live_roster.update_view(view(1, 2))
    assert names(live_roster) == ["n1", "n2"]


async def test_age_grows_until_confirmed() -> None:
    now = 100.0
    live_roster = LiveRoster(clock=lambda: now)
    live_roster.update_view(view(1), age_s=2.0)
    now = 103.0
    snapshot = live_roster.snapshot()
    assert snapshot is not None
    assert snapshot.age_s == 5.0
    live_roster.confirm(1.0)
    live_roster.confirm(4.0)
    snapshot = live_roster.snapshot()
    assert snapshot is not None
    assert snapshot.age_s == 1.0


async def test_waiters_wake_at_a_change() -> None:
    live_roster = LiveRoster()
    waiters = [
        asyncio.create_task(live_roster.changed_since(live_roster.revision)) for _ in range(3)
    ]
    await asyncio.sleep(0)
    live_roster.update_view(view(1))
    async with asyncio.timeout(5.0):
        await asyncio.gather(*waiters)
    async with asyncio.timeout(5.0):
        await live_roster.changed_since(0)
