"""The entries of one disk's log that are not in its snapshot. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from cluster.consensus.core.configuration import Configuration, decode_configuration
from cluster.consensus.core.messages import Append, Entry, Kind, Rewrite, Snapshot


class InvariantBroken(RuntimeError):
    """Something that never happens to logs that follow the rules: the disk lies, or the program is
    wrong. The process has to end, since whatever it did next could make it worse."""


KEPT_ENTRIES = 1_000
KEPT_BYTES = 4 * 1024 * 1024
"""The most entries, and bytes of them, that are kept in memory although they are in the snapshot.
A follower that is a little behind needs no snapshot then."""


class Log:
    """``last`` is the index of the last entry, ``stable`` the index of the last one known to be on
    disk. The entries after ``start`` are in memory."""

    def __init__(self, snapshot: Snapshot, entries: Sequence[Entry]) -> None:
        self.snapshot = snapshot
        self.start = snapshot.index
        self._start_term = snapshot.term
        self._entries: list[Entry] = []
        self._configurations: list[tuple[int, Configuration]] = []
        self._append(entries)
        self.stable = self.last
        self._unsynced: deque[tuple[int, int]] = deque()
        """(mark, index) of each write under way. Once the write is on disk, so are all entries up
        to the index."""
        self._mark = 0

    @property
    def base(self) -> int:
        return self.snapshot.index

    @property
    def last(self) -> int:
        return self.start + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self._start_term

    @property
    def mark(self) -> int:
        """The number of the last write."""
        return self._mark

    @property
    def configuration(self) -> Configuration:
        """The latest configuration in the log, committed or not (Ongaro's thesis, section 4.1)."""
        if self._configurations:
            return self._configurations[-1][1]
        return self.snapshot.configuration

    @property
    def configuration_index(self) -> int:
        """The index of the entry that has it, or that of the snapshot if none has."""
        return self._configurations[-1][0] if self._configurations else self.base

    def term_at(self, index: int) -> int | None:
        """Returns None if the entry is not in the log, or not any more."""
        if index == self.start:
            return self._start_term
        if self.start < index <= self.last:
            return self._entries[index - self.start - 1].term
        return None

    def between(self, after: int, to: int) -> tuple[Entry, ...]:
        """Returns the entries after ``after``, up to and including ``to``."""
        return tuple(self._entries[after - self.start : to - self.start])

    def after(self, index: int, entries_max: int, bytes_max: int) -> tuple[Entry, ...]:
        """Returns at least one entry, if there is one, however large it is."""
        found: list[Entry] = []
        size = 0
        for entry in self._entries[index - self.start : index - self.start + entries_max]:
            size += len(entry.data)
            if found and size > bytes_max:
                break
            found.append(entry)
        return tuple(found)

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """True if a log that ends there is no older than this one (Raft, section 5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last)

    def last_at_most(self, index: int, term: int) -> int:
        """Returns the last index up to ``index`` whose entry is of ``term`` or of an earlier one.
        It is at least the snapshot's index, up to which all logs are the same."""
        index = min(index, self.last)
        while index > self.base and self._entries[index - self.start - 1].term > term:
            index -= 1
        return max(index, self.base)

    # Changes, each with its write

    def append(self, entries: Sequence[Entry]) -> Append:
        """Appends entries. Whatever is at the first one's index and behind it is replaced."""
        first = entries[0].index
        if not self.base < first <= self.last + 1:
            raise InvariantBroken(f"entry {first} does not follow {self.base} to {self.last}")
        self._cut(first - 1)
        self._append(entries)
        self._unsynced.append((self._next_mark(), self.last))
        return Append(tuple(entries))

    def restart(self, snapshot: Snapshot) -> Rewrite:
        """Replaces everything by a leader's snapshot."""
        self._entries.clear()
        self._configurations.clear()
        self.snapshot = snapshot
        self.start, self._start_term = snapshot.index, snapshot.term
        self.stable = snapshot.index
        self._unsynced.clear()
        self._next_mark()
        return Rewrite(snapshot)

    def compact(self, index: int, data: bytes) -> Rewrite:
        """Replaces the entries up to ``index``, which have been applied, by the snapshot
        ``data``."""
        term = self.term_at(index)
        assert term is not None
        configuration = self.configuration_at(index)
        following = self.between(index, self.last)
        self._configurations = [one for one in self._configurations if one[0] > index]
        self.snapshot = Snapshot(index, term, configuration, data)
        self._forget()
        self._unsynced.append((self._next_mark(), self.last))
        return Rewrite(self.snapshot, following)

    def _forget(self) -> None:
        """Drops the entries that are in the snapshot, except for those that are kept."""
        at = count = self.base - self.start
        size = 0
        while at > 0 and count - at < KEPT_ENTRIES:
            size += len(self._entries[at - 1].data)
            if size > KEPT_BYTES:
                break
            at -= 1
        if at:
            self._start_term = self._entries[at - 1].term
            self.start += at
            del self._entries[:at]

    def configuration_at(self, index: int) -> Configuration:
        found = self.snapshot.configuration
        for at, configuration in self._configurations:
            if at <= index:
                found = configuration
        return found

    def written(self) -> None:
        """Notes that something other than entries was given to the disk."""
        self._next_mark()

    def synced(self, mark: int) -> None:
        """Notes that everything up to this write is on disk."""
        while self._unsynced and self._unsynced[0][0] <= mark:
            self.stable = max(self.stable, self._unsynced.popleft()[1])

    def _next_mark(self) -> int:
        self._mark += 1
        return self._mark

    def _append(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.index != self.last + 1 or entry.term < self.last_term:
                raise InvariantBroken(f"{entry.index} of term {entry.term} after {self.last}")
            self._entries.append(entry)
            if entry.kind == Kind.CONFIGURATION:
                self._configurations.append((entry.index, decode_configuration(entry.data)))

    def _cut(self, index: int) -> None:
        """Drops what is behind ``index``; what is on its way to the disk will be overwritten
        there."""
        del self._entries[index - self.start :]
        while self._configurations and self._configurations[-1][0] > index:
            self._configurations.pop()
        self.stable = min(self.stable, index)
        self._unsynced = deque((mark, min(to, index)) for mark, to in self._unsynced)
