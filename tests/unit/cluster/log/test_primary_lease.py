import copy
import random
from math import inf

import pytest

from cluster.log.commands import Grant, Release, RemoveMember
from cluster.log.primary_lease import (
    NEVER,
    OUTSTANDING_MAX,
    REFUSED_RETRY_S,
    RETRY_S,
    TRANSFER_RETRY_S,
    Acquired,
    Action,
    LeaseKeeper,
    Lost,
    Propose,
    Renewed,
    TransferLeadership,
)
from cluster.log.state import CommandResult, LeaseRecord

MEMBERS = ("n1", "n2", "n3")
OK = CommandResult(True)
REFUSED = CommandResult(False, 0, "the lease is at another sequence")


def keeper(node: str = "n1", incarnation: str = "i") -> LeaseKeeper:
    return LeaseKeeper(node, incarnation, duration_s=1.5, renew_s=0.25, margin=0.1)


def lead(k: LeaseKeeper, now: float) -> list[Action]:
    return k.tick(now, raft_leader=True, synced=True, members=MEMBERS)


def follow(k: LeaseKeeper, now: float) -> list[Action]:
    return k.tick(now, raft_leader=False, synced=True, members=MEMBERS)


def proposed(actions: list[Action]) -> Grant:
    (command,) = [a.command for a in actions if isinstance(a, Propose)]
    assert isinstance(command, Grant)
    return command


def after(grant: Grant, epoch: int) -> LeaseRecord:
    return LeaseRecord(
        grant.expected_seq + 1,
        epoch,
        grant.holder,
        grant.incarnation,
        grant.duration_s,
        grant.members,
    )


def commit(
    k: LeaseKeeper, grant: Grant, now: float, epoch: int = 1, replayed: bool = False
) -> list[Action]:
    return k.applied(grant, OK, after(grant, epoch), replayed, now, now)


def holder(now: float = 10.0) -> LeaseKeeper:
    """A keeper that proposed at ``now`` and was granted epoch 1 0.1 s later."""
    k = keeper()
    commit(k, proposed(lead(k, now)), now + 0.1)
    assert k.holds(now + 0.1)
    return k


def other(seq: int = 0, duration_s: float = 1.5) -> Grant:
    return Grant("n2", "z", seq, duration_s, MEMBERS, 1)


class TestClaim:
    def test_the_synced_raft_leader_claims_and_counts_from_before_it_proposed(self) -> None:
        k = keeper()
        grant = proposed(lead(k, 10.0))
        assert grant.expected_seq == 0
        assert grant.members == MEMBERS
        assert not k.holds(10.0)
        assert commit(k, grant, 10.4) == [Acquired(1, MEMBERS, True, 11.5)]
        assert k.holds(11.4)
        assert not k.holds(11.5)

    def test_nobody_else_claims(self) -> None:
        assert follow(keeper(), 10.0) == []
        assert keeper().tick(10.0, raft_leader=True, synced=False, members=MEMBERS) == []
        assert keeper().tick(10.0, raft_leader=True, synced=True, members=()) == []
        assert keeper("n9").tick(10.0, True, True, MEMBERS) == []

    def test_a_grant_that_took_its_whole_duration_holds_nothing(self) -> None:
        k = keeper()
        grant = proposed(lead(k, 10.0))
        assert commit(k, grant, 11.5) == []
        assert not k.holds(11.5)
        assert not proposed(follow(k, 11.6)).new_epoch  # the epoch is its own, and goes on

    def test_a_later_epoch_is_not_the_first(self) -> None:
        k = keeper()
        acquired = commit(k, proposed(lead(k, 10.0)), 10.1, epoch=4)
        assert acquired == [Acquired(4, MEMBERS, False, 11.5)]

    def test_one_proposal_at_a_time_until_it_is_late(self) -> None:
        k = keeper()
        first = proposed(lead(k, 10.0))
        assert lead(k, 10.0 + RETRY_S - 0.01) == []
        second = proposed(lead(k, 10.0 + RETRY_S))
        assert second.expected_seq == first.expected_seq
        assert second.proposal_id != first.proposal_id

    def test_a_late_answer_to_an_early_proposal_counts_from_that_proposal(self) -> None:
        k = keeper()
        first = proposed(lead(k, 10.0))
        second = proposed(lead(k, 10.5))
        (acquired,) = commit(k, first, 10.6)
        assert isinstance(acquired, Acquired)
        assert acquired.until == 11.5
        assert k.applied(second, REFUSED, after(first, 1), False, 10.7, 10.7) == []
        assert k.until == 11.5

    def test_surely_not_committed_is_tried_again_soon(self) -> None:
        k = keeper()
        grant = proposed(lead(k, 10.0))
        k.not_committed(grant, 10.01)
        assert lead(k, 10.02) == []
        proposed(lead(k, 10.01 + REFUSED_RETRY_S))

    def test_own_outstanding_proposals_are_bounded(self) -> None:
        k = keeper()
        first = proposed(lead(k, 0.0))
        for n in range(1, OUTSTANDING_MAX + 1):
            last = proposed(lead(k, n * RETRY_S + n * 1e-6))
        now = OUTSTANDING_MAX * RETRY_S + 1
        assert commit(k, first, now) == []
        assert not k.holds(now)
        assert last.proposal_id == OUTSTANDING_MAX + 1


