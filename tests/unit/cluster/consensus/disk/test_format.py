"""The bytes on a disk, which later releases are to read, and the files of earlier ones."""

from __future__ import annotations

import struct
from pathlib import Path

import msgpack
import pytest
from google_crc32c import value

from cluster.consensus.core.messages import Append, Entry, HardState, Kind, Rewrite, Snapshot
from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.opening import open_disk
from paceline.errors import ConfigError
from tests.support.memory_directory import MemoryDirectory
from tests.unit.cluster.consensus.disk.model import BEGIN, NAME

LOG, STATE = "consensus.log", "consensus.state"

GOLDEN_LOG = (
    "504c524146540d0a000000010000000000000002000000000000006b1deb357ef552454300000013"
    "00000000000000208e354d4777622c4095000702c40c9293a26430a26431a264329003f552454300"
    "0000080000000000000020a86b3ce3b556d319930100c403616c6cf5524543000000080000000000"
    "00006bfab14d1efd368d569502080201c40163f552454300000007000000000000006b116e67c0ed"
    "5f8cf89502090300c400f55245430000000800000000000000aa91590188a110ec779503090301c4"
    "0164"
)

GOLDEN_SLOT = "504c53544154450a000000010000000ba67a7ed398040103a26431c201004b"

GOLDEN_MARK = "0000000000000002000000000000000900000000000000cadf107e73"


def golden() -> MemoryDirectory:
    directory = MemoryDirectory()
    disk = open_disk(directory, NAME, BEGIN).disk
    disk.write([HardState(3, "d1"), Rewrite(Snapshot(7, 2, BEGIN.snapshot.configuration, b"all"))])
    disk.write([Append((Entry(8, 2, Kind.COMMAND, b"c"), Entry(9, 3, Kind.NOOP)))])
    disk.write([Append((Entry(9, 3, Kind.COMMAND, b"d"),))])
    return directory


def test_the_bytes_are_those_of_the_first_release() -> None:
    directory = golden()
    assert directory.get(LOG).rstrip(b"\0").hex() == GOLDEN_LOG
    for offset in (0, 4096):
        assert directory.get(STATE)[offset : offset + 4096].rstrip(b"\0").hex() == GOLDEN_SLOT
    marks = [directory.get(STATE)[at : at + 28].hex() for at in (8192, 12288)]
    assert GOLDEN_MARK in marks


def test_the_bytes_of_the_first_release_are_read() -> None:
    directory = MemoryDirectory()
    directory.put(LOG, bytes.fromhex(GOLDEN_LOG))
    slot = bytes.fromhex(GOLDEN_SLOT).ljust(4096, b"\0")
    directory.put(STATE, slot + slot + bytes.fromhex(GOLDEN_MARK).ljust(8192, b"\0"))
    opened = open_disk(directory, NAME, None)
    assert opened.boot == 2
    assert opened.durable.hard == HardState(3, "d1")
    assert opened.durable.snapshot == Snapshot(7, 2, BEGIN.snapshot.configuration, b"all")
    assert opened.durable.entries == (
        Entry(8, 2, Kind.COMMAND, b"c"),
        Entry(9, 3, Kind.COMMAND, b"d"),
    )


def test_the_checksum_is_crc32c() -> None:
    """The example of RFC 3720, B.4, and the usual check value."""
    assert value(bytes(32)) == 0x8A9136AA
    assert value(b"123456789") == 0xE3069283


def test_the_log_as_the_docstring_has_it() -> None:
    log = golden().get(LOG)
    magic, version, generation, base, crc = struct.unpack_from(">8sIQQI", log)
    assert (magic, version, generation) == (b"PLRAFT\r\n", 1, 2)
    assert crc == value(log[:28])
    found, at = [], 32
    while log[at : at + 4] == b"\xf5REC":
        length, synced, payload_crc, prefix_crc = struct.unpack_from(">IQII", log, at + 4)
        payload = log[at + 24 : at + 24 + length]
        assert payload_crc == value(payload)
        assert prefix_crc == value(struct.pack(">QQ", generation, at) + log[at : at + 20])
        found.append((msgpack.unpackb(payload), synced))
        at += 24 + length
    first = base
    second = (
        first + 2 * 24 + len(msgpack.packb([2, 8, 2, 1, b"c"])) + len(b"\x95\x02\x09\x03\0\xc4\0")
    )
    assert found == [
        ([0, 7, 2, BEGIN.snapshot.configuration.encode(), 3], 32),
        ([1, 0, b"all"], 32),
        ([2, 8, 2, 1, b"c"], first),
        ([2, 9, 3, 0, b""], first),
        ([3, 9, 3, 1, b"d"], second),
    ]


@pytest.mark.parametrize("name", ["raft.journal", "raft.journal.meta", "raft.dump", "log"])
def test_files_of_an_earlier_release_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"whatever")
    (tmp_path / "identity.json").write_bytes(b"{}")
    for begin in (BEGIN, None):
        with pytest.raises(ConfigError) as refused:
            open_disk(OsDirectory(tmp_path), NAME, begin)
        for words in (
            f"{tmp_path} has the log of an earlier release ({name})",
            "one node at a time, remove this node",
            "founds a new cluster",
            "No item is lost",
        ):
            assert words in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "identity.json"])
