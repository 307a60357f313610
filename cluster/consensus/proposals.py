"""The proposals of one participant that callers wait for, and what each of them is told."""

from __future__ import annotations

import asyncio

from cluster.consensus.core.messages import Entry
from cluster.consensus.forwarding import Forwarded
from cluster.consensus.interface import ProposalRefused, ProposalUnknown
from cluster.log.state import CommandResult

Future = asyncio.Future[CommandResult]

REQUEST_BITS = 32


class Proposals:
    """Keeps each proposal's place in the log, which is an index and a term. An entry of another
    term that is committed at the index proves that the proposal is not in the log and never will
    be. ``boot`` is the number of this start of the participant."""

    def __init__(self, boot: int) -> None:
        self._placed: dict[int, dict[int, Future]] = {}
        """By index, then by term: leaders of two terms may have given away the same index, and
        either entry may be the one that is committed."""
        self._places: dict[Future, tuple[int, int]] = {}
        self._forwarded: dict[int, Future] = {}
        """Proposals handed to a leader that has not said yet where they are."""
        # So that an answer to the process before is never taken for one to this process.
        self._requests = boot << REQUEST_BITS

    def __len__(self) -> int:
        return len(self._places) + len(self._forwarded)

    def place(self, index: int, term: int, future: Future) -> None:
        self._placed.setdefault(index, {})[term] = future
        self._places[future] = index, term

    def forward(self, future: Future) -> int:
        """Returns the number under which the leader's answer comes."""
        self._requests += 1
        self._forwarded[self._requests] = future
        return self._requests

    def forget(self, request: int, future: Future) -> None:
        """The caller waits no longer. Does nothing if the proposal was answered."""
        self._forwarded.pop(request, None)
        index, term = self._places.pop(future, (0, 0))
        if index:
            at = self._placed[index]
            del at[term]
            if not at:
                del self._placed[index]

    def answered(self, answer: Forwarded, applied: int) -> None:
        """Takes the leader's answer. ``applied`` is the last index that was applied here."""
        future = self._forwarded.pop(answer.request, None)
        if future is None or future.done():
            return
        if answer.reason:
            future.set_exception(ProposalRefused(answer.reason))
        elif not answer.index:
            future.set_result(CommandResult(True))
        elif answer.index <= applied:
            fail(future, "applied before this node knew that it was its own")
        else:
            self.place(answer.index, answer.term, future)

    def applied(self, entry: Entry, result: CommandResult) -> None:
        for term, future in self._take(entry.index):
            if future.done():
                continue
            if term == entry.term:
                future.set_result(result)
            else:
                future.set_exception(ProposalRefused("another leader's entry took its place"))

    def passed(self, index: int) -> None:
        """A snapshot has replaced all entries up to there."""
        for at in [at for at in self._placed if at <= index]:
            for _, future in self._take(at):
                fail(future, "a snapshot took its place")

    def _take(self, index: int) -> list[tuple[int, Future]]:
        found = list(self._placed.pop(index, {}).items())
        for _, future in found:
            del self._places[future]
        return found

    def fail_all(self, why: str) -> None:
        for future in (*self._forwarded.values(), *self._places):
            fail(future, why)
        self._forwarded.clear()
        self._placed.clear()
        self._places.clear()


def fail(future: Future, why: str) -> None:
    """Ends the wait with ProposalUnknown: the proposal may be in the log, or come to be."""
    if not future.done():
        future.set_exception(ProposalUnknown(why))
