import asyncio

from cluster.log.view import ClusterView, Member
from cluster.roster.endpoints import AddressFamily, Health
from cluster.roster.feed import RosterFeed
from tests.support.rosters import whole_roster


def view(*numbers: int, epoch: int = 1) -> ClusterView:
    members = tuple(
        Member(f"n{n}", "a", "i", n, {"dax/default": f"127.0.0.1:{8120 + n}"}) for n in numbers
    )
    return ClusterView("c", members, epoch=epoch)


def names(feed: RosterFeed) -> list[str]:
    reply = feed.endpoints_reply("default", AddressFamily.IPV4)
    assert reply is not None
    return [e.hostname for e in whole_roster(reply)]


async def test_reply_follows_view_and_health() -> None:
    feed = RosterFeed()
    assert feed.endpoints_reply("default", AddressFamily.IPV4) is None
    feed.update_view(view(1, 2))
    assert names(feed) == ["n1", "n2"]
    feed.update_health("n1", Health.UNREACHABLE)
    assert names(feed) == ["n2"]
    feed.update_health("n2", Health.UNREACHABLE)
    assert names(feed) == ["n1", "n2"]


async def test_reply_is_built_once_per_revision() -> None:
    feed = RosterFeed()
    feed.update_view(view(1))
    first = feed.endpoints_reply("default", AddressFamily.IPV4)
    assert feed.endpoints_reply("default", AddressFamily.IPV4) is first


async def test_only_changes_raise_the_revision() -> None:
    feed = RosterFeed()
    feed.update_view(view(1))
    before = feed.revision
    feed.update_view(view(1))
    feed.update_health("stranger", Health.ALIVE)
    feed.update_view(ClusterView("c", ()))
    assert feed.revision == before
    assert feed.view == view(1)
    feed.update_health("n1", Health.ALIVE)
    feed.update_health("n1", Health.ALIVE)
    assert feed.revision == before + 1


async def test_health_of_a_member_that_left_is_forgotten() -> None:
    feed = RosterFeed()
    feed.update_view(view(1, 2))
    feed.update_health("n2", Health.UNREACHABLE)
    feed.update_view(view(1))
    feed.update_view(view(1, 2))
    assert names(feed) == ["n1", "n2"]


async def test_age_grows_until_confirmed() -> None:
    now = 100.0
    feed = RosterFeed(clock=lambda: now)
    feed.update_view(view(1), age_s=2.0)
    now = 103.0
    snapshot = feed.snapshot()
    assert snapshot is not None
    assert snapshot.age_s == 5.0
    feed.confirm(1.0)
    feed.confirm(4.0)
    snapshot = feed.snapshot()
    assert snapshot is not None
    assert snapshot.age_s == 1.0


async def test_waiters_wake_at_a_change() -> None:
    feed = RosterFeed()
    waiters = [asyncio.create_task(feed.changed_since(feed.revision)) for _ in range(3)]
    await asyncio.sleep(0)
    feed.update_view(view(1))
    async with asyncio.timeout(5.0):
        await asyncio.gather(*waiters)
    async with asyncio.timeout(5.0):
        await feed.changed_since(0)
