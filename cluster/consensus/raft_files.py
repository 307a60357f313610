"""Looks at the files of the Raft log before pysyncobj does.

pysyncobj goes on with an empty state when its dump is unreadable, and with term 0 and no vote
when its term file is: the node would then contradict what it acknowledged before. Such a
directory is refused here instead. Format of the journal: ``pysyncobj/journal.py`` (0.3.17).
"""

from __future__ import annotations

import gzip
import pickle
import struct
import zlib
from pathlib import Path

from cluster.data_dir import damaged
from paceline.errors import ConfigError

APP_NAME = b"PYSYNCOBJ"
FORMAT_VERSION = 1
HEADER = struct.Struct("<24s8sII")
"""Application name, its version, format version, offset of the end of the last record."""

LENGTH = struct.Struct("<I")
INDEX_TERM = struct.Struct("<QQ")
DUMP_READ_BYTES = 1 << 20


def check_raft_files(journal: Path, dump: Path) -> int:
    """Index of the journal's last entry, 0 if there is no journal. ConfigError when a file is
    damaged or missing beside the others. Only for a directory that no process uses."""
    term_file = journal.with_name(journal.name + ".meta")
    try:
        if dump.exists():
            _check_dump(dump)
        if not journal.exists():
            orphan = next((f for f in (dump, term_file) if f.exists()), None)
            if orphan is not None:
                raise damaged(journal, f"it is missing, but {orphan.name} is there")
            return 0
        data = journal.read_bytes()
        if len(data) < HEADER.size and not dump.exists() and not term_file.exists():
            # Stopped while it was being created: nothing had been promised to anyone yet.
            journal.unlink()
            return 0
        first, last, last_term = _check_journal(journal, data)
        if first > 1 and not dump.exists():
            raise damaged(dump, f"it is missing, but {journal.name} continues it")
        if last_term > 0:
            _check_term_file(term_file)
        return last
    except OSError as error:
        raise ConfigError(
            f"cannot read {error.filename or journal}: {error.strerror or error}"
        ) from error


def _check_dump(dump: Path) -> None:
    try:
        if dump.stat().st_size == 0:
            raise damaged(dump, "it is empty")
        with gzip.open(dump) as stream:
            while stream.read(DUMP_READ_BYTES):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(dump, str(error)) from error


def _check_journal(journal: Path, data: bytes) -> tuple[int, int, int]:
    """First index, last index, last term; (0, 0, 0) when it has no entries."""
    if len(data) < HEADER.size:
        raise damaged(journal, "its header is cut short")
    name, _, version, end = HEADER.unpack_from(data)
    if name.rstrip(b"\0") != APP_NAME or version != FORMAT_VERSION:
        raise damaged(journal, "it does not begin like a journal")
    if not HEADER.size <= end <= len(data):
        raise damaged(journal, "it is cut short")
    first = last = term = 0
    position = HEADER.size
    while position < end:
        if position + LENGTH.size > end:
            raise damaged(journal, f"no record at byte {position}")
        (length,) = LENGTH.unpack_from(data, position)
        tail = position + LENGTH.size + length
        if length < INDEX_TERM.size or tail + LENGTH.size > end:
            raise damaged(journal, f"no record at byte {position}")
        if LENGTH.unpack_from(data, tail)[0] != length:
            raise damaged(journal, f"a record is garbled at byte {position}")
        index, term = INDEX_TERM.unpack_from(data, position + LENGTH.size)
        if first == 0:
            first = index
        elif index != last + 1:
            raise damaged(journal, f"entry {index} follows entry {last}")
        last = index
        position = tail + LENGTH.size
    return first, last, term


def _check_term_file(file: Path) -> None:
    try:
        fields = pickle.loads(file.read_bytes())
        complete = isinstance(fields, dict) and "currentTerm" in fields
    except FileNotFoundError:
        raise damaged(file, "it is missing: the node's last vote is not known") from None
    except Exception as error:  # unpickling garbage raises almost anything
        raise damaged(file, "the node's last vote is not known") from error
    if not complete:
        raise damaged(file, "the node's last vote is not known")
