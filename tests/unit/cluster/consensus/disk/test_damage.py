"""Files that are cut or changed, at every byte: what was there, or less and said so, or a refusal.

Never a wrong entry, another exception, or more memory than the file.
"""

from __future__ import annotations

import os
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cluster.consensus.core.messages import (
    Append,
    Durable,
    Entry,
    HardState,
    Kind,
    Rewrite,
    Snapshot,
    Write,
    founded,
)
from cluster.consensus.disk import records, slots
from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.opening import open_disk
from cluster.consensus.disk.records import HEADER_BYTES, RECORD_BYTES, Header, encode_record
from cluster.consensus.disk.slots import MARKS_AT, PAGE_BYTES, SLOTS_AT, Mark, State
from paceline.errors import ConfigError
from tests.simulation.planting import lowered
from tests.support.memory_directory import MemoryDirectory
from tests.unit.cluster.consensus.disk.model import BEGIN, NAME, steps, written

LOG, STATE = "consensus.log", "consensus.state"

WRITES: list[Write] = [
    HardState(5, "d1"),
    Append((Entry(1, 2, Kind.COMMAND, b"one"), Entry(2, 2, Kind.NOOP))),
    Rewrite(
        Snapshot(2, 2, BEGIN.snapshot.configuration, b"abcdefghij" * 9),
        (Entry(3, 3, Kind.COMMAND, b"three"),),
    ),
    Append((Entry(4, 3, Kind.COMMAND, b"four"),)),
    Append((Entry(5, 3, Kind.COMMAND, b"five"), Entry(6, 4, Kind.NOOP))),
    Append((Entry(5, 5, Kind.COMMAND, b"5"), Entry(6, 5, Kind.COMMAND, b"6"))),
]
WHOLE = written(BEGIN, WRITES)
OLDER = [durable for durable in steps(BEGIN, WRITES) if durable.snapshot.index == 2]
OLDER.append(replace(OLDER[0], entries=()))
"""What the log had said before, from its last rewrite on."""


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is lost here, and real syncs would take a minute."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda fd: None, raising=False)


def files(writes: list[Write] = WRITES, begin: Durable = BEGIN) -> MemoryDirectory:
    directory = MemoryDirectory()
    with lowered({"cluster.consensus.disk.records:PIECE_BYTES": 40}):
        disk = open_disk(directory, NAME, begin, preallocate_bytes=64).disk
        for write in writes:
            disk.write([write])
    disk.close()
    return directory


def real(directory: MemoryDirectory, path: Path) -> OsDirectory:
    path.mkdir(exist_ok=True)
    for name in directory.names():
        (path / name).write_bytes(directory.get(name))
    return OsDirectory(path)


def outcome(directory: MemoryDirectory | OsDirectory) -> str:
    """What became of it; all that may be found is right."""
    with capture_logs() as logs:
        try:
            opened = open_disk(directory, NAME, None, preallocate_bytes=64)
        except ConfigError as error:
            words = str(error)
            opened = None
    if opened is None:
        assert "is damaged (" in words
        return "refused"
    opened.disk.close()
    durable = opened.durable
    again = open_disk(directory, NAME, None, preallocate_bytes=64)
    again.disk.close()
    assert again.durable == durable
    events = [log["event"].split(",")[0] for log in logs]
    if durable == WHOLE:
        dropped = "dropped the end of the log"
        assert events in (
            [],
            [dropped],
            ["one of two copies of term and vote was damaged; it is healed"],
        )
        return "whole"
    hard, entries = durable.hard, durable.entries
    assert (durable.snapshot, entries) in [(one.snapshot, one.entries) for one in OLDER]
    assert (hard.term, hard.vote) == (WHOLE.hard.term, WHOLE.hard.vote)
    if hard.mending:
        assert events == ["the disk has lost the end of the log"]
        return "mending"
    assert events in ([], ["dropped the end of the log"])  # cut between two records: no bytes
    return "dropped"


def end_of(directory: MemoryDirectory, name: str) -> int:
    return len(directory.get(name).rstrip(b"\0"))


