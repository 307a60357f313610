"""What the cluster needs of a replicated log. The implementation is ``participant``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cluster.consensus.founding import Introduction, Welcome
from cluster.log.state import CommandResult
from paceline.errors import ConfigError, PacelineError

PROPOSALS_MAX = 1_000
"""The most proposals of one node under way at once; more are refused. The log takes about a
thousand a second, so more could not be answered within any deadline here."""


class ProposalRefused(PacelineError):
    """The command is not in the log and never will be: no leader, no quorum, a full queue."""


class ProposalUnknown(PacelineError):
    """The command may or may not be in the log, now or later."""


class NotAccepted(ConfigError):
    """The cluster will not take this disk in; ``reason``: see ``Welcome``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the cluster does not accept this node: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a node's participant is reached, and the name of its disk."""

    address: str
    disk: str


class StateMachine(Protocol):
    """The state that the log drives. ``apply`` is deterministic and never raises."""

    def apply(self, data: bytes) -> CommandResult: ...
    def snapshot(self) -> bytes: ...
    def restore(self, data: bytes) -> None: ...


OnApplied = Callable[[bytes, CommandResult, bool, float], None]
"""Called with (command, result, replayed, age_s). ``replayed`` is True if the entry was in the log
before this process had caught up with it, so that another process proposed it. ``age_s``: how long
this process has had the entry, at most, in seconds; 0 for one that it found in the log."""

OnRestored = Callable[[bytes], None]
"""Called with a snapshot that has replaced the state. The commands that led to it are not
applied."""

OnIntroduced = Callable[[Introduction], Welcome]
"""Called with what a node, authenticated as ``node``, says of itself when it looks for the log."""


class Consensus(Protocol):
    """A log of commands, the same on every node, behind one event loop. Those that take part in it
    go by the names of their disks: a disk that was emptied is another one.

    Callbacks run in the loop that called ``start``, in log order, and before the ``propose`` that
    they answer returns. An implementation that applies elsewhere (in a thread of its own) keeps
    its own state machine; ``on_applied`` and ``on_restored`` let the loop keep another one level.

    ``is_leader`` and its kin are the last thing known, possibly out of date: hints on whom to
    ask, never permission to act.
    """

    async def start(
        self, on_applied: OnApplied, on_restored: OnRestored, on_introduced: OnIntroduced
    ) -> None:
        """Returns when the node takes part, or waits for other founders, or to be taken in. Raises
        ConfigError when it cannot: the port is in use, or files are unreadable."""

    async def propose(
        self, command: bytes, timeout_s: float, *, urgent: bool = True
    ) -> CommandResult:
        """Commits ``command`` and returns this node's result of applying it. Other nodes may apply
        it some tenths of a second later if it is not ``urgent``, with what comes next.

        Raises ``ProposalRefused`` if it was surely not committed, and ``ProposalUnknown`` if no
        answer came in time or the leader changed. A caller that is cancelled leaves the command
        under way.
        """

    @property
    def failure(self) -> ConfigError | None:
        """What was found after ``start`` and keeps this disk out for good."""

    @property
    def founders(self) -> Mapping[str, str]:
        """Node id to the name of its disk: the founders of the log, if this disk is one of them;
        else empty."""

    @property
    def is_alone(self) -> bool:
        """True for a log that nobody else can reach."""

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
        """The disks that take part, as far as this node knows. Some may not vote yet."""

    @property
    def voters(self) -> frozenset[str]:
        """Those of them whose majority commits."""

    @property
    def trouble(self) -> str | None:
        """What keeps this node from its peers, as far as it knows, in one sentence."""

    def watch(self, changed: Callable[[], None]) -> None:
        """``changed`` is called whenever entries were applied, or this node has come to know
        another leader, or to be level with it."""

    def watch_failure(self, on_failed: Callable[[str], None]) -> None:
        """``on_failed`` is called, once at most, with why this process can take part no more. It
        is to end: what is on its disk, or in its state, only the next start can tell."""

    async def transfer_leadership(self, to: str | None) -> bool:
        """Asks ``to`` (None: the most up-to-date peer) to lead. Only the leader can.

        Returns True when the request was sent; the leadership moves later or not at all.
        """

    def know_peers(self, peers: Mapping[str, Peer]) -> None:
        """Takes the members by node id, as the log has them. They name the ``leader``. To be told
        again when ``members`` changes."""

    async def add_peer(self, disk: str, timeout_s: float) -> None:
        """Takes ``disk`` in; does nothing if it takes part. One change at a time. It votes as soon
        as it has the log. Raises ``ProposalRefused`` or ``ProposalUnknown``."""

    async def remove_peer(self, disk: str, timeout_s: float) -> None:
        """Removes a member; does nothing if it is none. Neither the leader (transfer leadership
        first) nor the caller can be removed. Raises ``ProposalRefused`` or ``ProposalUnknown``."""

    async def stop(self) -> None:
        """Ends every task, connection and file of the log. Proposals under way end as
        ``ProposalUnknown``."""
