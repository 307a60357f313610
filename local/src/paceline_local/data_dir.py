"""The directory of a one-machine cluster: data, logs, secret, and what it was made for.

Layout: ``lock``, ``plan.json``, ``secret``, ``principals-key``, ``untouched``, ``logs/``,
``dynamodb/``, ``tls/``, ``chaos-token`` and one directory per node.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO, Self

from paceline.errors import ConfigError
from paceline_local.plan import ClusterPlan

_SECRET_BYTES = 32
_FORMAT = 1


class ClusterDir:
    """An open cluster directory, held by this process alone until ``close``."""

    def __init__(self, path: Path, *, temporary: bool, new: bool, lock: IO[str] | None) -> None:
        """``new``: there was nothing in it when it was opened."""
        self.path = path
        self.temporary = temporary
        self._new = new
        self._lock = lock

    @classmethod
    def open_temporary(cls) -> Self:
        """Opens a directory that ``close`` removes."""
        # Resolved: macOS names its temporary directory by a link.
        path = Path(tempfile.mkdtemp(prefix="paceline-")).resolve()
        return cls(path, temporary=True, new=True, lock=None)

    @classmethod
    def open(cls, path: Path, plan: ClusterPlan) -> Self:
        """A directory that is kept. ConfigError if it is in use or was made for another plan."""
        path = path.expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = not any(path.iterdir())
            lock = (path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be used as data directory: {error.strerror}. Choose another one "
                "with --data-dir"
            ) from error
        try:
            _take_lock(lock, path)
            _check_plan(path / "plan.json", plan)
        except BaseException:
            lock.close()
            raise
        return cls(path, temporary=False, new=new, lock=lock)

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def dynamodb(self) -> Path | None:
        """The directory for the embedded DynamoDB's tables; None: it need not save them."""
        return None if self.temporary else self._sub("dynamodb")

    @property
    def tls(self) -> Path:
        """The directory of certificates, if they are ours to make."""
        return self.path / "tls"

    def node(self, node_id: str) -> Path:
        return self._sub(node_id)

    def secret_file(self) -> Path:
        """The cluster secret, readable by this user only; made at random when there is none."""
        return self._random_file("secret")

    def principals_key_file(self) -> Path:
        """What seals the principals in the log of the nodes; as ``secret_file``."""
        return self._random_file("principals-key")

    def _random_file(self, name: str) -> Path:
        path = self.path / name
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(_SECRET_BYTES) + "\n")
        return path

    def untouched_file(self) -> Path:
        """Tells the first node that no cluster has written to this directory's DynamoDB, which
        has just been started; not there unless the directory was new. A node takes it away."""
        path = self.path / "untouched"
        if self._new:
            path.touch(mode=0o600)
        else:
            # Of a start that was given up: what came after it may have written.
            path.unlink(missing_ok=True)
        return path

    def close(self) -> None:
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _sub(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path


def _take_lock(lock: IO[str], path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read(20).strip()
        by = f" by pid {holder}" if holder.isdigit() else ""
        raise ConfigError(
            f"{path} is in use{by}: stop that cluster, or choose another --data-dir"
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()


def _check_plan(path: Path, plan: ClusterPlan) -> None:
    """Nodes know each other by the addresses in their logs, so these cannot change."""
    wanted = {
        "format": _FORMAT,
        "base_port": plan.ports.base,
        "nodes": {node.id: node.zone for node in plan.nodes},
    }
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        path.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
        return
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read, so this may be no data directory of 'paceline up': "
            "choose another --data-dir"
        ) from error
    if found == wanted:
        return
    try:
        zones = list(dict.fromkeys(found["nodes"].values()))
        made_for = (
            f"--nodes {len(found['nodes'])} --zones {','.join(zones)} "
            f"--base-port {found['base_port']}"
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path} was written by another version: choose another --data-dir"
        ) from error
    raise ConfigError(
        f"{path.parent} was made with {made_for}: start it with these, or choose another --data-dir"
    )
