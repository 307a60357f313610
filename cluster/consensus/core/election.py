"""An election in which a disk stands. Pure."""

from __future__ import annotations

from cluster.consensus.core.log import Log
from cluster.consensus.core.messages import VoteReply, VoteRequest


class Election:
    """One candidacy. ``pre``: voters are only asked whether they would vote, so that a disk which
    could not win leaves the term as it is (Ongaro's thesis, section 9.6). ``forced``: the leader
    wished for it."""

    def __init__(self, me: str, term: int, *, pre: bool, forced: bool = False) -> None:
        self.term = term
        self.pre = pre
        self.forced = forced
        self._granted = {me}

    def request(self, log: Log) -> VoteRequest:
        return VoteRequest(self.term, self.pre, log.last, log.last_term, self.forced)

    def count(self, voter: str, reply: VoteReply) -> None:
        """Counts a vote. Answers to other elections do not count, nor does a second one of the same
        voter."""
        if reply.granted and (reply.pre, reply.election) == (self.pre, self.term):
            self._granted.add(voter)

    def is_won(self, log: Log) -> bool:
        return log.configuration.is_majority(self._granted)
