"""Prepares what a node begins with: its data directory, and whether writes of an earlier cluster
may still be on their way to DynamoDB."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import structlog

from cluster.data_dir import DataDir
from cluster.service.lifecycle import Lifecycle
from cluster.settings import NodeSettings

_log = structlog.get_logger()


def take_untouched(path: Path | None) -> bool:
    """Returns True, once for each ``path``, if no cluster has ever written to this DynamoDB.

    An empty log does not prove that, since disks get lost and nodes without a data directory keep
    nothing. Whoever makes the file vouches for it. The file is removed when a first epoch begins.
    """
    if path is None:
        return False
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        _log.warning(
            "the file that tells of an untouched DynamoDB cannot be taken away, so that what"
            " an earlier cluster wrote is waited for",
            path=str(path),
            error=error.strerror,
        )
        return False
    return True


def open_data_dir(settings: NodeSettings, lifecycle: Lifecycle) -> DataDir:
    """Opens the data directory. It is closed at the end, and removed if nobody asked to keep it."""
    path = settings.data_dir
    if path is None:
        path = Path(tempfile.mkdtemp(prefix=f"paceline-{settings.node_id}-"))
        temporary = path

        async def remove() -> None:
            shutil.rmtree(temporary, ignore_errors=True)

        lifecycle.push("temporary data directory", remove)
    data_dir = DataDir.open(path, settings.node_id, settings.cluster)

    async def close() -> None:
        data_dir.close()

    lifecycle.push("data directory", close)
    return data_dir
