"""One participant of a replicated log: drives ``core`` with a disk, links and a clock."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import Future
from collections.abc import Callable, Mapping

import structlog

from cluster.consensus.alarm import Alarm
from cluster.consensus.beginning import Beginning
from cluster.consensus.carrying_out import CarryingOut
from cluster.consensus.compacting import Compacting
from cluster.consensus.core.configuration import Change, Promote, needed_change
from cluster.consensus.core.log import InvariantBroken
from cluster.consensus.core.messages import Durable, Entry, Kind, Message, Ready, Snapshot, founded
from cluster.consensus.core.raft import ProposalDropped, Raft, Times
from cluster.consensus.environment import Disk, Links
from cluster.consensus.forwarding import Forward, Forwarded, Letter
from cluster.consensus.founding import Answer, Introduction
from cluster.consensus.interface import (
    PROPOSALS_MAX,
    OnApplied,
    OnIntroduced,
    OnRestored,
    Peer,
    ProposalRefused,
    ProposalUnknown,
    StateMachine,
)
from cluster.consensus.proposals import Proposals
from cluster.consensus.receipts import Receipts
from cluster.log.commands import COMMAND_BYTES_MAX
from cluster.log.state import CommandResult
from paceline.clock import now as clock_now
from paceline.errors import ConfigError

_log = structlog.get_logger()

TIMES = Times(tick_s=0.1, election_s=0.5)

COMPACT_ENTRIES = 2_000
"""The entries after which the log is compacted to a snapshot: eight minutes of lease renewals."""

CHANGE_RETRY_S = 0.05


class Participant:
    """An implementation of ``Consensus``. ``name``: of its disk.

    ``jitter`` gives numbers from 0 to 1. ``beginning``: how a disk without a log comes to one. A
    disk that has none is the only voter of its own.
    """

    def __init__(
        self,
        node_id: str,
        name: str,
        machine: StateMachine,
        disk: Disk,
        links: Links,
        jitter: Callable[[], float],
        times: Times,
        *,
        beginning: Beginning | None = None,
        compact_entries: int = COMPACT_ENTRIES,
    ) -> None:
        self.name = name
        self._node_id = node_id
        self._ids = {name: node_id}
        """Names of disks to node ids."""
        self._beginning = beginning
        self._begun: asyncio.Task[None] | None = None
        self.machine = machine
        self._disk = disk
        self._links = links
        self._jitter = jitter
        self._times = times
        self._compacting = Compacting(compact_entries)
        self._receipts = Receipts()
        self._running = False
        self._opened = False
        self._raft: Raft
        self._loop: asyncio.AbstractEventLoop
        self._alarm = Alarm(self._due)
        self._on_applied: OnApplied
        self._on_restored: OnRestored
        self._on_introduced: OnIntroduced
        self._watchers: list[Callable[[], None]] = []
        self._leader_and_level: tuple[str | None, bool] = (None, False)
        self._on_failed: Callable[[str], None] = lambda reason: None
        self._applied = 0
        self._found_entries_to = 0
        """The index of the last entry that was on the disk when the process began."""
        self._was_level = False
        self._carrying_out = CarryingOut(
            disk, self._carry_out, self._synced, self._withdraw, self._fail
        )
        self._failed: str | None = None
        self._failure: ConfigError | None = None
        self._proposals = Proposals(0)

    def watch(self, changed: Callable[[], None]) -> None:
        self._watchers.append(changed)

    # Consensus

    async def start(
        self, on_applied: OnApplied, on_restored: OnRestored, on_introduced: OnIntroduced
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_applied, self._on_restored = on_applied, on_restored
        self._on_introduced = on_introduced
        if self._beginning is None:
            await self._open(founded((self.name,)))
            return
        if not await self._disk.is_new():
            await self._open(None)
        self._begun = self._loop.create_task(self._begin(self._beginning))

    async def _begin(self, beginning: Beginning) -> None:
        try:
            if not self._opened:
                await self._open(await beginning.run())
            await beginning.stay_known(lambda: self.synced)
        except ConfigError as error:
            self._failure = error
        except Exception as error:
            self._fail("the log cannot be begun", error)

    async def _open(self, begin: Durable | None) -> None:
        boot, durable = await self._disk.open(begin)
        snapshot = durable.snapshot
        if snapshot.data:
            self.machine.restore(snapshot.data)
            self._on_restored(snapshot.data)
        self._applied = snapshot.index
        self._raft = Raft(self.name, boot, durable, self._times, self._jitter, self._loop.time())
        self._opened = True
        self._found_entries_to = self._raft.log.last
        self._proposals = Proposals(boot)
        self._running = True
        self._alarm.set(self._raft.deadline())

    async def propose(
        self, command: bytes, timeout_s: float, *, urgent: bool = True
    ) -> CommandResult:
        if len(command) > COMMAND_BYTES_MAX:
            raise ProposalRefused(f"a command of {len(command)} bytes is too large")
        return await self._submit(command, timeout_s, urgent)

    async def _submit(
        self, what: bytes | Change, timeout_s: float, urgent: bool = True
    ) -> CommandResult:
        if not self._running:
            raise ProposalRefused(self._failed or "consensus is not running")
        if len(self._proposals) >= PROPOSALS_MAX:
            raise ProposalRefused(f"{PROPOSALS_MAX} proposals are under way already")
        leader = self._raft.leader
        if leader is None:
            raise ProposalRefused(
                self.trouble or "the cluster has no leader that this node can reach"
            )
        future: Future[CommandResult] = self._loop.create_future()
        request = 0
        try:
            if self._raft.is_leader:
                self._accept(what, future, urgent)
            else:
                request = self._proposals.forward(future)
                self._links.send(Forward(self.name, leader, request, what))
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise ProposalUnknown(f"no answer from the log within {timeout_s:g} s") from None
        finally:
            self._proposals.forget(request, future)

    @property
    def failure(self) -> ConfigError | None:
        return self._failure

    @property
    def founders(self) -> Mapping[str, str]:
        if self._beginning is None:
            return {self._node_id: self.name}
        return self._beginning.promised or {}

    @property
    def is_alone(self) -> bool:
        return self._beginning is None

    @property
    def is_leader(self) -> bool:
        return self._running and self._raft.is_leader

    @property
    def leader(self) -> str | None:
        leader = self._raft.leader if self._running else None
        return None if leader is None else self._ids.get(leader, leader)

    @property
    def has_quorum(self) -> bool:
        """Not while the disk stands still: what others have decided is not applied here then."""
        return self.leader is not None and not self._carrying_out.trouble(self._loop.time())

    @property
    def synced(self) -> bool:
        return self._running and self._is_level and self._raft.leader is not None

    @property
    def members(self) -> frozenset[str]:
        return frozenset(self._raft.log.configuration.members if self._opened else ())

    @property
    def voters(self) -> frozenset[str]:
        return frozenset(self._raft.log.configuration.voters if self._opened else ())

    @property
    def trouble(self) -> str | None:
        if not self._running:
            return self._failed or (None if self._beginning is None else self._beginning.waits_for)
        trouble = self._carrying_out.trouble(self._loop.time())
        return trouble and f"the disk of {self._node_id} {trouble}"

    def watch_failure(self, on_failed: Callable[[str], None]) -> None:
        self._on_failed = on_failed

    async def transfer_leadership(self, to: str | None) -> bool:
        if not self.is_leader:
            return False
        target = next((name for name, peer in self._ids.items() if peer == to), to)
        went, ready = self._raft.transfer(target, self._loop.time())
        self._take(ready)
        return went

    def know_peers(self, peers: Mapping[str, Peer]) -> None:
        self._ids |= {peer.disk: node for node, peer in peers.items()}
        if self._beginning is not None:
            self._beginning.know_peers(peers)

    def introduced(self, other: Introduction) -> Answer:
        """Answers a node, authenticated as ``other.node``, that looks for the log."""
        assert self._beginning is not None, "nobody reaches one that is alone"
        return self._beginning.answer(other, self._on_introduced if self._opened else None)

    async def add_peer(self, disk: str, timeout_s: float) -> None:
        await self._change(disk, True, timeout_s)

    async def remove_peer(self, disk: str, timeout_s: float) -> None:
        if disk == self.name:
            raise ProposalRefused("a node cannot remove itself; ask another node")
        if disk == self._raft.leader:
            raise ProposalRefused(f"{self.leader} leads the log; transfer leadership first")
        await self._change(disk, False, timeout_s)

    async def _change(self, name: str, present: bool, timeout_s: float) -> None:
        """Asks again until the change is committed. The leader promotes learners by itself."""
        raft = self._raft
        deadline = self._loop.time() + timeout_s
        refusal: Exception = ProposalRefused(f"the change of {name} was not accepted in time")
        while change := needed_change(raft.log.configuration_at(raft.commit), name, present):
            left = deadline - self._loop.time()
            if not self._running or left <= 0:
                raise refusal
            try:
                await self._submit(change, left)
            except ProposalRefused as error:
                refusal = error
            await asyncio.sleep(CHANGE_RETRY_S)

    async def stop(self) -> None:
        was_open = self._opened
        self._running = self._opened = False
        if self._begun is not None and not self._begun.done():
            self._begun.cancel()
            await asyncio.wait([self._begun])
        self._alarm.cancel()
        await self._carrying_out.end()
        self._proposals.fail_all("this node is stopping")
        if was_open:
            await self._disk.close()

    # Events

    @property
    def is_running(self) -> bool:
        return self._running

    @property
    def applied(self) -> int:
        """The index of the last entry applied."""
        return self._applied

    def receive(self, letter: Letter) -> None:
        """Takes a message of another participant, authenticated as ``letter.source``."""
        if not self._running or self._carrying_out.is_blocked or letter.target != self.name:
            return
        match letter:
            case Forward():
                self._take_forward(letter)
            case Forwarded():
                self._proposals.answered(letter, self._applied)
            case Message():
                try:
                    ready = self._raft.step(letter, self._loop.time())
                except ValueError as error:
                    _log.warning("consensus message refused", source=letter.source, why=str(error))
                    return
                except InvariantBroken as error:
                    self._fail("the log is broken", error)
                    return
                self._take(ready)

    def unreachable(self, name: str) -> None:
        """The connection to ``name`` broke, as it does when its process ends."""
        if self._running and not self._carrying_out.is_blocked:
            self._take(self._raft.unreachable(name, self._loop.time()))

    def _due(self) -> None:
        if not self._running:
            return
        now, raft = self._loop.time(), self._raft
        if self._carrying_out.is_blocked:
            self._alarm.set(now + self._times.election_s)
            return
        if now >= raft.deadline():
            self._take(raft.tick(now))
        # Also where nothing was due: a log that is written to needs no heartbeats.
        self._promote(now)
        self._alarm.set(raft.deadline())

    def _promote(self, now: float) -> None:
        """As leader: learners that have the log become voters, one at a time."""
        for name in self._raft.log.configuration.learners:
            if self._raft.is_level(name, now):
                with contextlib.suppress(ProposalDropped):  # another change is under way
                    self._take(self._raft.change(Promote(name), now)[1])

    # What is decided

    def _take(self, ready: Ready) -> None:
        if ready.writes:
            # Not the time of the loop, which stands still in a turn: it may be before the proposal.
            self._receipts.note(ready.writes, clock_now())
        self._carrying_out.take(ready)
        if self._running:
            self._alarm.set(self._raft.deadline())
            if (self._raft.leader, self._is_level) != self._leader_and_level:
                self._tell()

    def _tell(self) -> None:
        self._leader_and_level = (self._raft.leader, self._is_level)
        for changed in self._watchers:
            changed()

    def _synced(self, mark: int) -> Ready:
        return self._raft.synced(mark, self._loop.time())

    def _withdraw(self) -> None:
        self._raft.withdraw(self._loop.time())
        # A leader without others waits for nothing, and would not stand again.
        self._alarm.set(self._raft.deadline())

    def _fail(self, what: str, error: BaseException) -> None:
        """Ends the part in the log. What is on the disk, or in the state, is not known: the next
        start will tell, so the process is to end."""
        self._failed = f"{what}: {error}"
        if isinstance(error, Exception):  # else the process is ending
            _log.error("log failed", reason=self._failed, exc_info=error)
        self._running = False
        self._carrying_out.drop()
        self._proposals.fail_all(self._failed)
        self._on_failed(self._failed)

    def _carry_out(self, ready: Ready) -> None:
        for message in ready.messages:
            self._links.send(message)
        if ready.applies:
            for one in ready.applies:
                self._apply(one)
            self._was_level = self._was_level or self._is_level
            self._tell()
            self._compact()
        elif not self._was_level:
            self._was_level = self._is_level

    @property
    def _is_level(self) -> bool:
        level_at = self._raft.level_at
        return level_at is not None and self._applied >= level_at

    def _apply(self, one: Entry | Snapshot) -> None:
        self._applied = one.index
        if isinstance(one, Snapshot):
            self._receipts.forget()
            self.machine.restore(one.data)
            self._on_restored(one.data)
            self._proposals.passed(one.index)
            return
        result = CommandResult(True)
        if one.kind == Kind.COMMAND:
            result = self.machine.apply(one.data)
            replayed = one.index <= self._found_entries_to or not self._was_level
            age_s = self._receipts.age_s(one.index, clock_now())
            self._on_applied(one.data, result, replayed, age_s)
        self._proposals.applied(one, result)

    def _compact(self) -> None:
        base = self._raft.log.base
        data = self._compacting.snapshot_if_due(self._applied, base, self.machine.snapshot)
        if data is not None:
            self._take(self._raft.compact(self._applied, data))

    # Proposals

    def _accept(self, what: bytes | Change, future: Future[CommandResult], urgent: bool) -> None:
        try:
            entry, ready = self._proposed(what, urgent)
        except ProposalDropped as error:
            future.set_exception(ProposalRefused(str(error)))
            return
        if entry is None:
            future.set_result(CommandResult(True))
        else:
            self._proposals.place(entry.index, entry.term, future)
        self._take(ready)

    def _proposed(self, what: bytes | Change, urgent: bool = True) -> tuple[Entry | None, Ready]:
        now = self._loop.time()
        if isinstance(what, bytes):
            entries, ready = self._raft.propose([what], now, urgent=urgent)
            return entries[0], ready
        return self._raft.change(what, now)

    def _take_forward(self, forward: Forward) -> None:
        index = term = 0
        reason = ""
        try:
            entry, ready = self._proposed(forward.what)
        except ProposalDropped as error:
            reason = str(error)
        else:
            if entry is not None:
                index, term = entry.index, entry.term
            self._take(ready)
        self._links.send(Forwarded(self.name, forward.source, forward.request, index, term, reason))
