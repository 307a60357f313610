"""The simulator's implementation of ``cluster.consensus.interface.Consensus``, on ``raft``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cluster.consensus.interface import (
    PROPOSALS_MAX,
    OnApplied,
    OnRestored,
    ProposalRefused,
    ProposalUnknown,
)
from cluster.log.commands import COMMAND_BYTES_MAX
from cluster.log.state import CommandResult
from tests.simulation.raft import CONNECTED_S, Raft
from tests.simulation.raft_log import COMMAND, VOTERS

CHANGE_POLL_S = 0.05


class SimulatedRaft(Raft):
    """Proposals, of its own process and handed on by others, and what is asked of the log."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._asked: dict[int, asyncio.Future[CommandResult]] = {}
        """Proposals handed to a leader that has not said yet where they are."""
        self._requests = 0

    # -- Consensus ----------------------------------------------------------------------------

    async def start(self, on_applied: OnApplied, on_restored: OnRestored) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_applied, self._on_restored = on_applied, on_restored
        self._start()

    async def propose(self, command: bytes, timeout_s: float) -> CommandResult:
        if not self._running:
            raise ProposalRefused("consensus is not running")
        if len(command) > COMMAND_BYTES_MAX:
            raise ProposalRefused(f"a command of {len(command)} bytes is too large")
        if len(self._asked) + len(self._waiting) >= PROPOSALS_MAX:
            raise ProposalRefused(f"{PROPOSALS_MAX} proposals are under way already")
        if self._leader is None:
            raise ProposalRefused("the cluster has no leader that this node can reach")
        return await self._submit(COMMAND, command, timeout_s)

    async def _submit(self, kind: str, data: Any, timeout_s: float) -> CommandResult:
        future: asyncio.Future[CommandResult] = self._loop.create_future()
        self._requests += 1
        request = self._requests
        if self._role == "leader":
            self._accept(kind, data, future)
        else:
            self._asked[request] = future
            leader, me = self._leader, self.address
            assert leader is not None
            self._wire.send(me, leader, lambda raft: raft._asked_by(me, request, kind, data))
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise ProposalUnknown(f"no answer from the log within {timeout_s:g} s") from None
        finally:
            self._asked.pop(request, None)

    @property
    def is_leader(self) -> bool:
        return self._running and self._role == "leader"

    @property
    def leader(self) -> str | None:
        if not self._running or self._leader is None:
            return None
        return self._ids.get(self._leader, self._leader)

    @property
    def has_quorum(self) -> bool:
        if not self._running:
            return False
        since = self._loop.time() - self._pace * CONNECTED_S
        voters = self._disk.voters()
        heard = sum(v == self.address or self._heard.get(v, -1e9) > since for v in voters)
        return heard * 2 > len(voters)

    @property
    def synced(self) -> bool:
        return self._running and self._level and self._leader is not None

    @property
    def voters(self) -> frozenset[str]:
        return frozenset(self._disk.voters())

    @property
    def trouble(self) -> str | None:
        return None

    async def transfer_leadership(self, to: str | None) -> bool:
        if not self.is_leader:
            return False
        others = [v for v in self._disk.voters() if v != self.address]
        if to is not None:
            others = [v for v in others if self._ids.get(v) == to]
        if not others:
            return False
        target = max(others, key=lambda v: (self._match.get(v, 0), v))
        term = self._disk.term
        self._wire.send(self.address, target, lambda raft: raft._told_to_lead(term))
        return True

    def know_peers(self, addresses: Mapping[str, str]) -> None:
        self._ids.update({address: peer for peer, address in addresses.items()})

    async def add_peer(self, address: str, timeout_s: float) -> None:
        await self._change(address, True, timeout_s)

    async def remove_peer(self, address: str, timeout_s: float) -> None:
        if address == self.address:
            raise ProposalRefused("a node cannot remove itself; ask another node")
        if address == self._leader:
            raise ProposalRefused(f"{address} leads the log; transfer leadership first")
        await self._change(address, False, timeout_s)

    async def _change(self, address: str, present: bool, timeout_s: float) -> None:
        deadline = self._loop.time() + timeout_s
        refusal: Exception = ProposalRefused(f"the change of {address} was not accepted in time")
        while (address in self._disk.voters()) != present:
            left = deadline - self._loop.time()
            if not self._running or left <= 0:
                raise refusal
            if self._leader is not None:
                try:
                    await self._submit(VOTERS, (address, present), max(left, 0.01))
                except ProposalRefused as error:
                    refusal = error
            await asyncio.sleep(CHANGE_POLL_S)

    def allow_votes(self) -> None:
        self._may_vote = True

    async def stop(self) -> None:
        self._running = False
        self._role = "follower"
        self._leader = None
        self._fail_all(ProposalUnknown("this node is stopping"))

    # -- proposals ----------------------------------------------------------------------------

    def _asked_by(self, source: str, request: int, kind: str, data: Any) -> None:
        index = self._accept(kind, data, None) if self.is_leader else None
        term = self._disk.term if index is not None else None
        self._wire.send(self.address, source, lambda raft: raft._told_where(request, index, term))

    def _told_where(self, request: int, index: int | None, term: int | None) -> None:
        future = self._asked.pop(request, None)
        if future is None or future.done():
            return
        if index is None or term is None:
            future.set_exception(ProposalRefused("the leader has just changed"))
        elif index <= self._applied:
            future.set_exception(ProposalUnknown("applied before this node knew that it was its"))
        else:
            self._waiting[index] = (term, future)

    def _fail_all(self, error: Exception) -> None:
        for future in self._asked.values():
            if not future.done():
                future.set_exception(error)
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
        self._asked.clear()
        self._waiting.clear()