def unmarked(directory: MemoryDirectory) -> MemoryDirectory:
    """As if the power had been lost before what was noted of the last syncs was on the disk."""
    state = slots.decode_slot(directory.get(STATE)[:PAGE_BYTES])
    assert state is not None
    for offset in MARKS_AT:
        mark = slots.decode_mark(directory.get(STATE)[offset : offset + PAGE_BYTES])
        if mark is not None:
            directory.inodes[STATE].write(offset, bytes(PAGE_BYTES))
    for offset in SLOTS_AT:
        slot = slots.encode_slot(State(state.number, state.boot, state.hard, Mark(1, 0, 32)))
        directory.inodes[STATE].write(offset, slot)
    directory.inodes[STATE].sync()
    return directory


class TestTheLogCut:
    """At each length."""

    def test_after_it_was_synced(self, tmp_path: Path) -> None:
        directory = files()
        seen: Counter[str] = Counter()
        for size in range(end_of(directory, LOG) + 1):
            cut = real(directory, tmp_path)
            (tmp_path / LOG).write_bytes(directory.get(LOG)[:size])
            result = outcome(cut)
            seen[result] += 1
            assert result != "dropped"
            assert (result == "whole") == (size >= end_of(directory, LOG)), size
        assert seen["mending"] > 150
        assert seen["refused"] > 150

    def test_before_that_was_known(self) -> None:
        directory = unmarked(files())
        seen: Counter[str] = Counter()
        for size in range(end_of(directory, LOG) + 1):
            cut = directory.copy()
            cut.cut(LOG, size)
            before = cut.get(LOG)
            result = outcome(cut)
            seen[result] += 1
            if result == "dropped":
                assert cut.get(LOG).rstrip(b"\0") == before[: end_of(cut, LOG)]
        assert seen["mending"] > 20  # what stood in it when it got its name was synced
        assert seen["dropped"] > 150


class TestTheLogChanged:
    """One bit of each byte on a disk, each bit in memory."""

    def test_on_a_disk(self, tmp_path: Path) -> None:
        directory = files()
        seen: Counter[str] = Counter()
        for offset in range(len(directory.get(LOG))):
            changed = directory.copy()
            changed.flip(LOG, offset, offset % 8)
            seen[outcome(real(changed, tmp_path))] += 1
        assert seen["refused"] > 300
        assert seen["mending"] > 20
        assert seen["dropped"] == 0

    @pytest.mark.parametrize("bit", range(8))
    def test_anywhere(self, bit: int) -> None:
        directory = files()
        end = end_of(directory, LOG)
        for offset in range(len(directory.get(LOG))):
            changed = directory.copy()
            changed.flip(LOG, offset, bit)
            result = outcome(changed)
            assert result in ("refused", "mending") if offset < end else result == "whole"
            assert changed.largest_read <= max(len(directory.get(LOG)), PAGE_BYTES)

    def test_before_it_was_known_to_be_synced(self) -> None:
        """The last write alone may have been torn; what is before it cannot."""
        directory = unmarked(files())
        end = end_of(directory, LOG)
        last = directory.get(LOG).rfind(records.MARKER)
        begin = records.RECORD.unpack_from(directory.get(LOG), last)[2]
        seen: Counter[str] = Counter()
        for offset in range(end):
            changed = directory.copy()
            changed.flip(LOG, offset, offset % 8)
            result = outcome(changed)
            seen[result] += 1
            assert (result == "dropped") == (offset >= begin), offset
            if result == "dropped":
                assert end_of(changed, LOG) <= offset
        assert seen["dropped"] == end - begin > 60
        assert seen["refused"] + seen["mending"] == begin


