"""A node's data directory: its identity, its lock, and the files of the replicated log.

The identity's ``disk_id`` stands for what the directory holds, and is its name in the replicated
log: a directory that was emptied is another disk, which has no vote. ``joined`` says that the
cluster has this disk in its log, and so that this disk has one. ``promised`` is what a founder
promised (``consensus.founding``).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paceline.clock import utc_now
from paceline.errors import ConfigError

FORMAT = 1
IDENTITY_FILE = "identity.json"
LOCK_FILE = "lock"
RAFT_JOURNAL_FILE = "raft.journal"
RAFT_DUMP_FILE = "raft.dump"
SINGLE_LOG_FILE = "log"
CONSENSUS_LOG_FILE = "consensus.log"
CONSENSUS_STATE_FILE = "consensus.state"
LOG_FILES = (
    RAFT_JOURNAL_FILE,
    RAFT_DUMP_FILE,
    SINGLE_LOG_FILE,
    CONSENSUS_LOG_FILE,
    CONSENSUS_STATE_FILE,
)


@dataclass(frozen=True, slots=True)
class Identity:
    node_id: str
    cluster: str
    disk_id: str
    created: str
    joined: bool = False
    promised: Mapping[str, str] | None = None
    """Node id to disk of the founders with which this disk founds a log, and no others ever."""


class DataDir:
    """An open data directory; ``close`` gives its lock back."""

    def __init__(self, path: Path, identity: Identity, lock_fd: int) -> None:
        self.path = path
        self.identity = identity
        self._lock_fd = lock_fd
        self._writing = threading.Lock()
        """Held for each write and for the end: callers may write in threads that outlive them, and
        what they write must not come after what the next process does."""

    @classmethod
    def open(cls, path: Path, node_id: str, cluster: str) -> DataDir:
        """Creates the directory if there is none. ConfigError: in use by another process, of
        another node or cluster, not writable, or damaged."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_fd = _lock(path)
        except OSError as error:
            raise ConfigError(
                f"cannot use the data directory {path}: {error.strerror or error}; choose one "
                "that this user may write to (PACELINE_DATA_DIR)"
            ) from error
        try:
            identity = _load_or_create(path, node_id, cluster)
        except BaseException:
            os.close(lock_fd)
            raise
        return cls(path, identity, lock_fd)

    def mark_joined(self) -> None:
        """Notes durably that the cluster has this disk's id in its log."""
        if not self.identity.joined:
            self._change(joined=True)

    def promise(self, disks: Mapping[str, str]) -> None:
        """Notes durably with which disks this one founds a log. ValueError for others than
        before."""
        if self.identity.promised not in (None, dict(disks)):
            raise ValueError("a disk promises once")
        self._change(promised=dict(disks))

    def _change(self, **fields: Any) -> None:
        with self._writing:
            if self._lock_fd < 0:
                raise RuntimeError("the data directory is closed")
            identity = replace(self.identity, **fields)
            _store(self.path, identity)
            self.identity = identity

    def rename(self, disk_id: str) -> None:
        """Gives the disk another name, durably. It has promised nothing under that."""
        self._change(disk_id=disk_id, promised=None)

    def close(self) -> None:
        """After a write that is under way."""
        with self._writing:
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1


def read_identity(path: Path) -> Identity:
    """Of a directory that was used before. ConfigError if it was not, or is damaged."""
    file = path / IDENTITY_FILE
    if not file.exists():
        raise ConfigError(f"{path} is no data directory of a node: there is no {IDENTITY_FILE}")
    return _load(file)


def damaged(file: Path, what: str) -> ConfigError:
    """The error for a file that cannot be trusted any more."""
    return ConfigError(
        f"{file} is damaged ({what}). If the cluster has other nodes: remove this node from the "
        f"cluster, empty {file.parent} and add the node again under a new id. If it is the only "
        f"node: restore {file.parent} from a backup, or empty it to start over (cached data is "
        "rebuilt from DynamoDB; nothing in DynamoDB is lost)."
    )


def replace_file(file: Path, data: bytes) -> None:
    """Replaces a file durably: after a power cut it has the old or the new content, never a mix."""
    temporary = file.with_name(file.name + ".new")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    sync_directory(file.parent)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock(path: Path) -> int:
    fd = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(fd, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise ConfigError(
            f"the data directory {path} is in use by another process (pid {owner}); stop that "
            "one, or give each node a directory of its own"
        ) from None
    except BaseException:
        os.close(fd)
        raise
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _load_or_create(path: Path, node_id: str, cluster: str) -> Identity:
    file = path / IDENTITY_FILE
    if not file.exists():
        orphan = next((path / name for name in LOG_FILES if (path / name).exists()), None)
        if orphan is not None:
            raise damaged(file, f"it is missing, but {orphan.name} is there")
        identity = Identity(node_id, cluster, secrets.token_hex(16), utc_now().isoformat())
        _store(path, identity)
        return identity
    identity = _load(file)
    log = path / CONSENSUS_LOG_FILE
    if identity.joined and not log.exists():
        raise damaged(log, "it is missing")
    if identity.node_id != node_id:
        raise ConfigError(
            f"{path} belongs to the node {identity.node_id!r}, not to {node_id!r}; correct "
            "PACELINE_NODE_ID or PACELINE_DATA_DIR"
        )
    if identity.cluster != cluster:
        raise ConfigError(
            f"{path} belongs to the cluster {identity.cluster!r}, not to {cluster!r}; correct "
            "PACELINE_CLUSTER or PACELINE_DATA_DIR"
        )
    return identity


def _load(file: Path) -> Identity:
    try:
        fields = json.loads(file.read_bytes())
        if fields.pop("format") != FORMAT:
            raise ConfigError(f"{file} was written by a newer release; run that release")
        identity = Identity(**fields)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(file, "it is not an identity record") from error
    promised = identity.promised or {}
    if not isinstance(promised, dict) or not isinstance(identity.joined, bool):
        raise damaged(file, "it is not an identity record")
    texts = (identity.node_id, identity.cluster, identity.disk_id, identity.created)
    if not all(isinstance(t, str) and t for t in (*texts, *promised, *promised.values())):
        raise damaged(file, "it is not an identity record")
    return identity


def _store(path: Path, identity: Identity) -> None:
    fields = {"format": FORMAT, **asdict(identity)}
    replace_file(path / IDENTITY_FILE, json.dumps(fields, indent=1).encode())
