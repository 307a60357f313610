"""When a primary begins another epoch by itself or gives the lease away, and when it does not."""

from __future__ import annotations

import asyncio

import pytest

from cluster.coherence.messages import Ack, LeaseRequest, Outcome, Subscribe
from cluster.coherence.primary import Primary
from node.replication.membership import (
    CUT_OFF_S,
    GIVE_WAY_S,
    MEMBERS_GRANT_S,
    MEMBERS_PAUSE_S,
    Membership,
)
from paceline.errors import Unavailable
from tests.unit.node.replication.coordinator_rig import KEY, Node, settled

LONG_S = 1000.0
ENDS_S = 5.0
"""For what takes no time but that of the test's own clock."""


class Holder:
    """The primary of epoch 1, whose time passes where its membership waits, and only there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node = Node()
        self.agent = self.node.agent
        self.clock = self.node.clock
        self.began = self.clock.time
        self.agent.acquire(1, self.began + LONG_S)
        primary = self.node.primary.primary
        assert primary is not None
        self.primary: Primary = primary
        self.membership: Membership = self.node.coordinator._membership
        self.still = asyncio.Event()
        """Unset: nothing changes, and no time passes either."""
        self.still.set()
        self.passes = True

        async def changed(timeout_s: float) -> None:
            await self.still.wait()
            self.clock.time += timeout_s if self.passes else 0.0
            await asyncio.sleep(0)

        monkeypatch.setattr(self.node.coordinator, "changed", changed)

    def other_members(self) -> None:
        self.agent.state.voters["n4"] = "n4:0"

    async def end(self) -> None:
        """Of the change that is under way."""
        changing = self.membership._changing
        assert changing is not None
        await asyncio.wait_for(asyncio.shield(changing), ENDS_S)
        await settled()

    def heard(self, name: str, link: int) -> None:
        self.primary.subscribed(link, Subscribe(name, "i", 1, None), self.clock.time)
        self.primary.received(link, Ack(self.primary.position), self.clock.time)

    def leased(self) -> None:
        self.heard("n2", 1)
        self.primary.received(1, LeaseRequest(1), self.clock.time)


@pytest.fixture
def holder(monkeypatch: pytest.MonkeyPatch) -> Holder:
    return Holder(monkeypatch)


# -- other members --------------------------------------------------------------------------------


async def test_nothing_changes_while_the_members_are_the_epochs_own(holder: Holder) -> None:
    holder.membership.tick()
    assert holder.membership._changing is None


async def test_nor_on_a_node_that_stops_or_whose_lease_has_lapsed_or_that_is_no_primary(
    holder: Holder,
) -> None:
    holder.other_members()
    holder.node.coordinator.leaving = True
    holder.membership.tick()
    assert holder.membership._changing is None
    holder.node.coordinator.leaving = False
    holder.agent.lose(1)
    holder.membership.tick()
    assert holder.membership._changing is None
    holder.agent.show(2, "n2")
    holder.membership.tick()
    assert holder.membership._changing is None


async def test_a_write_that_never_ends_holds_a_change_of_members_up_for_a_while_only(
    holder: Holder,
) -> None:
    holder.node.primary.begin(holder.primary, [KEY])
    holder.other_members()
    holder.membership.tick()
    await holder.end()
    assert holder.agent.epochs_wanted == 1
    assert holder.clock.time == pytest.approx(
        holder.began + MEMBERS_PAUSE_S + MEMBERS_GRANT_S, abs=0.05
    )


async def test_without_a_grant_writes_go_on_and_it_is_asked_for_again(holder: Holder) -> None:
    holder.other_members()
    for asked in (1, 2):
        holder.membership.tick()
        await holder.end()
        assert holder.agent.epochs_wanted == asked
        assert holder.clock.time == pytest.approx(holder.began + asked * MEMBERS_GRANT_S)
        assert not holder.primary._paused


async def test_only_one_change_is_under_way(holder: Holder) -> None:
    holder.still.clear()
    holder.node.primary.begin(holder.primary, [KEY])
    holder.other_members()
    holder.membership.tick()
    await settled()
    changing = holder.membership._changing
    holder.membership.tick()
    assert holder.membership._changing is changing
    holder.still.set()
    await holder.end()


async def test_no_epoch_is_asked_for_once_another_one_is_there(holder: Holder) -> None:
    holder.still.clear()
    fence, _ = holder.node.primary.begin(holder.primary, [KEY])
    holder.other_members()
    holder.membership.tick()
    await settled()
    assert holder.primary._paused
    holder.node.primary.settle(holder.primary, fence, Outcome.REJECTED, [None])
    holder.agent.show(2, "n2")
    holder.still.set()
    await holder.end()
    assert holder.agent.epochs_wanted == 0


async def test_the_next_epoch_ends_the_wait_for_it(holder: Holder) -> None:
    holder.still.clear()
    holder.other_members()
    holder.membership.tick()
    await settled()
    assert holder.agent.epochs_wanted == 1
    holder.agent.acquire(2, holder.began + LONG_S)
    holder.passes = False
    holder.still.set()
    await holder.end()
    assert holder.clock.time == holder.began
    assert holder.membership._changing is None


async def test_what_is_under_way_ends_with_the_node(holder: Holder) -> None:
    holder.still.clear()
    holder.other_members()
    holder.membership.tick()
    await settled()
    await asyncio.wait_for(holder.membership.aclose(), ENDS_S)
    assert not holder.primary._paused
    await Membership(
        "n1", holder.agent, holder.node.primary, holder.node.coordinator, holder.clock
    ).aclose()  # nothing is


# -- cut off --------------------------------------------------------------------------------------


async def cut_off(holder: Holder) -> None:
    """For as long as is borne, but for the last moment."""
    holder.membership.tick()
    holder.clock.time += CUT_OFF_S - 0.01
    holder.membership.tick()
    assert holder.membership._changing is None
    holder.clock.time += 0.01


async def test_a_holder_gives_way_only_after_it_was_cut_off_for_long(holder: Holder) -> None:
    await cut_off(holder)
    holder.membership.tick()
    await holder.end()
    assert holder.agent.released == 1


async def test_being_cut_off_counts_from_the_last_time_that_it_was_not(holder: Holder) -> None:
    await cut_off(holder)
    holder.heard("n2", 1)
    holder.membership.tick()
    holder.primary.unlinked(1, holder.clock.time)
    await cut_off(holder)
    holder.membership.tick()
    await holder.end()


async def test_a_holder_whose_lease_has_lapsed_has_nothing_to_give_away(holder: Holder) -> None:
    await cut_off(holder)
    holder.agent.lose(1)
    holder.membership.tick()
    assert holder.membership._changing is None


async def test_nor_does_one_give_way_that_stops_or_changes_its_members(holder: Holder) -> None:
    await cut_off(holder)
    holder.node.coordinator.leaving = True
    holder.membership.tick()
    assert holder.membership._changing is None
    holder.node.coordinator.leaving = False
    holder.still.clear()
    holder.other_members()
    holder.membership.tick()  # begins the change of members
    await settled()
    assert holder.agent.released == 0
    assert holder.agent.epochs_wanted == 1
    holder.still.set()
    await holder.end()


# -- giving way -----------------------------------------------------------------------------------


async def test_who_gives_way_waits_for_the_read_leases_that_it_gave(holder: Holder) -> None:
    holder.leased()
    until = holder.clock.time + holder.node.primary._settings.read_s
    giving = asyncio.create_task(holder.membership._give_way(holder.primary))
    async with asyncio.timeout(ENDS_S):
        while not holder.agent.released:
            assert holder.node.primary.primary is holder.primary or holder.clock.time >= until
            await asyncio.sleep(0)
        assert holder.clock.time >= until
        assert holder.node.primary.primary is None
        await giving


async def test_who_lost_the_epoch_meanwhile_releases_none(holder: Holder) -> None:
    holder.leased()
    holder.still.clear()
    giving = asyncio.create_task(holder.membership._give_way(holder.primary))
    await settled()
    holder.agent.show(2, "n2")
    holder.still.set()
    await asyncio.wait_for(giving, ENDS_S)
    assert holder.agent.released == 0


async def test_without_a_majority_the_lease_runs_out_and_is_claimed_again(holder: Holder) -> None:
    holder.agent.release_error = Unavailable("no majority")
    holder.agent.view = holder.node.agent.view
    await asyncio.wait_for(holder.membership._give_way(holder.primary), ENDS_S)
    assert holder.clock.time == pytest.approx(holder.began + GIVE_WAY_S)
    assert holder.agent.resumed == 1


async def test_who_stops_meanwhile_claims_nothing_again(holder: Holder) -> None:
    giving = asyncio.create_task(holder.membership._give_way(holder.primary))
    await asyncio.sleep(0)
    holder.node.coordinator.leaving = True
    await asyncio.wait_for(giving, ENDS_S)
    assert holder.agent.released == 1
    assert holder.agent.resumed == 0


async def test_a_change_that_fails_is_no_reason_to_make_no_other(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin_epoch() -> None:
        raise ValueError("a defect")

    holder.other_members()
    with monkeypatch.context() as patch:
        patch.setattr(holder.agent, "begin_epoch", begin_epoch)
        holder.membership.tick()
        await settled()
    assert holder.membership._changing is None
    assert not holder.primary._paused
    holder.membership.tick()
    await holder.end()
    assert holder.agent.epochs_wanted == 1
