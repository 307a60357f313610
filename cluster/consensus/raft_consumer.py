"""What pysyncobj drives: a state machine that knows nothing of it."""

from __future__ import annotations

import structlog
from pysyncobj import SyncObjConsumer, replicated

import cluster.consensus.raft_setup  # noqa: F401 - undoes what pysyncobj's import does to sockets
from cluster.consensus.interface import OnApplied, OnRestored, StateMachine
from cluster.log.state import CommandResult

_log = structlog.get_logger()


class LogConsumer(SyncObjConsumer):  # type: ignore[misc]
    """The one replicated object. Runs in the thread; hops to the loop after each step."""

    def __init__(
        self,
        machine: StateMachine,
        journal_end: int,
        applied: OnApplied,
        restored: OnRestored,
    ) -> None:
        super().__init__()
        self._machine = machine
        self._journal_end = journal_end
        self._applied = applied
        self._restored = restored

    @replicated  # type: ignore[untyped-decorator]
    def append(self, command: bytes) -> CommandResult:
        # An apply that raises is retried at every tick for ever, and nothing commits any more.
        try:
            result = self._machine.apply(command)
        except Exception:
            _log.exception("apply failed; this node's state may differ from the others'")
            return CommandResult(False, 0, "apply failed")
        index = self._syncObj.raftLastApplied + 1
        replayed = index <= self._journal_end or not self._syncObj.isReady()
        self._applied(command, result, replayed)
        return result

    def _serialize(self) -> bytes:
        return self._machine.snapshot()

    def _deserialize(self, data: bytes) -> None:
        self._machine.restore(data)
        self._restored(data)
