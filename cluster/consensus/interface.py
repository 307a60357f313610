"""What the cluster needs of a replicated log. The implementation is
``participant``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from cluster.log.state import CommandResult
from paceline.errors import PacelineError

PROPOSALS_MAX = 1_000
"""The most proposals of one node under way at once; more are refused. The log takes about a
thousand a second, so more could not be answered within any deadline here."""


class ProposalRefused(PacelineError):
    """The command is not in the log and never will be: no leader, no quorum, a full queue."""


class ProposalUnknown(PacelineError):
    """The command may or may not be in the log, now or later."""


class StateMachine(Protocol):
    """The state that the log drives. ``apply`` is deterministic and never raises."""

    def apply(self, data: bytes) -> CommandResult: ...
    def snapshot(self) -> bytes: ...
    def restore(self, data: bytes) -> None: ...


OnApplied = Callable[[bytes, CommandResult, bool], None]
"""Called with (command, result, replayed). ``replayed`` is True if the entry was in the log before
this process had caught up with it, so that another process proposed it."""

OnRestored = Callable[[bytes], None]
"""Called with a snapshot that has replaced the state. The commands that led to it are not
applied."""


class Consensus(Protocol):
    """A log of commands, the same on every node, behind one event loop.

    Callbacks run in the loop that called ``start``, in log order, and before the ``propose`` that
    they answer returns. An implementation that applies elsewhere (in a thread of its own) keeps
    its own state machine; ``on_applied`` and ``on_restored`` let the loop keep another one level.

    ``is_leader`` and its kin are the last thing known, possibly out of date: hints on whom to
    ask, never permission to act.
    """

    async def start(self, on_applied: OnApplied, on_restored: OnRestored) -> None:
        """Returns when the node takes part, which is before it has caught up. Raises ConfigError
        when it cannot: the port is in use, or files are unreadable."""

    async def propose(self, command: bytes, timeout_s: float) -> CommandResult:
        """Commits ``command`` and returns this node's result of applying it.

        Raises ``ProposalRefused`` if it was surely not committed, and ``ProposalUnknown`` if no
        answer came in time or the leader changed. A caller that is cancelled leaves the command
        under way.
        """

    @property
    def is_leader(self) -> bool: ...

    @property
    def leader(self) -> str | None:
        """The id of the node that leads, as far as this one knows."""

    @property
    def has_quorum(self) -> bool:
        """True if more than half of the voters are connected, this node included."""

    @property
    def synced(self) -> bool:
        """True if this node has applied everything that was committed when it last heard of the
        leader."""

    @property
    def members(self) -> frozenset[str]:
        """The consensus addresses of those that take part, as far as this node knows. Some may
        not vote yet. Empty for a log that has no peers and never will."""

    @property
    def trouble(self) -> str | None:
        """What keeps this node from its peers, as far as it knows, in one sentence."""

    def watch_failure(self, on_failed: Callable[[str], None]) -> None:
        """``on_failed`` is called, once at most, with why this process can take part no more. It
        is to end: what is on its disk, or in its state, only the next start can tell."""

    async def transfer_leadership(self, to: str | None) -> bool:
        """Asks ``to`` (None: the most up-to-date peer) to lead. Only the leader can.

        Returns True when the request was sent; the leadership moves later or not at all.
        """

    def know_peers(self, addresses: Mapping[str, str]) -> None:
        """Takes the consensus addresses by id, as the log has them. They name the ``leader``."""

    async def add_peer(self, address: str, timeout_s: float) -> None:
        """Takes ``address`` in; does nothing if it takes part. One change at a time. It votes at
        once, or as soon as it has the log: that is up to the implementation. Raises
        ``ProposalRefused`` or ``ProposalUnknown``."""

    async def remove_peer(self, address: str, timeout_s: float) -> None:
        """Removes a member; does nothing if it is none. Neither the leader (transfer leadership
        first) nor the caller can be removed. Raises ``ProposalRefused`` or ``ProposalUnknown``."""

    def allow_votes(self) -> None:
        """The cluster knows this disk: from now on it may vote on any log (see ``data_dir``)."""

    async def stop(self) -> None:
        """Ends every thread and socket. Proposals under way end as ``ProposalUnknown``."""
