"""The file of slots and marks: read, and written in the order that ``slots`` says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cluster.consensus.core.messages import HardState
from cluster.consensus.disk.directory import Directory, File
from cluster.consensus.disk.reading import newer
from cluster.consensus.disk.records import NewerVersion
from cluster.consensus.disk.slots import (
    MARKS_AT,
    PAGE_BYTES,
    SLOTS_AT,
    STATE_BYTES,
    Mark,
    State,
    decode_mark,
    decode_slot,
    encode_mark,
    encode_slot,
)
from cluster.data_dir import CONSENSUS_STATE_FILE as STATE_FILE
from cluster.data_dir import damaged

NEW = ".new"


@dataclass(frozen=True)
class FoundState:
    """``slot`` is the newest copy, ``mark`` the highest of all. ``damaged``: copies that cannot be
    read. ``order``: of the copies, first the one that is not ``slot``."""

    slot: State
    mark: Mark
    damaged: int
    order: tuple[int, int]


class StateFile:
    """``order`` in which the copies are written. While the first one is, the second is whole and
    durable."""

    def __init__(self, file: File, state: State, order: tuple[int, int] = (0, 1)) -> None:
        self._file = file
        self.state = state
        self._order = order
        self._marks = 0

    @classmethod
    def settled(cls, file: File, found: FoundState) -> StateFile:
        """What was found may never have been synced, or in vain: it is written as it is and synced,
        while the other copy stays as it was."""
        file.write(SLOTS_AT[found.order[1]], encode_slot(found.slot))
        file.sync()
        return cls(file, replace(found.slot, mark=found.mark), found.order)

    def store(self, boot: int, hard: HardState, mark: Mark) -> None:
        """Durable on return. If it is interrupted, the old or the new is found again."""
        self.state = State(self.state.number + 1, boot, hard, mark)
        data = encode_slot(self.state)
        for slot in self._order:
            self._file.write(SLOTS_AT[slot], data)
            self._file.sync()

    def note(self, mark: Mark) -> None:
        """Durable some time or never."""
        self.state = replace(self.state, mark=mark)
        self._file.write(MARKS_AT[self._marks % len(MARKS_AT)], encode_mark(mark))
        self._marks += 1

    def close(self) -> None:
        self._file.close()


def create_state(directory: Directory, hard: HardState) -> None:
    """Of a log that is yet to be made."""
    file = directory.create(STATE_FILE + NEW)
    try:
        file.extend(STATE_BYTES)
        StateFile(file, State(0, 0, hard, Mark())).store(0, hard, Mark())
    finally:
        file.close()
    directory.rename(STATE_FILE + NEW, STATE_FILE)
    directory.sync()


def read_state(file: File, path: Path) -> FoundState:
    """ConfigError if no copy can be read; OSError."""
    try:
        slots = [decode_slot(file.read(offset, PAGE_BYTES)) for offset in SLOTS_AT]
    except NewerVersion as error:
        raise newer(path, error) from error
    whole = [slot for slot in slots if slot is not None]
    if not whole:
        raise damaged(path, "both copies of the node's term and vote are unreadable")
    newest = max(whole, key=lambda slot: slot.number)
    order = (1, 0) if slots[0] == newest else (0, 1)
    marks = [decode_mark(file.read(offset, PAGE_BYTES)) for offset in MARKS_AT]
    mark = max([newest.mark, *(mark for mark in marks if mark)], key=lambda mark: mark.place)
    return FoundState(newest, mark, len(slots) - len(whole), order)
