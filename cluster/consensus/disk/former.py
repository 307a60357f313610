"""The files of earlier releases, which kept their log by another library."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cluster.data_dir import RAFT_DUMP_FILE, RAFT_JOURNAL_FILE, SINGLE_LOG_FILE
from paceline.errors import ConfigError

FORMER_FILES = (
    RAFT_JOURNAL_FILE,
    f"{RAFT_JOURNAL_FILE}.meta",
    RAFT_DUMP_FILE,
    SINGLE_LOG_FILE,
)


def refuse_former_files(path: Path, names: Iterable[str]) -> None:
    """ConfigError if one of them is among ``names``."""
    found = [name for name in FORMER_FILES if name in set(names)]
    if not found:
        return
    raise ConfigError(
        f"{path} has the log of an earlier release ({', '.join(found)}), which this release cannot "
        "read. Nothing in it has been changed: the earlier release still starts on it. In a "
        "cluster whose other nodes run: one node at a time, remove this node from the cluster, "
        f"empty {path} and add it again under a new id. A cluster that is stopped as a whole, or a "
        f"node that is alone: empty {path} (of each node) and start again, which founds a new "
        "cluster. No item is lost: items are in DynamoDB, and caches fill from there. What goes is "
        "no item data: settings of the cluster are to be set again, streams are followed anew, and "
        "clients that are refused because of an unknown attribute list are to be restarted."
    )