class TestTheStateChanged:
    @pytest.mark.parametrize("bit", range(8))
    def test_one_copy_is_healed(self, bit: int) -> None:
        directory = files()
        used = len(directory.get(STATE)[:PAGE_BYTES].rstrip(b"\0"))
        for page in SLOTS_AT:
            for offset in (*range(used), used, PAGE_BYTES - 1):
                changed = directory.copy()
                changed.flip(STATE, page + offset, bit)
                assert outcome(changed) == "whole"
                one, two = (
                    slots.decode_slot(changed.get(STATE)[at : at + PAGE_BYTES]) for at in SLOTS_AT
                )
                assert one == two
                assert one is not None

    def test_two_damaged_copies_are_refused(self) -> None:
        directory = files()
        for offset in range(20):
            changed = directory.copy()
            for page in SLOTS_AT:
                changed.flip(STATE, page + offset, 3)
            with pytest.raises(ConfigError, match="both copies of the node's term and vote"):
                open_disk(changed, NAME, None)

    def test_marks_that_cannot_be_read_are_older_ones(self) -> None:
        directory = files()
        for page in MARKS_AT:
            for offset in range(slots.MARK_BYTES):
                changed = directory.copy()
                changed.flip(STATE, page + offset, 2)
                assert outcome(changed) == "whole"

    def test_cut_at_each_length(self) -> None:
        directory = files()
        seen: Counter[str] = Counter()
        sizes = [*range(150), *range(4000, 4250), *range(8190, 8230), *range(12280, 12330), 16000]
        for size in sizes:
            cut = directory.copy()
            cut.cut(STATE, size)
            result = outcome(cut)
            seen[result] += 1
            assert result in ("whole", "refused")
        assert seen["whole"] > 400
        assert seen["refused"] < 60

    def test_a_term_older_than_the_log_is_refused(self) -> None:
        directory, older = files(), files([HardState(4), *WRITES[1:5]])
        directory.put(STATE, older.get(STATE))
        with pytest.raises(ConfigError, match=r"it is of term 4, but consensus\.log has"):
            open_disk(directory, NAME, None)


class TestFilesThatAreGone:
    def test_the_log(self) -> None:
        directory = files()
        directory.remove(LOG)
        for begin in (BEGIN, None):
            with pytest.raises(ConfigError, match=r"consensus.log is damaged \(it is missing"):
                open_disk(directory, NAME, begin)

    def test_the_state(self) -> None:
        directory = files()
        directory.remove(STATE)
        for begin in (BEGIN, None):
            with pytest.raises(ConfigError, match=r"consensus.state is damaged \(it is missing"):
                open_disk(directory, NAME, begin)

    def test_the_log_is_one_that_was_replaced(self) -> None:
        """Its new name was lost, though it had been durable."""
        directory, older = files(), files(WRITES[:2])
        directory.put(LOG, older.get(LOG))
        with capture_logs():
            opened = open_disk(directory, NAME, None)
            assert opened.durable.hard == HardState(5, "d1", mending=True)
            assert [entry.index for entry in opened.durable.entries] == [1, 2]
            opened.disk.write([HardState(5, "d1")])
            assert open_disk(directory, NAME, None).durable.hard == HardState(5, "d1")


class TestALoneVoter:
    BEGIN = founded([NAME])

    def test_is_refused_when_its_end_is_gone(self) -> None:
        writes = [HardState(1), Append((Entry(1, 1, Kind.NOOP), Entry(2, 1, Kind.NOOP)))]
        directory = files(writes, self.BEGIN)
        directory.cut(LOG, end_of(directory, LOG) - 1)
        before = directory.copy()
        for _ in range(2):
            with pytest.raises(ConfigError) as refused:
                open_disk(directory, NAME, None)
            for words in ("ends with entry 1", "up to entry 2", "Restore /disk", "no item is lost"):
                assert words in str(refused.value)
        assert {name: directory.get(name) for name in (LOG, STATE)} == {
            name: before.get(name) for name in (LOG, STATE)
        }

    def test_another_one_mends(self) -> None:
        """A learner, say: who votes can give it back."""
        directory = files([HardState(1), Append((Entry(1, 1, Kind.NOOP),))], founded(["d7"]))
        directory.cut(LOG, end_of(directory, LOG) - 1)
        with capture_logs():
            assert open_disk(directory, NAME, None).durable.hard.mending


