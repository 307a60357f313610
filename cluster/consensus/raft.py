"""Consensus on pysyncobj, in a thread of its own.

Only the modules named ``raft…`` know pysyncobj. How it is set up, and why it may be trusted
only so far, is in ``docs/adr/0001-pysyncobj.md``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import hmac
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future as ThreadFuture
from dataclasses import dataclass
from typing import Any

import structlog
from pysyncobj import FAIL_REASON, SyncObj, SyncObjException

from cluster.consensus.interface import (
    PROPOSALS_MAX,
    OnApplied,
    OnRestored,
    ProposalRefused,
    ProposalUnknown,
    StateMachine,
)
from cluster.consensus.raft_consumer import LogConsumer
from cluster.consensus.raft_files import check_raft_files
from cluster.consensus.raft_setup import (
    TIMINGS,
    bind_failed,
    check_bind,
    configuration,
    quiet_pysyncobj,
    resolve_bind,
    split_address,
)
from cluster.consensus.raft_sockets import is_out_of_descriptors
from cluster.consensus.raft_transport import PeerTransport, TransportOptions
from cluster.data_dir import DataDir
from cluster.log.commands import COMMAND_BYTES_MAX
from cluster.log.state import CommandResult
from paceline.clock import now
from paceline.errors import ConfigError

_log = structlog.get_logger()

TICK_S = 0.02
"""Longest sleep of the thread. Messages and proposals wake it at once; time-outs do not."""

COMPACT_ENTRIES = 2_000
"""Journal entries before they become a snapshot: eight minutes of lease renewals."""

START_S = 30.0
"""Key derivation and reading the files take well under a second on an idle machine."""

STOP_S = 10.0
"""For the thread to end: a tick, and a dump if one is being written."""

CHANGE_RETRY_S = 0.1
"""pysyncobj refuses a change of members while the one before it is not committed."""

TICK_FAILURE_LOG_S = 10.0

STALLED_S = 2.0
"""Without a tick for so long, nothing that the thread once saw counts any more."""

_LEADER = 2  # pysyncobj's number of the state

_CERTAINLY_NOT = {
    FAIL_REASON.QUEUE_FULL: "too many commands are waiting",
    FAIL_REASON.MISSING_LEADER: "the cluster has no leader now",
    FAIL_REASON.DISCARDED: "another leader's command took its place",
    FAIL_REASON.NOT_LEADER: "the leader has just changed",
    FAIL_REASON.REQUEST_DENIED: "the leader denied it",
}


@dataclass(frozen=True, slots=True)
class _Status:
    """What the thread last saw; replaced as a whole, so any thread may read it."""

    is_leader: bool = False
    leader: str | None = None
    has_quorum: bool = False
    synced: bool = False
    voters: frozenset[str] = frozenset()


class RaftConsensus:
    """One voter. ``peers``: id to consensus address of every voter, this one included; the log
    knows better once there is one. See ``Consensus``.

    ``bind``: where to listen. ``dial_map``: configured address to the address to dial instead;
    of two peers the one with the greater address (as text) dials. ``machine`` belongs to the
    thread from ``start`` on.
    """

    def __init__(
        self,
        *,
        node_id: str,
        peers: Mapping[str, str],
        bind: str,
        secret: str,
        cluster: str,
        data_dir: DataDir,
        machine: StateMachine,
        dial_map: Mapping[str, str] | None = None,
        compact_entries: int = COMPACT_ENTRIES,
    ) -> None:
        if node_id not in peers:
            raise ConfigError(f"the peers {sorted(peers)} do not name this node, {node_id!r}")
        if len(set(peers.values())) != len(peers):
            raise ConfigError("two peers have the same consensus address")
        for peer, address in peers.items():
            split_address(address, f"consensus address of {peer}")
        if not secret:
            raise ConfigError(
                "nodes of one cluster need a secret in common: set PACELINE_SECRET or "
                "PACELINE_SECRET_FILE"
            )
        self._id = node_id
        self._address = peers[node_id]
        self._founders = dict(peers)
        self._ids = {address: peer for peer, address in peers.items()}
        self._bind = split_address(bind, "consensus bind address")
        self._password = hmac.digest(
            secret.encode(), b"paceline consensus " + cluster.encode(), hashlib.sha256
        ).hex()
        self._data_dir = data_dir
        self._machine = machine
        self._compact_entries = compact_entries
        self._options = TransportOptions(dict(dial_map or {}), data_dir.identity.joined)
        self._status = _Status()
        self._calls: queue.SimpleQueue[Callable[[SyncObj], None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._consumer: LogConsumer | None = None
        self._waiting: set[asyncio.Future[tuple[Any, int]]] = set()
        self._elected_at_commit = 0
        self._turned_at = float("-inf")
        self._running = False
        self._on_applied: OnApplied | None = None
        self._on_restored: OnRestored | None = None

    async def start(self, on_applied: OnApplied, on_restored: OnRestored) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_applied, self._on_restored = on_applied, on_restored
        quiet_pysyncobj()
        started: ThreadFuture[None] = ThreadFuture()
        started.set_running_or_notify_cancel()  # else who gives up the wait ends the thread halfway
        self._thread = threading.Thread(target=self._run, args=(started,), name="raft", daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(START_S):
                await asyncio.wrap_future(started)
        except TimeoutError:
            raise ConfigError(f"consensus did not start within {START_S:.0f} s") from None
        self._running = True

    async def propose(self, command: bytes, timeout_s: float) -> CommandResult:
        if not self._running or self._consumer is None:
            raise ProposalRefused("consensus is not running")
        if len(command) > COMMAND_BYTES_MAX:
            raise ProposalRefused(f"a command of {len(command)} bytes is too large")
        if self._status.leader is None:
            raise ProposalRefused("the cluster has no leader that this node can reach")
        consumer = self._consumer
        outcome = await self._submit(
            lambda callback: consumer.append(command, callback=callback), timeout_s
        )
        assert isinstance(outcome, CommandResult)
        return outcome

    @property
    def is_leader(self) -> bool:
        return self._known.is_leader

    @property
    def leader(self) -> str | None:
        address = self._known.leader
        return None if address is None else self._ids.get(address, address)

    @property
    def has_quorum(self) -> bool:
        return self._known.has_quorum

    @property
    def synced(self) -> bool:
        return self._known.synced

    @property
    def members(self) -> frozenset[str]:
        return self._status.voters

    @property
    def auth_failures(self) -> int:
        """Messages received that were not encrypted with this cluster's secret."""
        return self._options.trouble.auth_failures

    @property
    def trouble(self) -> str | None:
        if self._running and self._still_s > STALLED_S:
            return f"the consensus thread has not turned for {self._still_s:.0f} s"
        return self._options.trouble.description

    @property
    def _still_s(self) -> float:
        return now() - self._turned_at

    @property
    def _known(self) -> _Status:
        return self._status if self._still_s <= STALLED_S else _Status()

    def watch_failure(self, on_failed: Callable[[str], None]) -> None:
        """pysyncobj does not tell: its thread stops turning, which ``trouble`` says."""

    async def transfer_leadership(self, to: str | None) -> bool:
        if not self._running or not self.is_leader:
            return False
        address = None if to is None else self._address_of(to)
        if to is not None and address is None:
            return False
        assert self._loop is not None
        sent: asyncio.Future[tuple[Any, int]] = self._loop.create_future()
        answer = self._answer(sent)
        self._calls.put(lambda raft: raft.transferLeadership(address, answer))
        self._waiting.add(sent)
        try:
            async with asyncio.timeout(TIMINGS["connectionTimeout"]):
                _, reason = await sent
        except (TimeoutError, ProposalUnknown):
            return False
        finally:
            self._waiting.discard(sent)
        return bool(reason == FAIL_REASON.SUCCESS)

    def know_peers(self, addresses: Mapping[str, str]) -> None:
        self._ids = {address: peer for peer, address in {**self._founders, **addresses}.items()}

    async def add_peer(self, address: str, timeout_s: float) -> None:
        split_address(address, "consensus address of a new peer")
        await self._change("addNodeToCluster", address, True, timeout_s)

    async def remove_peer(self, address: str, timeout_s: float) -> None:
        if address == self._address:
            raise ProposalRefused("a node cannot remove itself; ask another node")
        if address == self._status.leader:
            raise ProposalRefused(f"{address} leads the log; transfer leadership first")
        await self._change("removeNodeFromCluster", address, False, timeout_s)

    def allow_votes(self) -> None:
        self._options.may_vote = True

    async def stop(self) -> None:
        self._running = False
        self._stop.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, thread.join, STOP_S)
            if thread.is_alive():
                _log.error("the consensus thread did not end", waited_s=STOP_S)
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(ProposalUnknown("this node is stopping"))
        self._status = _Status()

    # Proposals

    async def _submit(self, send: Callable[[Callable[..., None]], None], timeout_s: float) -> Any:
        if len(self._waiting) >= PROPOSALS_MAX:
            raise ProposalRefused(f"{PROPOSALS_MAX} proposals are under way already")
        assert self._loop is not None
        future: asyncio.Future[tuple[Any, int]] = self._loop.create_future()
        self._waiting.add(future)
        try:
            # Queued all the same: only the pipe that wakes the thread is full, so it is awake.
            with contextlib.suppress(BlockingIOError):
                send(self._answer(future))
            # Not wait_for: in Python 3.11 it may lose a cancellation to an answer.
            async with asyncio.timeout(timeout_s):
                result, reason = await future
        except TimeoutError:
            raise ProposalUnknown(f"no answer from the log within {timeout_s:g} s") from None
        finally:
            self._waiting.discard(future)
        if reason == FAIL_REASON.SUCCESS:
            return result
        if reason in _CERTAINLY_NOT:
            raise ProposalRefused(_CERTAINLY_NOT[reason])
        raise ProposalUnknown("the leader changed while it was under way")

    def _answer(self, future: asyncio.Future[tuple[Any, int]]) -> Callable[[Any, int], None]:
        def resolve(result: Any, reason: int) -> None:
            if not future.done():
                future.set_result((result, reason))

        return lambda result, reason: self._hop(resolve, result, reason)

    async def _change(self, method: str, address: str, present: bool, timeout_s: float) -> None:
        deadline = now() + timeout_s
        refusal = ProposalRefused(f"the change of {address} was not accepted in time")
        while now() < deadline:
            if not self._running:
                raise ProposalRefused("consensus is not running")
            if (address in self._status.voters) == present:
                return
            send = functools.partial(self._send_change, method, address)
            try:
                await self._submit(send, max(0.01, deadline - now()))
            except ProposalRefused as error:
                refusal = error
            await asyncio.sleep(CHANGE_RETRY_S)
        raise refusal

    def _send_change(self, method: str, address: str, callback: Callable[..., None]) -> None:
        self._calls.put(lambda raft: getattr(raft, method)(address, callback))

    def _address_of(self, node_id: str) -> str | None:
        return next((a for a, peer in self._ids.items() if peer == node_id), None)

    # The thread

    def _run(self, started: ThreadFuture[None]) -> None:
        try:
            raft = self._build()
        except BaseException as error:
            self._options.reserve.close()
            started.set_exception(error)
            return
        started.set_result(None)
        failure_logged = float("-inf")
        while not self._stop.is_set():
            try:
                self._run_calls(raft)
                raft.doTick(TICK_S)
                self._publish(raft)
            except Exception as error:
                if is_out_of_descriptors(error):
                    self._options.reserve.give()  # what the tick could not open, the next one can
                if now() - failure_logged >= TICK_FAILURE_LOG_S:
                    failure_logged = now()
                    _log.exception("consensus tick failed; going on")
                self._stop.wait(TICK_S)
        raft.destroy()
        self._options.reserve.close()

    def _build(self) -> SyncObj:
        host = resolve_bind(self._bind)
        check_bind(host, self._bind)
        journal, dump = self._data_dir.raft_journal, self._data_dir.raft_dump
        journal_end = check_raft_files(journal, dump)
        conf = configuration(
            bind=f"{host}:{self._bind[1]}",
            password=self._password,
            journal=str(journal),
            dump=str(dump),
            tick_s=TICK_S,
            compact_entries=self._compact_entries,
            state_changed=self._state_changed,
        )
        self._consumer = LogConsumer(
            self._machine, journal_end, self._hop_applied, self._hop_restored
        )
        others = [a for a in self._founders.values() if a != self._address]
        try:
            self._raft = SyncObj(
                self._address,
                others,
                conf,
                consumers=[self._consumer],
                transportClass=functools.partial(PeerTransport, self._options),
            )
        except SyncObjException as error:
            raise bind_failed(self._bind, self._options.trouble.bind_error) from error
        return self._raft

    def _state_changed(self, _old: int, new: int) -> None:
        if new == _LEADER:
            self._elected_at_commit = self._raft.raftCommitIndex

    def _run_calls(self, raft: SyncObj) -> None:
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return
            call(raft)

    def _publish(self, raft: SyncObj) -> None:
        self._turned_at = now()
        is_leader = raft._isLeader()
        leader = raft._getLeader()
        if not is_leader and leader is not None and not raft.isNodeConnected(leader):
            leader = None  # pysyncobj names it until the next election, which may never come
        commit = raft.raftCommitIndex
        status = _Status(
            is_leader=is_leader,
            leader=None if leader is None else leader.id,
            has_quorum=raft.hasQuorum,
            # A leader knows what is committed once an entry of its own term is.
            synced=raft.isReady()
            and leader is not None
            and raft.raftLastApplied >= commit
            and (not is_leader or commit > self._elected_at_commit),
            voters=frozenset(node.id for node in raft.otherNodes) | {self._address},
        )
        if status != self._status and not self._stop.is_set():
            if (status.leader, status.is_leader) != (self._status.leader, self._status.is_leader):
                _log.info("raft leader", leader=status.leader, term=raft.raftCurrentTerm)
            self._status = status

    def _hop_applied(self, command: bytes, result: CommandResult, replayed: bool) -> None:
        assert self._on_applied is not None
        self._hop(self._on_applied, command, result, replayed)

    def _hop_restored(self, snapshot: bytes) -> None:
        assert self._on_restored is not None
        self._hop(self._on_restored, snapshot)

    def _hop(self, call: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            self._stop.set()  # the loop is closed: nobody will ever stop this thread otherwise