class TestBlocking:
    def test_anothers_grant_blocks_for_its_duration_plus_margin_from_the_apply(self) -> None:
        k = keeper()
        commit(k, other(duration_s=2.0), 10.0)
        assert not any(isinstance(a, Propose) for a in lead(k, 12.19))
        assert proposed(lead(k, 12.2)).expected_seq == 1

    def test_replayed_grants_block_too(self) -> None:
        k = keeper()
        commit(k, other(), 10.0, replayed=True)
        assert not any(isinstance(a, Propose) for a in lead(k, 11.64))
        proposed(lead(k, 11.66))

    def test_snapshots_block_too(self) -> None:
        k = keeper()
        assert k.restored(after(other(4), 3), 10.0) == []
        assert not any(isinstance(a, Propose) for a in lead(k, 11.64))
        assert proposed(lead(k, 11.66)).expected_seq == 5

    def test_every_renewal_starts_the_block_anew(self) -> None:
        k = keeper()
        commit(k, other(0), 10.0)
        commit(k, other(1), 11.0)
        assert not any(isinstance(a, Propose) for a in lead(k, 12.6))
        proposed(lead(k, 12.66))

    def test_a_refused_grant_blocks_nothing(self) -> None:
        k = keeper()
        k.applied(other(3), REFUSED, LeaseRecord(), False, 10.0, 10.0)
        proposed(lead(k, 10.01))

    def test_a_release_ends_the_block(self) -> None:
        k = keeper()
        commit(k, other(), 10.0)
        k.applied(Release("n2", "z", 1), OK, LeaseRecord(seq=2, epoch=1), False, 10.1, 10.1)
        assert proposed(lead(k, 10.1)).expected_seq == 2

    def test_own_earlier_process_blocks_like_a_stranger(self) -> None:
        k = keeper(incarnation="new")
        commit(k, Grant("n1", "old", 0, 1.5, MEMBERS, 1), 10.0, replayed=True)
        assert lead(k, 11.6) == []
        proposed(lead(k, 11.66))


class TestNeverAHolderByReplay:
    def test_a_replayed_grant_that_looks_like_an_own_one(self) -> None:
        k = keeper()
        grant = proposed(lead(k, 10.0))
        assert commit(k, grant, 10.1, replayed=True) == []
        assert not k.holds(10.1)

    def test_a_grant_of_this_process_that_it_did_not_propose(self) -> None:
        k = keeper()
        assert commit(k, Grant("n1", "i", 0, 1.5, MEMBERS, 77), 10.0) == []
        assert not k.holds(10.0)

    def test_another_incarnations_grant_with_the_same_proposal_id(self) -> None:
        k = keeper()
        mine = proposed(lead(k, 10.0))
        theirs = Grant("n1", "old", 0, 1.5, MEMBERS, mine.proposal_id)
        assert commit(k, theirs, 10.1) == []
        assert not k.holds(10.1)

    def test_a_snapshot_that_names_this_process(self) -> None:
        k = keeper()
        grant = proposed(lead(k, 10.0))
        assert k.restored(after(grant, 1), 10.1) == []
        assert not k.holds(10.1)