class TestWhatCannotBe:
    """Records that are whole in themselves, and were never written so."""

    @pytest.mark.parametrize(
        ("payloads", "words"),
        [
            ([[2, 8, 5, 1, b""]], "entry 8 follows entry 6"),
            ([[2, 6, 5, 1, b""]], "entry 6 follows entry 6"),
            ([[2, 7, 4, 1, b""]], "entry 7 is of term 4, the one before it of 5"),
            ([[3, 7, 5, 1, b""]], "entry 7 replaces one of 3 to 6"),
            ([[3, 2, 5, 1, b""]], "entry 2 replaces one of 3 to 6"),
            ([[2, 7, 5, 9, b""]], "9 is not a valid Kind"),
            ([[2, -7, 5, 1, b""]], "-7 is no index"),
            ([[2, 7, 2**63, 1, b""]], "is no index and no term"),
            ([[2, 7, 5, 2, b"x"]], "configuration"),
            ([[0, 2, 2, b"", 0]], "a second snapshot"),
            ([[1, 90, b"x"]], "a piece of a snapshot for byte 90"),
            ([[4, 1]], "no known sort"),
            (["x"], "no known sort"),
            ([{}], "no known sort"),
        ],
    )
    def test_is_refused(self, payloads: list[object], words: str) -> None:
        import msgpack

        directory = files()
        end = end_of(directory, LOG)
        data = directory.get(LOG)[:end]
        for payload in payloads:
            data += encode_record(msgpack.packb(payload), 2, len(data), end)
        directory.put(LOG, data)
        with pytest.raises(
            ConfigError, match=rf"consensus.log is damaged \(.*{words}.*at byte {end}"
        ):
            open_disk(directory, NAME, None)

    def test_a_payload_that_is_no_msgpack(self) -> None:
        directory = files()
        end = end_of(directory, LOG)
        for payload in (b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x93\x02"):
            directory.put(LOG, directory.get(LOG)[:end] + encode_record(payload, 2, end, end))
            with pytest.raises(ConfigError, match="a payload that is no msgpack, at byte"):
                open_disk(directory, NAME, None)

    def test_records_of_another_file_or_place(self) -> None:
        """A disk that gives back what was in a block before."""
        directory = files()
        end = end_of(directory, LOG)
        log = directory.get(LOG)
        last = log.rfind(records.MARKER)
        for stale in (log[last:end], files(WRITES[:2]).get(LOG)[HEADER_BYTES:].rstrip(b"\0")):
            directory.put(LOG, log[:end] + stale)
            assert outcome(directory) == "whole"

    def test_something_else_is_no_log(self) -> None:
        directory = files()
        for data in (b"", b"PLRAFT", b"x" * 100, bytes(4096)):
            directory.put(LOG, data)
            with pytest.raises(ConfigError, match=r"\(its header is cut|not begin like a log"):
                open_disk(directory, NAME, None)


class TestANewerFormat:
    def test_of_the_log(self) -> None:
        directory = files()
        with lowered({"cluster.consensus.disk.records:VERSION": 2}):
            header = records.encode_header(Header(2, 100))
        directory.put(LOG, header)
        with pytest.raises(ConfigError, match=r"a newer release \(format 2\); run that release"):
            open_disk(directory, NAME, None)

    def test_of_the_state(self) -> None:
        directory = files()
        with lowered({"cluster.consensus.disk.slots:VERSION": 2}):
            slot = slots.encode_slot(State(1, 1, HardState(), Mark()))
        directory.inodes[STATE].write(SLOTS_AT[1], slot)
        with pytest.raises(ConfigError, match=r"a newer release \(format 2\); run that release"):
            open_disk(directory, NAME, None)


def test_lengths_that_lie_take_no_memory() -> None:
    """Even with right checksums."""
    import msgpack

    directory = files()
    end = end_of(directory, LOG)
    prefix = records.RECORD.pack(records.MARKER, 2**32 - 1, end, 0)
    crc = records.CRC.pack(records._prefix_crc(prefix, 2, end))
    far = records.RECORD.pack(records.MARKER, records.PAYLOAD_BYTES_MAX, end, 0)
    far_crc = records.CRC.pack(records._prefix_crc(far, 2, end))
    snapshot = msgpack.packb([0, 1, 1, BEGIN.snapshot.configuration.encode(), 2**40])
    header = records.encode_header(Header(2, 64))
    tracemalloc.start()
    try:
        for data in (
            directory.get(LOG)[:end] + prefix + crc,
            directory.get(LOG)[:end] + far + far_crc,
            header + encode_record(snapshot, 2, HEADER_BYTES, HEADER_BYTES),
        ):
            directory.put(LOG, data)
            outcome(directory)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert directory.largest_read <= PAGE_BYTES
    assert RECORD_BYTES == 24
