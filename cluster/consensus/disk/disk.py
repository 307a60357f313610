"""An open disk: writes are carried out, each batch with its syncs in order."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from cluster.consensus.core.messages import Write
from cluster.consensus.disk.directory import Directory, File
from cluster.consensus.disk.errors import DiskFailed, DiskFull, is_full
from cluster.consensus.disk.plan import Place, Step, ToLog, ToNewLog, ToState, plan
from cluster.consensus.disk.slots import Mark
from cluster.consensus.disk.state_file import NEW, StateFile
from cluster.data_dir import CONSENSUS_LOG_FILE as LOG_FILE

PREALLOCATE_BYTES = 1024 * 1024

_log = structlog.get_logger()


class Disk:
    """For one thread at a time. ``log``: None if there is none yet; then a ``Rewrite`` comes first.

    Space is taken ``preallocate_bytes`` at a time. So it is known before a batch is begun whether
    there is enough, and a sync in between changes nothing but what was written.
    """

    def __init__(
        self,
        directory: Directory,
        log: File | None,
        state: StateFile,
        place: Place,
        preallocate_bytes: int,
    ) -> None:
        self._directory = directory
        self._log = log
        self._state = state
        self._place = place
        self._preallocate_bytes = preallocate_bytes
        self._size = 0 if log is None else log.size()
        self._new: dict[int, File] = {}
        """By generation: files that have their space, but not yet their content and name."""
        self._settled = True
        """Nothing of the batch can have become durable yet."""
        self._failed: str | None = None

    def write(self, writes: Sequence[Write]) -> None:
        """All are durable on return, in order: what an interrupted batch leaves behind is what its
        first writes come to, or the first entries of one.

        ``DiskFull``: none is durable, and the same batch may be given again. ``DiskFailed``: it is
        not known which are; every later call raises it too.
        """
        if self._failed is not None:
            raise DiskFailed(self._failed)
        steps, after = plan(self._place, writes)
        self._settled = True
        try:
            self._carry_out(steps)
        except OSError as error:
            if is_full(error) and self._settled:
                self._undo(steps, error)
            raise self._fail(error) from error
        except BaseException as error:
            self._fail(error)
            raise
        self._place = after

    def close(self) -> None:
        for file in (self._log, *self._new.values()):
            if file is not None:
                file.close()
        self._state.close()

    def _carry_out(self, steps: Sequence[Step]) -> None:
        self._reserve(steps)
        for step in steps:
            match step:
                case ToLog():
                    assert self._log is not None
                    self._log.write(step.offset, step.data)
                    self._settled = False
                    self._log.sync()
                    self._note(step.mark)
                case ToNewLog():
                    self._switch(step)
                case ToState(hard):
                    self._settled = False
                    state = self._state.state
                    self._state.store(state.boot, hard, state.mark)

    def _reserve(self, steps: Sequence[Step]) -> None:
        """Takes the space for all steps."""
        file, size = self._log, self._size
        for step in steps:
            match step:
                case ToLog(offset, data):
                    assert file is not None
                    size = self._grow(file, size, offset + len(data))
                    if file is self._log:
                        self._size = size
                case ToNewLog(mark=mark):
                    file = self._directory.create(_new_name(mark))
                    self._new[mark.generation] = file
                    size = self._grow(file, 0, mark.offset)

    def _grow(self, file: File, size: int, needed: int) -> int:
        if needed <= size:
            return size
        step = self._preallocate_bytes
        size = (needed + step - 1) // step * step
        file.extend(size)
        return size

    def _switch(self, step: ToNewLog) -> None:
        file = self._new[step.mark.generation]
        offset = 0
        for part in step.parts:
            file.write(offset, part)
            offset += len(part)
        self._settled = False
        file.sync()
        self._directory.rename(_new_name(step.mark), LOG_FILE)
        self._directory.sync()
        if self._log is not None:
            self._log.close()
        self._log = self._new.pop(step.mark.generation)
        self._size = self._log.size()
        self._note(step.mark)

    def _note(self, mark: Mark) -> None:
        """The log is durable, whatever becomes of this."""
        try:
            self._state.note(mark)
        except OSError as error:
            if not is_full(error):
                raise
            _log.warning("no space to note how far the log was synced", error=str(error))

    def _undo(self, steps: Sequence[Step], full: OSError) -> None:
        """Raises ``DiskFull``, or OSError."""
        try:
            if self._log is not None:
                self._log.truncate(self._place.mark.offset)
                self._size = self._place.mark.offset
            for generation, file in self._new.items():
                file.close()
                self._directory.remove(_new_name(Mark(generation)))
            self._new.clear()
        except OSError as error:
            raise self._fail(error) from full
        raise DiskFull(
            f"there is no space for the log in {self._directory.path} ({full.strerror}). Nothing "
            "was written and nothing is lost; free some space there, and the node goes on."
        ) from full

    def _fail(self, error: BaseException) -> DiskFailed:
        reason = (error.strerror if isinstance(error, OSError) else None) or repr(error)
        self._failed = (
            f"writing the log in {self._directory.path} has failed ({reason}). What is on the disk "
            "is not known any more, and trying again could not tell; the process has to end. Look "
            "after the disk, then start the node again: it goes on from what is there."
        )
        return DiskFailed(self._failed)


def _new_name(mark: Mark) -> str:
    return f"{LOG_FILE}.{mark.generation}{NEW}"
