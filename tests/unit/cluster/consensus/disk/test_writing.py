"""What a disk holds when it is opened again, and what its writes cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.consensus.core.log import InvariantBroken
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
from cluster.consensus.disk import records
from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.errors import DiskFailed, DiskFull
from cluster.consensus.disk.opening import open_disk
from paceline.errors import ConfigError
from tests.support.memory_directory import MemoryDirectory, broken, full
from tests.unit.cluster.consensus.disk.model import BEGIN, NAME, written

LOG, STATE = "consensus.log", "consensus.state"
TERM = HardState(3, "d1")


def command(index: int, term: int = 3, data: bytes = b"x") -> Entry:
    return Entry(index, term, Kind.COMMAND, data)


def reopened(directory: MemoryDirectory) -> Durable:
    return open_disk(directory.copy(), NAME, None).durable


class TestWhatIsFound:
    @pytest.mark.parametrize(
        "writes",
        [
            [TERM],
            [TERM, Append((command(1), command(2, data=bytes(100_000))))],
            [TERM, Append((command(1, 2), command(2))), Append((command(1), command(2)))],
            [TERM, Append((command(1),)), Rewrite(Snapshot(1, 3, data=b"s"), (command(2),))],
            [TERM, Rewrite(Snapshot(9, 3, data=b"s" * 3_000_000)), Append((command(10),))],
            [TERM, Append((command(1),)), HardState(4, None, True), Append((command(1, 4),))],
            [TERM, Append(()), HardState(4), HardState(5)],
            [],
        ],
    )
    def test_is_what_was_written(self, writes: list[Write], tmp_path: Path) -> None:
        for directory in (MemoryDirectory(), OsDirectory(tmp_path)):
            opened = open_disk(directory, NAME, BEGIN)
            assert (opened.durable, opened.boot) == (BEGIN, 1)
            opened.disk.write(writes)
            opened.disk.close()
            again = open_disk(directory, NAME, None)
            assert (again.durable, again.boot) == (written(BEGIN, writes), 2)
            again.disk.write([HardState(9)])
            again.disk.close()

    def test_one_by_one_as_in_a_batch(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        disk.write([TERM])
        for index in range(1, 50):
            disk.write([Append((command(index),))])
        disk.write([Append((command(20),))])
        assert [e.index for e in reopened(directory).entries] == list(range(1, 21))

    def test_nothing_is_made_where_there_must_be_one(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"consensus.log is damaged \(it is missing\)"):
            open_disk(OsDirectory(tmp_path), NAME, None)
        assert list(tmp_path.iterdir()) == []


class TestWhatItCosts:
    def test_a_batch_of_entries_is_synced_once(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        disk.write([TERM])
        before = directory.syncs
        disk.write([Append((command(1), command(2))), Append((command(3),))])
        assert directory.syncs == before + 1
        disk.write([])
        assert directory.syncs == before + 1

    def test_term_and_vote_are_synced_twice(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        before = directory.syncs
        disk.write([HardState(1), HardState(2), HardState(3)])
        assert directory.syncs == before + 2

    def test_space_is_taken_in_steps(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN, preallocate_bytes=4096).disk
        disk.write([TERM])
        for index in range(1, 30):
            disk.write([Append((command(index, data=bytes(500)),))])
            assert len(directory.get(LOG)) % 4096 == 0
        assert 29 * 500 < len(directory.get(LOG)) < 29 * 540 + 4096

    def test_no_file_stays_open(self) -> None:
        directory = MemoryDirectory()
        for term in range(1, 5):
            disk = open_disk(directory, NAME, BEGIN).disk
            disk.write([HardState(term), Rewrite(Snapshot(term, term)), Rewrite(Snapshot(8, term))])
            disk.close()
            assert directory.open_files == 0
            assert directory.names() == [LOG, STATE]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "write",
        [
            Append((command(2),)),
            Append((command(1, 4),)),
            Append((command(1), command(3))),
            Append((command(1), command(2, 2))),
            Rewrite(Snapshot(1, 4)),
            Rewrite(Snapshot(1, 1), (command(3),)),
        ],
    )
    def test_what_no_log_has_is_not_written(self, write: Write) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        disk.write([TERM])
        with pytest.raises(InvariantBroken):
            disk.write([HardState(3, "d2"), write])
        disk.write([Append((command(1),))])
        assert reopened(directory) == written(BEGIN, [TERM, Append((command(1),))])

    def test_what_is_too_large_is_not_written(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        for write in (
            Append((command(1, 0, bytes(records.PAYLOAD_BYTES_MAX)),)),
            HardState(1, "v" * 5000),
            Rewrite(Snapshot(1, 0, data=bytes(records.SNAPSHOT_BYTES_MAX + 1))),
        ):
            with pytest.raises(ValueError, match=r"^a (record|vote|snapshot) of"):
                disk.write([TERM, write])
        assert reopened(directory) == BEGIN


class TestADiskThatIsFull:
    def test_has_written_nothing_and_goes_on_later(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN, preallocate_bytes=512).disk
        directory.space = 100
        batch: list[Write] = [TERM, Append((command(1, data=bytes(600)),))]
        for _ in range(2):
            with pytest.raises(
                DiskFull, match=r"no space for the log in /disk .*; free some space"
            ):
                disk.write(batch)
            assert reopened(directory) == BEGIN
        disk.write([HardState(1)])
        directory.space = 1000
        disk.write(batch)
        assert reopened(directory) == written(BEGIN, batch)

    def test_keeps_its_log_when_there_is_no_space_for_another(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN, preallocate_bytes=512).disk
        disk.write([TERM, Append((command(1),))])
        directory.space = 600
        with pytest.raises(DiskFull):
            disk.write([Rewrite(Snapshot(1, 3)), Rewrite(Snapshot(2, 3))])
        assert directory.names() == [LOG, STATE]
        disk.write([Append((command(2),))])
        assert [e.index for e in reopened(directory).entries] == [1, 2]

    def test_a_write_into_taken_space_that_fails_is_undone(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        disk.write([TERM, Append((command(1),))])
        directory.step = lambda operation, name: fail(operation == "write", full())
        with pytest.raises(DiskFull):
            disk.write([Append((command(2, data=bytes(100)),))])
        directory.step = lambda operation, name: None
        assert [e.index for e in reopened(directory).entries] == [1]
        disk.write([Append((command(2),))])
        assert [e.index for e in reopened(directory).entries] == [1, 2]

    def test_what_is_durable_in_part_is_not_called_undone(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        directory.step = lambda operation, name: fail((operation, name) == ("write", LOG), full())
        with pytest.raises(DiskFailed):
            disk.write([TERM, Append((command(1),))])

    def test_a_mark_without_space_is_only_a_mark(self) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        disk.write([TERM])
        directory.step = lambda operation, name: fail((operation, name) == ("write", STATE), full())
        disk.write([Append((command(1),))])
        assert [e.index for e in reopened(directory).entries] == [1]


class TestADiskThatFails:
    @pytest.mark.parametrize(
        ("operation", "error"),
        [
            ("write", broken()),
            *(("sync", error) for error in (broken(), full())),
            *(("rename", error) for error in (broken(), full())),
        ],
    )
    def test_stays_failed(self, operation: str, error: OSError) -> None:
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        disk.write([TERM])
        directory.step = lambda what, name: fail(what == operation and name != STATE, error)
        with pytest.raises(DiskFailed, match="the process has to end"):
            disk.write([Append((command(1),)), Rewrite(Snapshot(1, 3))])
        directory.step = lambda operation, name: None
        with pytest.raises(DiskFailed, match="the process has to end"):
            disk.write([HardState(4)])
        assert reopened(directory).hard == TERM

    def test_what_a_failed_sync_lost_is_written_anew(self) -> None:
        """The pages are seen by the next process, but nothing writes them any more."""
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN).disk
        disk.write([TERM])
        directory.step = lambda what, name: fail(what == "sync" and name == LOG, broken())
        with pytest.raises(DiskFailed):
            disk.write([Append((command(1),))])
        directory.step = lambda operation, name: None
        found = open_disk(directory, NAME, None).durable
        assert found.entries == (command(1),)
        for inode in directory.inodes.values():
            inode.data = bytearray(inode.durable)
        assert open_disk(directory, NAME, None).durable == found


def fail(now: bool, error: OSError) -> None:
    if now:
        raise error


def test_a_new_log_whose_making_was_interrupted_is_made_anew() -> None:
    """With other founders, too: nothing had been promised to anybody."""
    others = founded(["d8", "d9"])
    for stop_at in range(1, 40):
        directory = MemoryDirectory()
        left = stop_at

        def step(operation: str, name: str) -> None:
            nonlocal left
            left -= 1
            fail(left == 0 and operation != "remove", broken())

        directory.step = step
        try:
            open_disk(directory, NAME, others)
        except (ConfigError, DiskFailed):
            directory.step = lambda operation, name: None
            expected = others if LOG in directory.inodes else BEGIN
            assert open_disk(directory, NAME, BEGIN).durable == expected
        else:
            assert stop_at > 8
            return
    raise AssertionError("it was never made")
