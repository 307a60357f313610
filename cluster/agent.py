"""A node's part in the cluster: drives the lease, registers the node, answers from the log."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from cluster.consensus.interface import (
    Consensus,
    NotAccepted,
    ProposalRefused,
    ProposalUnknown,
)
from cluster.data_dir import DataDir
from cluster.log import commands as c
from cluster.log.primary_lease import (
    Acquired,
    Action,
    LeaseEvent,
    LeaseKeeper,
    Lost,
    PrimaryLeaseTimes,
    Propose,
    Renewed,
    TransferLeadership,
)
from cluster.log.state import CommandResult, ReplicatedState, members_in
from cluster.log.view import ClusterView, Member
from cluster.log_members import LogMembers
from paceline.clock import now as clock_now
from paceline.dax import attribute_lists
from paceline.errors import ConfigError, RequestError, Unavailable

_log = structlog.get_logger()
_T = TypeVar("_T")

LOOK_S = 0.5
"""The agent looks at least so often, also if it knows of nothing that is due."""

LOOK_MIN_S = 0.002
"""What is due is noticed this late at most; uses ask the clock themselves."""

RETRY_S = 0.1
"""The pause before a repeatable command is tried again; an election takes half a second."""

PROPOSE_S = 2.0
"""The limit for one attempt. A proposal lost with a leader is answered by the next leader."""

LIST_DEFINITIONS_MAX = 500
"""The most attribute lists that are being defined at once; further ones are refused."""


class Agent:
    """Everything here belongs to one event loop. ``founders`` (node id to consensus address) and
    ``lease`` are the same on all nodes; ``member.incarnation`` is random for each process.

    ``on_lease``: a holder learns that it lost the lease from its own clock (``primary_until``),
    at each use; the ``Lost`` event comes up to a tick later and is no substitute.
    """

    def __init__(
        self,
        consensus: Consensus,
        member: Member,
        founders: Mapping[str, str],
        lease: PrimaryLeaseTimes,
        data_dir: DataDir | None = None,
        *,
        list_id: Callable[[Sequence[str]], int] = attribute_lists.list_id,
        clock: Callable[[], float] = clock_now,
    ) -> None:
        self._consensus = consensus
        self._member = member
        self._founders = dict(founders)
        self._data_dir = data_dir
        self._disk_id = member.incarnation if data_dir is None else data_dir.identity.disk_id
        self._clock = clock
        self.state = ReplicatedState(list_id)
        self._keeper = LeaseKeeper(
            member.id, member.incarnation, lease.primary_s, lease.renew_s, lease.margin
        )
        self._view = self.state.view
        self._views: list[Callable[[ClusterView], None]] = []
        self._lease_events: list[Callable[[LeaseEvent], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._defining: dict[tuple[str, ...], asyncio.Task[int]] = {}
        self._leader: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looked = asyncio.Event()
        self._registration: asyncio.Task[None] | None = None
        self._transferring: asyncio.Task[None] | None = None
        self._members = LogMembers(
            consensus, self.state, member.id, self._disk_id, self._own, self.commit
        )
        self._stopped = False

    # What the cluster looks like

    @property
    def view(self) -> ClusterView:
        return self._view

    def address_of(self, node_id: str) -> str | None:
        """As the view of now has it."""
        return self._view.address_of(node_id)

    @property
    def epoch(self) -> int:
        return self._view.epoch

    @property
    def primary_until(self) -> float:
        """On this agent's clock; -inf when this node is not the holder. Over as soon as the
        clock says so: compare at each use."""
        return self._keeper.until

    @property
    def registered(self) -> bool:
        task = self._registration
        return bool(task and task.done() and not task.cancelled() and not task.exception())

    @property
    def consensus(self) -> Consensus:
        return self._consensus

    def names_of(self, list_id: int) -> tuple[str, ...] | None:
        return self.state.names_of(list_id)

    def id_of(self, names: tuple[str, ...]) -> int | None:
        return self.state.id_of(names)

    def subscribe(self, callback: Callable[[ClusterView], None]) -> Callable[[], None]:
        """Called with each new view, in the loop; gives back what ends the subscription."""
        self._views.append(callback)
        return lambda: self._views.remove(callback) if callback in self._views else None

    def on_lease(self, callback: Callable[[LeaseEvent], None]) -> None:
        """Called in the loop with every ``Acquired``, ``Renewed`` and ``Lost`` of this node."""
        self._lease_events.append(callback)

    # Life

    async def start(self, timeout_s: float = 30.0) -> None:
        """Returns when the cluster has registered this node.

        Raises ConfigError if this node can never take part as it is configured, and Unavailable
        after ``timeout_s``; registration goes on then, and ``wait_registered`` waits for it.
        """
        self._consensus.watch(self._look)
        await self._consensus.start(self._on_applied, self._on_restored, self._members.introduced)
        self._look()
        self._registration = self._own(self._register_until_done())
        await self.wait_registered(timeout_s)

    async def wait_registered(self, timeout_s: float) -> None:
        """Waits like ``start``, for another ``timeout_s``."""
        assert self._registration is not None
        try:
            await self._ended(self._registration, timeout_s)
        except TimeoutError:
            why = self._consensus.trouble or "more than half of the members must be connected"
            raise Unavailable(
                f"{self._member.id} was not registered within {timeout_s:g} s: {why}"
            ) from None

    def decline(self) -> None:
        """Neither holds nor claims the primary lease or Raft leadership until ``resume``; a later
        grant is released. Call it only when no read lease is out and no write will be sent."""
        self._carry_out(self._keeper.release(self._clock()))
        self._look()

    async def release(self, timeout_s: float = 5.0) -> None:
        """Declines, and returns when the log says so. Raises Unavailable if that takes too long;
        the lease then ends by running out."""
        self.decline()
        deadline = self._clock() + timeout_s
        while not self._keeper.released:
            await self._looks_again(deadline, "the release of the lease is not in the log yet")

    def resume(self) -> None:
        self._keeper.resume()

    def begin_epoch(self) -> None:
        """As the holder, begins a new epoch with the present members. No fence may be open."""
        self._keeper.want_new_epoch()
        self._look()

    async def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._carry_out(self._keeper.release(self._clock()))
        for task in (tasks := list(self._tasks)):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)  # cancelled, and none of them catches that
        await self._consensus.stop()

    async def define_attribute_list(self, names: Sequence[str], timeout_s: float) -> int:
        """Returns the id of ``names`` in the log. Unavailable; RequestError at a limit."""
        key = tuple(names)
        known = self.state.id_of(key)
        if known is not None:
            return known
        task = self._defining.get(key)
        if task is None:
            if len(self._defining) >= LIST_DEFINITIONS_MAX:
                raise Unavailable("too many new attribute lists at once")
            task = self._own(self._define(key, timeout_s))
            self._defining[key] = task
            task.add_done_callback(lambda _: self._defining.pop(key, None))
        try:
            return await self._ended(task, timeout_s)
        except TimeoutError:
            raise Unavailable("the new attribute list is not in the log yet") from None

    async def _ended(self, task: asyncio.Task[_T], timeout_s: float) -> _T:
        """Returns what ``task`` does, which goes on after a timeout or a cancelled caller."""
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # only ``stop`` does that; else it is the caller's own
                raise Unavailable("this node is stopping") from None
            raise

    async def register(self, member: Member, timeout_s: float) -> None:
        """Replaces the log's record of this node: its addresses, whether it is draining."""
        self._member = member
        result = await self.commit(c.RegisterMember(member, self._disk_id), timeout_s)
        if not result.ok:
            raise self._not_accepted(result.reason)

    async def add_member(self, node_id: str, address: str, timeout_s: float) -> None:
        """Admits a node at a consensus address; then start it, with all members as its peers. It
        counts in the majorities of fences from the next epoch on."""
        if self._consensus.is_alone:
            raise Unavailable(
                "nobody can reach this node: to let its cluster grow, start it with a secret "
                "(PACELINE_SECRET) and with its own address as the only one of PACELINE_PEERS"
            )
        result = await self.commit(c.AdmitMember(node_id, address), timeout_s)
        if not result.ok:
            raise RequestError("ValidationException", result.reason)

    async def remove_member(self, node_id: str, timeout_s: float) -> None:
        """Removes a node from the log and from Raft. On return it may be switched off for good."""
        deadline = self._clock() + timeout_s
        disk, remove = self.state.disks.get(node_id), c.RemoveMember(node_id)
        result = await self.commit(remove, timeout_s)
        if not (result.ok or result.reason == "not-a-member"):
            raise RequestError("ValidationException", result.reason)
        while disk is not None:
            while disk in self._consensus.members:
                await self._looks_again(deadline, "removed from the log, and not yet from Raft")
            # Raft counts without it, committed or not; that a later entry is committed, it tells.
            await self.commit(remove, deadline - self._clock())
            if disk not in self._consensus.members:
                return

    async def _define(self, names: tuple[str, ...], timeout_s: float) -> int:
        try:
            result = await self.commit(c.DefineAttributeList(names), timeout_s)
        except ValueError as error:
            raise RequestError("ValidationException", f"too many attributes: {error}") from error
        if result.ok:
            return result.value
        raise RequestError("LimitExceededException", result.reason)

    async def commit(self, command: c.Command, timeout_s: float) -> CommandResult:
        """Commits a command that may be applied twice. Raises Unavailable after ``timeout_s``."""
        data, deadline = c.encode(command), self._clock() + timeout_s
        while True:
            left = deadline - self._clock()
            try:
                return await self._consensus.propose(data, min(PROPOSE_S, max(0.01, left)))
            except (ProposalRefused, ProposalUnknown) as error:
                if left <= RETRY_S:
                    raise Unavailable(f"the replicated log did not answer: {error}") from error
            await asyncio.sleep(RETRY_S)

    async def _register_until_done(self) -> None:
        register = c.encode(c.RegisterMember(self._member, self._disk_id))
        while True:
            try:
                if not self._consensus.synced:
                    if self._consensus.failure is not None:
                        raise self._told(self._consensus.failure)
                    raise ProposalRefused("not level with the log yet")
                if not self.state.cluster_id:
                    bootstrap = c.Bootstrap(
                        secrets.token_hex(16), self._founders, self._consensus.founders
                    )
                    await self._consensus.propose(c.encode(bootstrap), PROPOSE_S)
                result = await self._consensus.propose(register, PROPOSE_S)
            except (ProposalRefused, ProposalUnknown) as error:
                _log.debug("not registered yet", reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            if not result.ok:
                raise self._not_accepted(result.reason)
            if self._data_dir is not None:
                await asyncio.to_thread(self._data_dir.mark_joined)
            _log.info("registered", node=self._member.id, number=result.value)
            return

    def _told(self, error: ConfigError) -> ConfigError:
        return self._not_accepted(error.reason) if isinstance(error, NotAccepted) else error

    def _not_accepted(self, reason: str) -> ConfigError:
        node = self._member.id
        if reason == "other-disk":
            where = "memory" if self._data_dir is None else str(self._data_dir.path)
            return ConfigError(
                f"the cluster knows {node} with another data directory than {where}. Give it the "
                f"old directory back; if that is lost, remove {node} from the cluster and add it "
                "again, or start this node under a new id"
            )
        if reason == "former-log":
            return ConfigError(
                f"{node} was added to this cluster anew, and begins with an empty data directory: "
                "this one holds the log of a former member"
            )
        if reason == "not-a-member":
            return ConfigError(
                f"{node} is not a member of this cluster (any more); add it on a running node"
            )
        return ConfigError(f"the cluster does not accept {node}: {reason}")

    # What the log says

    def _on_applied(self, data: bytes, result: CommandResult, replayed: bool, age_s: float) -> None:
        command = c.decode(data)
        own = self.state.apply_command(command)
        if own != result:
            _log.error("this node's two copies of the state differ", log=result, loop=own)
        record, now = self.state.lease, self._clock()
        self._carry_out(self._keeper.applied(command, own, record, replayed, now, now - age_s))
        self._state_changed()

    def _on_restored(self, snapshot: bytes) -> None:
        self.state.restore(snapshot)
        self._carry_out(self._keeper.restored(self.state.lease, self._clock()))
        self._state_changed()

    def _state_changed(self) -> None:
        view = self.state.view
        if view is self._view:
            return
        self._view = view
        for callback in list(self._views):
            _guarded(callback, view)

    # The lease

    def _look(self) -> None:
        """Does what is due, and looks again when there is more to do."""
        if self._stopped:
            return
        leader = self._consensus.leader
        if leader != self._leader:
            self._leader = leader
            _log.info("leader of the log", leader=leader)
        leads, members = self._consensus.is_leader, members_in(self.state.voters)
        synced = self._consensus.synced and bool(self.state.cluster_id)
        self._carry_out(self._keeper.tick(self._clock(), leads, synced, members))
        if not self._members.follow(self._clock()):
            self._transfer(None)
        now = self._clock()
        pause_s = self._keeper.deadline(now, leads, synced, members) - now
        if self._timer is not None:
            self._timer.cancel()
        pause_s = min(max(pause_s, LOOK_MIN_S), LOOK_S)
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._look)
        self._looked.set()
        self._looked.clear()

    async def _looks_again(self, deadline: float, why: str) -> None:
        """Returns after the next look, which comes with what the log says. Unavailable."""
        if self._clock() >= deadline:
            raise Unavailable(why)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):  # none comes once this has stopped
                await self._looked.wait()

    def _carry_out(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Propose(command):
                    if not self._stopped:
                        self._own(self._propose(command))
                case TransferLeadership(to):
                    self._transfer(to)
                case Acquired() | Renewed() | Lost():
                    if not isinstance(action, Renewed):
                        _log.info("primary lease", change=type(action).__name__, epoch=action.epoch)
                    for callback in list(self._lease_events):
                        _guarded(callback, action)

    async def _propose(self, command: c.Grant | c.Release) -> None:
        try:
            urgent = not self._keeper.renews(command, self._clock())
            await self._consensus.propose(c.encode(command), PROPOSE_S, urgent=urgent)
        except ProposalRefused:
            self._keeper.not_committed(command, self._clock())
            self._look()
        except ProposalUnknown:
            pass  # the keeper proposes again by itself, and counts from the older proposal if
            # that one turns out to be the one applied

    def _transfer(self, to: str | None) -> None:
        if self._stopped or not (self._transferring is None or self._transferring.done()):
            return

        async def transfer() -> None:
            sent = await self._consensus.transfer_leadership(to)
            _log.debug("raft leadership asked to move", to=to, sent=sent)

        self._transferring = self._own(transfer())

    def _own(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        _ = task.cancelled() or task.exception()  # seen by who waits for the task, if any does


def _guarded(callback: Callable[[Any], None], argument: Any) -> None:
    """A subscriber's mistake must not keep the lease from being renewed."""
    try:
        callback(argument)
    except Exception:
        _log.exception("a subscriber failed", subscriber=repr(callback))