class TestProposals:
    def test_a_refused_one_is_followed_by_another_after_a_pause(self) -> None:
        k = keeper()
        grant = proposed(lead(k, 10.0))
        assert k.applied(grant, REFUSED, LeaseRecord(), False, 10.1, 10.1) == []
        assert lead(k, 10.1 + REFUSED_RETRY_S - 0.01) == []
        proposed(lead(k, 10.1 + REFUSED_RETRY_S))

    def test_one_that_was_surely_not_committed_makes_no_holder(self) -> None:
        k = keeper()
        grant = proposed(lead(k, 10.0))
        for _ in range(2):  # it may be said twice
            k.not_committed(grant, 10.01)
        assert commit(k, grant, 10.1) == []
        assert not k.holds(10.1)

    def test_a_release_that_was_not_committed_is_tried_again_soon(self) -> None:
        k = holder(10.0)
        k.release(10.2)
        release = proposed_release(follow(k, 10.2))
        k.not_committed(release, 10.21)
        assert follow(k, 10.21 + REFUSED_RETRY_S - 0.01) == []
        assert proposed_release(follow(k, 10.21 + REFUSED_RETRY_S)) == release

    def test_as_many_may_be_under_way_as_their_bound_and_then_the_oldest_does_not_count(
        self,
    ) -> None:
        for more, held in ((0, True), (1, False)):
            k = keeper()
            grants = [
                proposed(lead(k, 10.0 + 2 * RETRY_S * n)) for n in range(OUTSTANDING_MAX + more)
            ]
            now = 10.1
            commit(k, grants[0], now)
            assert k.holds(now) is held

    def test_its_own_grant_that_was_replayed_is_renewed_at_once(self) -> None:
        k = keeper()
        commit(k, Grant("n1", "i", 0, 1.5, MEMBERS, 9), 10.0, replayed=True)
        assert not k.holds(10.0)
        assert proposed(follow(k, 10.0)).expected_seq == 1

    def test_a_snapshot_in_which_nobody_holds_the_lease_blocks_nobody(self) -> None:
        k = keeper()
        k.restored(LeaseRecord(seq=4, epoch=2, duration_s=1.5), 10.0)
        assert proposed(lead(k, 10.0)).expected_seq == 4


class TestRenewal:
    def test_renewed_on_time_also_by_a_follower(self) -> None:
        k = holder(10.0)
        assert follow(k, 10.24) == []
        renewal = proposed(follow(k, 10.25))
        assert renewal.expected_seq == 1
        assert not renewal.new_epoch
        assert commit(k, renewal, 10.3) == [Renewed(11.75)]

    def test_a_lapsed_holder_says_so_and_may_come_back_in_its_epoch(self) -> None:
        k = holder(10.0)
        lost = follow(k, 11.5)
        assert lost[0] == Lost(1)
        assert commit(k, proposed(lost), 11.6) == [Acquired(1, MEMBERS, True, 13.0)]

    def test_a_pause_is_noticed_at_the_first_use(self) -> None:
        k = holder(10.0)
        assert not k.holds(500.0)
        assert follow(k, 500.0)[0] == Lost(1)

    def test_a_renewal_that_arrives_after_a_pause_does_not_revive(self) -> None:
        k = holder(10.0)
        renewal = proposed(follow(k, 10.25))
        assert commit(k, renewal, 500.0) == [Lost(1)]
        assert not k.holds(500.0)

    def test_anothers_grant_ends_it(self) -> None:
        k = holder(10.0)
        assert commit(k, other(1), 12.0, epoch=2) == [Lost(1)]
        assert k.until == NEVER

    def test_a_snapshot_with_another_holder_ends_it(self) -> None:
        k = holder(10.0)
        assert k.restored(after(other(9), 5), 12.0) == [Lost(1)]

    def test_a_snapshot_with_itself_as_holder_does_not(self) -> None:
        k = holder(10.0)
        assert k.restored(LeaseRecord(7, 1, "n1", "i", 1.5, MEMBERS), 10.2) == []
        assert k.holds(11.4)
        assert not k.holds(11.5)
        assert proposed(follow(k, 10.5)).expected_seq == 7

    def test_a_removed_member_stops_renewing(self) -> None:
        k = holder(10.0)
        assert k.tick(10.5, True, True, ("n2", "n3")) == []
        assert k.tick(11.5, True, True, ("n2", "n3")) == [Lost(1)]

    def test_other_commands_change_nothing(self) -> None:
        k = holder(10.0)
        assert k.applied(RemoveMember("n3"), OK, LeaseRecord(), False, 10.2, 10.2) == []
        assert k.holds(10.2)


class TestNewEpoch:
    def test_the_holder_begins_one_with_the_members_of_then(self) -> None:
        k = holder(10.0)
        k.want_new_epoch()
        grant = proposed(k.tick(10.2, False, True, (*MEMBERS, "n4")))
        assert grant.new_epoch
        assert grant.members == (*MEMBERS, "n4")
        assert k.holds(10.2)
        assert commit(k, grant, 10.25, epoch=2) == [Acquired(2, (*MEMBERS, "n4"), False, 11.7)]
        assert not proposed(follow(k, 10.6)).new_epoch

    def test_a_wish_for_one_ends_with_the_lease(self) -> None:
        k = holder(10.0)
        k.want_new_epoch()
        lost = follow(k, 11.5)
        assert lost[0] == Lost(1)
        assert not proposed(lost).new_epoch

    def test_without_effect_elsewhere(self) -> None:
        k = keeper()
        k.want_new_epoch()
        assert not proposed(lead(k, 10.0)).new_epoch


