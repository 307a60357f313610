"""Who takes part in the replicated log, kept level with what the log says of the members."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from cluster.consensus.founding import Introduction, Welcome
from cluster.consensus.interface import (
    Consensus,
    Peer,
    ProposalRefused,
    ProposalUnknown,
)
from cluster.log import commands as c
from cluster.log.state import CommandResult, ReplicatedState
from paceline.errors import PacelineError

_log = structlog.get_logger()

COMPARE_S = 0.5
"""The leader compares those that take part with the log this often."""

CHANGE_S = 2.0
"""The limit for one change."""

Own = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
Commit = Callable[[c.Command, float], Awaitable[CommandResult]]


class LogMembers:
    """``node_id`` and ``disk``: this node's. ``own`` runs a task that ends with the node."""

    def __init__(
        self,
        consensus: Consensus,
        state: ReplicatedState,
        node_id: str,
        disk: str,
        own: Own,
        commit: Commit,
    ) -> None:
        self._consensus = consensus
        self._state = state
        self._node_id = node_id
        self._disk = disk
        self._own = own
        self._commit = commit
        self._told: tuple[dict[str, Peer], frozenset[str]] = {}, frozenset()
        self._compare_at = float("-inf")
        self._changing: asyncio.Task[None] | None = None
        self._naming: dict[str, asyncio.Task[None]] = {}

    def introduced(self, other: Introduction) -> Welcome:
        """Answers a node that looks for the log. A member's first disk gets its name in the log, by
        whoever hears of it first, once it has repeated the number of its admission. Not so one that
        may be in another log, or in what this one was before it was recovered: there it may have
        what is otherwise here."""
        state, consensus = self._state, self._consensus
        node_id, disk, founders = other.node, other.disk, dict(state.founders)
        known = state.disks.get(node_id)
        if known == disk:
            return Welcome(accepted=True, founders=founders)
        refusal = "other-disk" if node_id in state.voters else "not-a-member"
        if node_id in state.voters and known is None:
            if other.founded is None and disk not in state.former_disks:
                number = state.admission_of(node_id)
                comes_by_it = other.admission in (None, number)
                may_be_named = comes_by_it and other.promised in (None, founders)
                if may_be_named and node_id not in self._naming:
                    naming = c.NameDisk(node_id, disk, other.admission)
                    self._naming[node_id] = task = self._own(self._name(naming))
                    task.add_done_callback(lambda _: self._naming.pop(node_id, None))
                return Welcome(founders=founders, admission=number)
            refusal = "former-log"
        certain = consensus.is_leader and consensus.synced and bool(state.cluster_id)
        return Welcome(refusal=refusal if certain else "", founders=founders)

    def follow(self, now: float) -> bool:
        """As leader, makes the log's participants the disks that the log names, so that a change
        which its caller did not finish is finished by whoever leads. Returns False if this node
        leads, but is no member any more, or not with this disk: another one has to."""
        consensus, state = self._consensus, self._state
        disks = state.disks
        peers = {node: Peer(at, disks[node]) for node, at in state.voters.items() if node in disks}
        if (peers, consensus.members) != self._told:
            self._told = peers, consensus.members
            consensus.know_peers(peers)
        if now < self._compare_at or not peers:
            return True
        if not (consensus.is_leader and consensus.synced):
            return True
        self._compare_at = now + COMPARE_S
        if self._node_id not in state.voters or disks.get(self._node_id, self._disk) != self._disk:
            return False
        wanted = frozenset(peer.disk for peer in peers.values())
        if consensus.members != wanted and (self._changing is None or self._changing.done()):
            self._changing = self._own(self._change(wanted))
        return True

    async def _change(self, wanted: frozenset[str]) -> None:
        """Tries each change, whatever becomes of the others: one may be possible only after
        another, as the removal of one that answers after that of one that does not."""
        present = self._consensus.members
        changes = [(self._consensus.add_peer, disk) for disk in sorted(wanted - present)]
        changes += [(self._consensus.remove_peer, disk) for disk in sorted(present - wanted)]
        for change, disk in changes:
            try:
                await change(disk, CHANGE_S)
            except (ProposalRefused, ProposalUnknown) as error:
                _log.warning(
                    "the log does not follow the change of members yet",
                    disk=disk,
                    reason=str(error),
                )

    async def _name(self, naming: c.NameDisk) -> None:
        try:
            result = await self._commit(naming, CHANGE_S)
        except PacelineError as error:
            _log.debug("a disk is not named yet", node=naming.id, reason=str(error))
        else:
            _log.info("a new disk", node=naming.id, disk=naming.disk_id, accepted=result.ok)
