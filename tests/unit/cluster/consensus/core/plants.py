"""Rules of the log left out, each with the world in which it shows."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.planting import Change
from tests.unit.cluster.consensus.core.world import Options

CORE = "cluster.consensus.core"
RAFT = f"{CORE}.raft:Raft"
LEADERSHIP = f"{CORE}.leadership:Leadership"
LOG = f"{CORE}.log:Log"
CONFIGURATION = f"{CORE}.configuration:Configuration"
ELECTION = f"{CORE}.election:Election"

USUAL = Options()
STEADY = Options(changes=False, tails=False, trouble_s=0.5)
"""The same voters all the time, more often in trouble."""
CHANGING = Options(tails=False, trouble_s=0.4)
LOSING = Options(changes=False, spare=0, trouble_s=0.5)
SNAPPY = Options(tails=False, compaction=5, trouble_s=0.5)
SLOW = Options(changes=False, tails=False, trouble_s=0.4, slow_sync_s=0.3)


@dataclass(frozen=True)
class Plant:
    name: str
    where: str
    old: str
    new: str
    options: Options = USUAL
    """The world in which it shows."""
    seed: int = 0
    """By which it shows soon. The others are tried after it."""
    rule: str = ""
    """Or the test that fails: what it takes is too rare in worlds at random."""
    also: tuple[Change, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return Change(self.where, self.old, self.new), *self.also


PLANTS = (
    Plant(
        "a vote for whose log is older",
        f"{LOG}.is_up_to_date",
        "return (last_term, last_index) >= (self.last_term, self.last)",
        "return True",
        STEADY,
        seed=5,
    ),
    Plant(
        "only the length of logs is compared",
        f"{LOG}.is_up_to_date",
        "return (last_term, last_index) >= (self.last_term, self.last)",
        "return last_index >= self.last",
        rule="TestMatching.test_the_later_term_makes_a_log_newer",
    ),
    Plant(
        "two votes in a term",
        f"{RAFT}._vote",
        "and self._hard.vote in (None, message.source)",
        "",
        STEADY,
        seed=2,
    ),
    Plant(
        "a vote that is not durable",
        f"{RAFT}._vote",
        "self._write_hard(replace(self._hard, vote=message.source))",
        "self._hard = replace(self._hard, vote=message.source)",
        STEADY,
    ),
    Plant(
        "a term that is not durable",
        f"{RAFT}._learn_term",
        "self._write_hard(HardState(term, None, self._hard.mending))",
        "self._hard = HardState(term, None, self._hard.mending)",
        STEADY,
    ),
    Plant(
        "a candidate's own vote is not durable",
        f"{RAFT}._begin_election",
        "self._write_hard(HardState(self.term + 1, self.name))",
        "self._hard = HardState(self.term + 1, self.name)",
        STEADY,
    ),
    Plant(
        "a new term keeps the old term's vote out",
        f"{RAFT}._learn_term",
        "HardState(term, None, self._hard.mending)",
        "HardState(term, self._hard.vote, self._hard.mending)",
        STEADY,
        seed=21,
    ),
    Plant(
        "a duplicate counts as two votes",
        f"{ELECTION}.__init__",
        "self._granted = {me}",
        "self._granted = [me]",
        rule="TestElections.test_two_answers_of_one_voter_are_one_vote",
        also=(
            Change(f"{ELECTION}.count", "self._granted.add(voter)", "self._granted.append(voter)"),
            Change(
                f"{CONFIGURATION}.is_majority",
                "len(set(names) & set(self.voters))",
                "sum(name in self.voters for name in names)",
            ),
        ),
    ),
    Plant(
        "votes of an earlier election count",
        f"{ELECTION}.count",
        "(reply.pre, reply.election) == (self.pre, self.term)",
        "reply.pre == self.pre",
        rule="TestElections.test_an_answer_to_another_election_says_nothing",
    ),
    Plant(
        "half of the voters are a majority",
        f"{CONFIGURATION}.is_majority",
        "> len(self.voters)",
        ">= len(self.voters)",
        CHANGING,
    ),
    Plant(
        "half of the disks commit",
        f"{CONFIGURATION}.reached_by_majority",
        "found[len(found) // 2]",
        "found[(len(found) - 1) // 2]",
        rule="TestMatching.test_what_half_of_the_disks_have_is_not_committed",
    ),
    Plant(
        "learners count",
        f"{CONFIGURATION}.reached_by_majority",
        "for voter in self.voters",
        "for voter in self.members",
        rule="TestMembers.test_a_learner_does_not_count",
    ),
    Plant(
        "learners' votes count",
        f"{CONFIGURATION}.is_majority",
        "set(self.voters)) > len(self.voters)",
        "set(self.members)) > len(self.voters)",
        CHANGING,
        seed=6,
        also=(
            Change(
                f"{RAFT}._ask_for_votes",
                "for name in self.log.configuration.voters:",
                "for name in self.log.configuration.members:",
            ),
        ),
    ),
    Plant(
        "an older term's entry is committed by counting",
        f"{LEADERSHIP}.commit",
        "return index if index >= self.first_index else 0",
        "return index",
        rule="TestCommits.test_an_older_terms_entry_is_not_committed_by_counting",
    ),
    Plant(
        "log matching is skipped",
        f"{RAFT}._accept",
        "if log.term_at(before) != request.before_term:",
        "if log.term_at(before) is None:",
        rule="TestMatching.test_entries_follow_what_the_leader_has_before_them",
    ),
    Plant(
        "entries of another leader are kept",
        f"{RAFT}._accept",
        "while entries and log.term_at(entries[0].index) == entries[0].term:",
        "while entries and log.term_at(entries[0].index) is not None:",
        rule="TestMatching.test_another_leaders_entries_go",
    ),
    Plant(
        "what is behind the leader's entries is confirmed",
        f"{RAFT}._accept",
        "index = before + len(request.entries)",
        "index = log.last",
        rule="TestMatching.test_only_what_the_leader_has_sent_is_confirmed_and_committed",
    ),
    Plant(
        "what is behind the leader's entries is committed",
        f"{RAFT}._accept",
        "self._commit_to(min(request.commit, index))",
        "self._commit_to(min(request.commit, log.last))",
        STEADY,
        seed=9,
    ),
    Plant(
        "a leader counts what it has not synced",
        f"{LEADERSHIP}.commit",
        "matches[self._me] = self._log.stable",
        "matches[self._me] = self._log.last",
        rule="TestCommits.test_what_is_not_synced_is_not_counted",
    ),
    Plant(
        "what was cut off counts as synced",
        f"{LOG}._cut",
        "self._unsynced = deque((mark, min(to, index)) for mark, to in self._unsynced)",
        "pass",
        rule="TestCommits.test_what_was_cut_off_is_not_on_disk",
    ),
    Plant(
        "a leader of an earlier term is followed",
        f"{RAFT}._hears",
        "if message.term < self.term:",
        "if False:",
        rule="TestElections.test_who_led_an_earlier_term_is_told",
    ),
    Plant(
        "an answer of an earlier term counts",
        f"{RAFT}._confirmed",
        "if leadership is None or message.term != self.term:",
        "if leadership is None:",
        rule="TestCommits.test_an_answer_of_an_earlier_term_says_nothing",
    ),
    Plant(
        "a refusal counts",
        f"{LEADERSHIP}.appended",
        "if not reply.accepted:",
        "if False:",
        rule="TestMatching.test_a_refusal_confirms_nothing",
    ),
    Plant(
        "a leader outlives its term",
        f"{RAFT}._follow",
        "self._leadership = None",
        "pass",
        STEADY,
        seed=1,
    ),
    Plant(
        "a leader without a majority goes on",
        f"{RAFT}.tick",
        "if now >= leadership.quorum_until():",
        "if False:",
        rule="TestElections.test_a_leader_that_hears_no_majority_steps_down",
    ),
    Plant(
        "two changes of members at a time",
        f"{LEADERSHIP}.change_refused",
        "if self._log.configuration_index > commit:",
        "if False:",
        rule="TestMembers.test_one_change_at_a_time",
    ),
    Plant(
        "a change before an entry of the own term is committed",
        f"{LEADERSHIP}.change_refused",
        "if commit < self.first_index:",
        "if False:",
        rule="TestMembers.test_no_change_before_an_entry_of_the_own_term_is_committed",
    ),
    Plant(
        "a configuration that was cut off still counts",
        f"{LOG}._cut",
        "while self._configurations and self._configurations[-1][0] > index:",
        "while False:",
        rule="TestMembers.test_a_configuration_goes_with_its_entry",
    ),
    Plant(
        "a configuration counts only once it is committed",
        f"{LEADERSHIP}.follow_configuration",
        "members = self._log.configuration.members",
        "members = self._log.configuration_at(0).members",
        CHANGING,
        seed=8,
    ),
    Plant(
        "a learner is promoted before it is level",
        f"{LEADERSHIP}.is_level",
        "and peer.match >= commit",
        "",
        CHANGING,
    ),
    Plant(
        "learners and removed ones stand",
        f"{RAFT}._can_stand",
        "self.name in self.log.configuration.voters and",
        "",
        CHANGING,
        seed=22,
    ),
    Plant(
        "a snapshot takes the place of newer entries",
        f"{RAFT}._receive",
        "if piece.index <= self.commit:",
        "if False:",
        rule="TestSnapshots.test_one_does_not_replace_what_is_committed",
    ),
    Plant(
        "a snapshot takes the place of entries that follow it",
        f"{RAFT}._receive",
        "if self.log.term_at(piece.index) == piece.term:",
        "if False:",
        rule="TestSnapshots.test_one_does_not_replace_the_entries_that_follow_it",
    ),
    Plant(
        "a snapshot's configuration is left out",
        f"{CORE}.incoming:Incoming.add",
        "piece.configuration",
        "type(piece.configuration)()",
        rule="TestSnapshots.test_one_replaces_another_leaders_entries",
    ),
    Plant(
        "a snapshot has a configuration that is not committed",
        f"{LOG}.compact",
        "configuration = self.configuration_at(index)",
        "configuration = self.configuration",
        rule="TestSnapshots.test_one_has_the_configuration_of_its_place",
    ),
    Plant(
        "pieces of two snapshots are put together",
        f"{CORE}.incoming:Incoming.add",
        "if self._of != of:",
        "if self._of is None:",
        rule="TestSnapshots.test_pieces_of_two_are_not_put_together",
    ),
    Plant(
        "a piece that comes twice is added twice",
        f"{CORE}.incoming:Incoming.add",
        "if piece.offset == len(self._data):",
        "if True:",
        rule="TestSnapshots.test_it_may_come_in_pieces_again_and_out_of_order",
    ),
    Plant(
        "a disk that lost what it confirmed votes",
        f"{RAFT}._vote",
        "may_vote = not self._hard.mending and self.log",
        "may_vote = self.log",
        rule="TestMending.test_it_does_not_vote",
    ),
    Plant(
        "a disk that lost what it confirmed stands",
        f"{RAFT}._can_stand",
        "and not self._hard.mending",
        "",
        rule="TestMending.test_it_does_not_stand",
    ),
    Plant(
        "a disk that lost what it confirmed counts",
        f"{LEADERSHIP}.appended",
        "if reply.mending:\n        return False",
        "pass",
        rule="TestMending.test_it_counts_once_it_has_everything",
    ),
    Plant(
        "what a disk confirmed before it lost it still counts",
        f"{LEADERSHIP}._mend",
        "peer.match = 0",
        "pass",
        rule="TestMending.test_its_earlier_word_is_taken_back",
    ),
    Plant(
        "a disk is whole before it has all that it confirmed",
        f"{LEADERSHIP}._mend",
        "max(self._log.last, 1)",
        "1",
        rule="TestMending.test_the_leader_says_how_much_it_needs",
    ),
    Plant(
        "a disk forgets with the next term that it lost something",
        f"{RAFT}._learn_term",
        "HardState(term, None, self._hard.mending)",
        "HardState(term, None)",
        rule="TestMending.test_it_remembers_over_terms",
    ),
    Plant(
        "a candidate is heard while there is a leader",
        f"{RAFT}._has_leader",
        "return self.leader is not None and now < self._heard_at + self._times.election_s",
        "return False",
        rule="TestElections.test_no_candidate_is_listened_to_while_there_is_a_leader",
    ),
    Plant(
        "a disk that could not win raises the term",
        f"{RAFT}._stand",
        "if forced:",
        "if True:",
        rule="TestElections.test_asking_beforehand_changes_no_term",
    ),
    Plant(
        "proposals are taken while the leadership is handed over",
        f"{RAFT}.propose",
        "if leadership.transfer is not None:",
        "if False:",
        rule="TestHandingOver.test_what_is_proposed_meanwhile_is_refused",
    ),
    Plant(
        "a leader hands over to one that is not level",
        f"{LEADERSHIP}.updates",
        "if self._peers[transfer.target].match == self._log.last:",
        "if True:",
        rule="TestHandingOver.test_it_waits_until_the_other_one_is_level",
    ),
    Plant(
        "the message for the disk before is heard",
        f"{RAFT}.step",
        "if message.target != self.name:",
        "if False:",
        rule="TestMembers.test_whose_message_is_for_the_disk_before_is_not_heard",
    ),
    Plant(
        "what an earlier start of a process said is believed",
        f"{LEADERSHIP}._known",
        "if peer is None or boot < self._boots.get(source, 0):",
        "if peer is None:",
        rule="TestMending.test_what_it_said_before_does_not_count",
    ),
    Plant(
        "a leader removes itself",
        f"{LEADERSHIP}.would_harm",
        "if name == self._me:",
        "if False:",
        rule="TestMembers.test_a_leader_does_not_remove_itself",
    ),
    Plant(
        "pieces of two leaders are put together",
        f"{CORE}.incoming:Incoming.add",
        "of = leaders_term, piece.index, piece.term",
        "of = 0, piece.index, piece.term",
        rule="TestSnapshots.test_pieces_of_two_leaders_are_not_put_together",
    ),
    Plant(
        "the last majority that answers is taken away",
        f"{LEADERSHIP}.would_harm",
        "if self._answers(peer, now) and not peer.mend_to",
        "",
        rule="TestMembers.test_the_last_majority_that_answers_stays",
    ),
    Plant(
        "more members than a disk takes back",
        f"{CORE}.configuration:changed",
        "if len(before.members) >= MEMBERS_MAX:",
        "if False:",
        rule="TestMembers.test_there_are_never_more_members_than_a_disk_takes_back",
    ),
    Plant(
        "what a disk said before it was taken in again is believed",
        f"{LEADERSHIP}._mend",
        "self._boots[name] = boot",
        "pass",
        rule="TestMembers.test_what_it_said_before_it_was_removed_does_not_count",
    ),
)