class TestRelease:
    def test_stops_believing_first_then_proposes(self) -> None:
        k = holder(10.0)
        assert k.release(10.2) == [Lost(1)]
        assert not k.holds(10.2)
        assert not k.released
        assert lead(k, 10.2) == [Propose(Release("n1", "i", 1))]
        record = LeaseRecord(seq=2, epoch=1, members=MEMBERS)
        assert k.applied(Release("n1", "i", 1), OK, record, False, 10.3, 10.3) == []
        assert k.released

    def test_does_not_claim_again_but_hands_raft_leadership_on(self) -> None:
        k = holder(10.0)
        k.release(10.2)
        k.applied(Release("n1", "i", 1), OK, LeaseRecord(seq=2, epoch=1), False, 10.3, 10.3)
        assert lead(k, 10.31) == [TransferLeadership(None)]
        assert lead(k, 10.4) == []
        assert lead(k, 10.31 + TRANSFER_RETRY_S) == [TransferLeadership(None)]
        k.resume()
        proposed(lead(k, 12.0))

    def test_a_renewal_under_way_does_not_bring_it_back(self) -> None:
        k = holder(10.0)
        renewal = proposed(follow(k, 10.25))
        k.release(10.26)
        assert proposed_release(follow(k, 10.26)).expected_seq == 1
        assert commit(k, renewal, 10.3) == []
        assert not k.holds(10.3)
        assert (
            k.applied(Release("n1", "i", 1), REFUSED, after(renewal, 1), False, 10.31, 10.31) == []
        )
        assert proposed_release(follow(k, 10.5)).expected_seq == 2

    def test_of_a_node_that_holds_nothing(self) -> None:
        k = keeper()
        assert not k.released  # nobody has asked for it
        assert k.release(10.0) == []
        assert k.released
        assert follow(k, 10.1) == []  # nor has it Raft leadership to move


def proposed_release(actions: list[Action]) -> Release:
    (command,) = [a.command for a in actions if isinstance(a, Propose)]
    assert isinstance(command, Release)
    return command


class TestRaftLeadership:
    def test_moves_to_a_live_holder(self) -> None:
        k = keeper()
        commit(k, other(), 10.0)
        assert lead(k, 10.1) == [TransferLeadership("n2")]
        assert lead(k, 10.2) == []
        assert lead(k, 10.1 + TRANSFER_RETRY_S) == [TransferLeadership("n2")]
        assert follow(k, 11.3) == []

    def test_not_from_the_holder_itself(self) -> None:
        assert lead(holder(10.0), 10.2) == []


class TestDeadline:
    """It is asked for instead of looking every few milliseconds."""

    @pytest.mark.parametrize("seed", range(40))
    def test_before_it_there_is_nothing_to_do_and_then_there_is(self, seed: int) -> None:
        rng = random.Random(seed)
        k = keeper()
        now, seq, epoch = 10.0, 0, 0
        grants: list[Grant] = []
        for _ in range(60):
            told = (rng.random() < 0.5, rng.random() < 0.8, rng.choice([MEMBERS, MEMBERS, ("n2",)]))
            match rng.randrange(8):
                case 0 | 1 | 2:
                    for action in k.tick(now, *told):
                        if isinstance(action, Propose) and isinstance(action.command, Grant):
                            grants.append(action.command)
                case 3 if grants:
                    grant = grants.pop()
                    if grant.expected_seq == seq:
                        seq, epoch = seq + 1, epoch + 1
                        commit(k, grant, now, epoch)
                case 4:
                    commit(k, other(seq), now, epoch := epoch + 1)
                    seq += 1
                case 5 if grants:
                    k.not_committed(grants.pop(), now)
                case 6:
                    k.release(now)
                case 7:
                    k.resume()
                    k.want_new_epoch()
            due = k.deadline(now, *told)
            until = min(due, now + 5.0)
            for _ in range(5):
                early = now + rng.random() * (until - now)
                if now <= early < until:
                    assert copy.deepcopy(k).tick(early, *told) == [], (seed, now, early, due)
            if due < inf:
                at = max(due, now)
                assert copy.deepcopy(k).tick(at, *told), (seed, now, due)
            now += rng.choice([0.0, 0.01, 0.3, 2.0])
