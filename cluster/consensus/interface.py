"""What the cluster needs of a replicated log. Implementations: ``raft``, ``single_node``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from cluster.log.state import CommandResult
from paceline.errors import PacelineError

PROPOSALS_MAX = 1_000
"""Proposals of one node under way at once; more are refused. The log takes about a thousand a
second, so more than this could not be answered within any deadline here."""


class ProposalRefused(PacelineError):
    """The command is not in the log and never will be: no leader, no quorum, a full queue."""


class ProposalUnknown(PacelineError):
    """The command may or may not be in the log, now or later."""


class StateMachine(Protocol):
    """What the log drives. Deterministic; ``apply`` never raises."""

    def apply(self, data: bytes) -> CommandResult: ...
    def snapshot(self) -> bytes: ...
    def restore(self, data: bytes) -> None: ...


OnApplied = Callable[[bytes, CommandResult, bool], None]
"""(command, result, replayed). ``replayed``: the entry was in the log before this process had
caught up with it; whoever proposed it is another process."""

OnRestored = Callable[[bytes], None]
"""The state was replaced by this snapshot; the commands that led to it are not applied."""


class Consensus(Protocol):
    """A log of commands, the same on every node, behind one event loop.

    Callbacks run in the loop that called ``start``, in log order, and before the ``propose`` that
    they answer returns. An implementation that applies elsewhere (in a thread of its own) keeps
    its own state machine; ``on_applied`` and ``on_restored`` let the loop keep another one level.

    ``is_leader`` and its kin are the last thing known, possibly out of date: hints on whom to
    ask, never permission to act.
    """

    async def start(self, on_applied: OnApplied, on_restored: OnRestored) -> None:
        """Returns when the node takes part (not when it has caught up). ConfigError when it
        cannot: port in use, unreadable files."""

    async def propose(self, command: bytes, timeout_s: float) -> CommandResult:
        """Commits ``command`` and gives this node's result of applying it.

        ``ProposalRefused``: surely not committed. ``ProposalUnknown``: no answer in time, or the
        leader changed. A caller that is cancelled leaves the command under way.
        """

    @property
    def is_leader(self) -> bool: ...

    @property
    def leader(self) -> str | None:
        """Id of the node that leads, as far as this one knows."""

    @property
    def has_quorum(self) -> bool:
        """Connected to more than half of the voters, this node included."""

    @property
    def synced(self) -> bool:
        """Applied everything that was committed when this node last heard of the leader."""

    @property
    def voters(self) -> frozenset[str]:
        """Consensus addresses of those whose majority commits, as far as this node knows; empty
        for a log that has no peers and never will."""

    @property
    def trouble(self) -> str | None:
        """What keeps this node from its peers, as far as it knows, in one sentence."""

    async def transfer_leadership(self, to: str | None) -> bool:
        """Asks ``to`` (None: whoever is most up to date) to lead; only the leader can.

        True when the request was sent; the leadership moves later or not at all.
        """

    def know_peers(self, addresses: Mapping[str, str]) -> None:
        """Consensus addresses by id, as the log has them: names for ``leader``."""

    async def add_peer(self, address: str, timeout_s: float) -> None:
        """Makes ``address`` a voter; nothing happens if it is one. One change at a time.
        ``ProposalRefused``, ``ProposalUnknown``."""

    async def remove_peer(self, address: str, timeout_s: float) -> None:
        """Removes a voter; nothing happens if it is none. Neither the leader (transfer
        leadership first) nor the caller can be removed. ``ProposalRefused``,
        ``ProposalUnknown``."""

    def allow_votes(self) -> None:
        """This disk is known to the cluster: it may vote on any log (see ``data_dir``)."""

    async def stop(self) -> None:
        """Ends every thread and socket; proposals under way end as ``ProposalUnknown``."""
