"""How a disk is opened: what is found there, healed, dropped or refused.

A log that ends before what was durable has lost entries that this disk may have confirmed. It is
opened as ``mending``, which is durable before anything else happens. What is behind the last whole
record and was not durable comes from a write that nobody was told of; it is dropped.

What was written and maybe never synced, because the process was killed in between or a sync had
failed, looks like all else. It is written anew and synced before anybody hears of it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

import structlog

from cluster.consensus.core.log import Log
from cluster.consensus.core.messages import Durable, Rewrite
from cluster.consensus.disk.directory import Directory, File
from cluster.consensus.disk.disk import PREALLOCATE_BYTES, Disk
from cluster.consensus.disk.errors import DiskFull
from cluster.consensus.disk.former import refuse_former_files
from cluster.consensus.disk.order import Order
from cluster.consensus.disk.plan import Place
from cluster.consensus.disk.reading import CHUNK_BYTES, LogContents, read_log
from cluster.consensus.disk.slots import Mark
from cluster.consensus.disk.state_file import (
    NEW,
    StateFile,
    create_state,
    read_state,
)
from cluster.data_dir import CONSENSUS_LOG_FILE as LOG_FILE
from cluster.data_dir import CONSENSUS_STATE_FILE as STATE_FILE
from cluster.data_dir import damaged
from paceline.errors import ConfigError

_log = structlog.get_logger()


@dataclass(frozen=True)
class Opened:
    """``boot`` is one more than at the opening before."""

    disk: Disk
    durable: Durable
    boot: int


def open_disk(
    directory: Directory,
    name: str,
    begin: Durable | None,
    preallocate_bytes: int = PREALLOCATE_BYTES,
) -> Opened:
    """``name``: of this disk, among the voters. ``begin``: what a new one has; None if there must
    be one already. The directory is to be locked by the caller.

    ConfigError, in words for an operator, for what cannot be used. ``DiskFailed``.
    """
    with ExitStack() as stack:
        try:
            opened = _Opening(directory, name, preallocate_bytes, stack).open(begin)
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"cannot use the log in {directory.path}: {reason}") from error
        except DiskFull as error:
            raise ConfigError(str(error)) from error
        stack.pop_all()
    return opened


@dataclass(frozen=True)
class _Opening:
    directory: Directory
    name: str
    preallocate_bytes: int
    stack: ExitStack
    """Closes what was opened, should the opening fail."""

    def open(self, begin: Durable | None) -> Opened:
        directory = self.directory
        names = directory.names()
        refuse_former_files(directory.path, names)
        for leftover in names:
            if leftover.startswith((LOG_FILE, STATE_FILE)) and leftover.endswith(NEW):
                directory.remove(leftover)
        directory.sync()  # a name that was given may not be durable yet
        state_path, log_path = directory.path / STATE_FILE, directory.path / LOG_FILE
        if STATE_FILE not in names:
            if LOG_FILE in names:
                raise damaged(state_path, f"it is missing, but {LOG_FILE} is there")
            if begin is None:
                raise damaged(log_path, "it is missing")
            create_state(directory, begin.hard)
        file = directory.open(STATE_FILE)
        self.stack.callback(file.close)
        found_state = read_state(file, state_path)
        mark, hard = found_state.mark, found_state.slot.hard
        if LOG_FILE not in names:
            if begin is None or mark.generation > 0:
                raise damaged(log_path, "it is missing")
            return self._create(StateFile.settled(file, found_state), begin)
        log = directory.open(LOG_FILE)
        self.stack.callback(log.close)
        found = read_log(log, log_path, mark)
        if found.order.last_term > hard.term:
            newest = f"{LOG_FILE} has entries of term {found.order.last_term}"
            raise damaged(state_path, f"it is of term {hard.term}, but {newest}")
        lost = found.has_lost(mark)
        if lost and Log(found.snapshot, found.entries).configuration.voters == (self.name,):
            raise ConfigError(_lone_voter_words(self.directory, found, mark))
        if found_state.damaged:
            _log.warning(
                "one of two copies of term and vote was damaged; it is healed", file=str(state_path)
            )
        state = StateFile.settled(file, found_state)
        if lost:
            return self._open_to_mend(log, state, found)
        return self._open_whole(log, state, found)

    def _create(self, state: StateFile, begin: Durable) -> Opened:
        """What was begun before, if anything, had been promised to nobody."""
        boot = state.state.boot + 1
        state.store(boot, begin.hard, Mark())
        disk = self._disk(None, state, Place(Mark(), Order(0, 0), begin.hard))
        disk.write([Rewrite(begin.snapshot, begin.entries)])
        state.store(boot, begin.hard, state.state.mark)
        return Opened(disk, begin, boot)

    def _open_whole(self, log: File, state: StateFile, found: LogContents) -> Opened:
        if found.torn:
            _log.warning(
                "dropped the end of the log, from a write that was never confirmed",
                file=str(self.directory.path / LOG_FILE),
                bytes=found.torn,
                last_index=found.order.last,
            )
            log.truncate(found.end)
        for offset in range(found.synced, found.end, CHUNK_BYTES):
            log.write(offset, log.read(offset, min(CHUNK_BYTES, found.end - offset)))
        log.sync()
        boot, hard = state.state.boot + 1, state.state.hard
        mark = Mark(found.generation, found.order.last, found.end)
        state.store(boot, hard, mark)
        disk = self._disk(log, state, Place(mark, found.order, hard))
        return Opened(disk, Durable(hard, found.snapshot, found.entries), boot)

    def _open_to_mend(self, log: File, state: StateFile, found: LogContents) -> Opened:
        mark = state.state.mark
        boot, hard = state.state.boot + 1, replace(state.state.hard, mending=True)
        state.store(boot, hard, mark)
        _log.error(
            "the disk has lost the end of the log, which was durable; this node does not vote "
            "until a leader has given it back",
            file=str(self.directory.path / LOG_FILE),
            last_index=found.order.last,
            lost_bytes=max(found.synced - found.end, 0),
        )
        # As a file of a later generation than any that was lost: no old mark speaks of it.
        generation = max(found.generation, mark.generation)
        place = Place(Mark(generation, found.order.last, found.end), found.order, hard)
        disk = self._disk(log, state, place)
        disk.write([Rewrite(found.snapshot, found.entries)])
        return Opened(disk, Durable(hard, found.snapshot, found.entries), boot)

    def _disk(self, log: File | None, state: StateFile, place: Place) -> Disk:
        disk = Disk(self.directory, log, state, place, self.preallocate_bytes)
        self.stack.callback(disk.close)
        return disk


def _lone_voter_words(directory: Directory, found: LogContents, mark: Mark) -> str:
    until = f"entry {mark.index}" if mark.index > found.order.last else "a later write"
    return (
        f"{directory.path / LOG_FILE} ends with entry {found.order.last}, but had been durable "
        f"up to {until}: the disk has lost its end. This node is the only one that votes: no other "
        f"has it, and what was confirmed would be forgotten. Restore {directory.path} from a "
        "backup that is newer, or empty it to found a new cluster (caches fill from DynamoDB, "
        "where no item is lost; settings of the cluster and positions in streams begin anew)."
    )
